"""The scheduler: all answers of a model go on together, so that the weights are read once for all.

It has no thread of its own. Whoever waits for a step of an answer does the work for all of them,
one at a time; the others wait for him. So with one answer nothing runs that nobody asked for, and
Ctrl-C arrives in the thread that computes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Container, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import MimoEdgeError, WrongUseError
from ..prompt.positions import Positions
from ..stages.damage import check_numbers, check_scores
from ..stages.patch_decoder import PatchDecoder
from .answer import Evaluation, RunningAnswer, Step
from .position_cache import CacheShelf, New, PositionCache

__all__ = ["Scheduler"]

_PATIENCE_S = 0.25
"""After which an answer that nobody asked for counts as left alone."""
_MOST_UNREAD = 16
"""Steps by which an answer goes ahead of whoever reads it, while others are waited for."""

E = TypeVar("E", bound=Evaluation)


class Scheduler:
    """Steps the answers of one model."""

    def __init__(self, shelf: CacheShelf, patch_decoder: PatchDecoder, *, piece: int) -> None:
        """`piece`: positions of a prompt between two looks at `cancel`; half as many where other
        answers wait for their next position meanwhile.
        """
        self._shelf = shelf
        self._patch_decoder = patch_decoder
        self._piece = piece
        self.piece_beside = max(1, piece // 2)
        """Positions of a prompt that are evaluated between two steps of the answers that run."""
        self._answers: list[Evaluation] = []
        """All that run, the oldest first."""
        self._changed = threading.Condition()
        self._stepping: int | None = None
        """The thread that steps all of them just now."""

    def evaluate(
        self, cache: PositionCache, prompt: Positions, cancel: threading.Event | None = None
    ) -> bool:
        """Put a prompt into a cache beside the answers that run; False if `cancel` ended it before.

        Raises:
            MimoEdgeError: the prompt does not fit the context.
        """
        with self.running(Evaluation(cache, prompt, cancel=cancel)) as evaluation:
            while not evaluation.ended:
                self._advance(evaluation)
            self._raise(evaluation)
            return evaluation.reason != "cancelled"

    @contextlib.contextmanager
    def running(self, answer: E) -> Iterator[E]:
        """Meanwhile the answer goes on whenever somebody waits for a step of it or of another."""
        try:  # already here: Ctrl-C may come at any line
            with self._changed:
                answer.cache.in_use = True
                self._answers.append(answer)
            yield answer
        finally:
            with self._changed:
                if answer in self._answers:
                    self._answers.remove(answer)
                # Another thread that steps just now may have this answer in its hands. This one
                # may be stepping, too: if garbage collection closes a generator meanwhile.
                while self._stepping not in (None, threading.get_ident()):
                    self._changed.wait()
                answer.cache.in_use = False

    def read(self, answer: RunningAnswer) -> Iterator[Step]:
        """The positions of a running answer, until it ends.

        Raises:
            MimoEdgeError: it cannot go on.
        """
        while True:
            step = answer.read()
            if step is not None:
                yield step
            elif answer.ended:
                self._raise(answer)
                return
            else:
                self._advance(answer)

    def _advance(self, answer: Evaluation) -> None:
        """Wait until something happened to the answer, and do the work if nobody does.

        Raises:
            WrongUseError: this thread is stepping already, and now in what interrupted that.
        """
        if self._stepping == threading.get_ident():
            raise WrongUseError(
                "the model is used from within a call of it, by a signal's or a log's handler; "
                "let that only take a note, and use the model afterwards."
            )
        answer.reader = threading.get_ident()
        try:
            answer.awaited = True
            while not _happened(answer):
                self._step_or_wait(answer)
        finally:
            answer.awaited = False
            answer.left_at = time.monotonic()

    def _step_or_wait(self, answer: Evaluation) -> None:
        """Step all answers, or, while another thread does, wait."""
        me = threading.get_ident()
        try:
            with self._changed:
                while self._stepping is not None and not _happened(answer):
                    self._changed.wait()
                if _happened(answer):
                    return
                self._stepping = me
                answers = list(self._answers)
            progress = self._step(answers)
        finally:
            with self._changed:
                if self._stepping == me:
                    self._stepping = None
                self._changed.notify_all()
        if not progress and not _happened(
            answer
        ):  # all that is waited for waits for room, which somebody else has
            with self._changed:
                self._changed.wait(_PATIENCE_S / 10)

    @staticmethod
    def _raise(answer: Evaluation) -> None:
        if answer.error is not None:
            error, answer.error, answer.reason = answer.error, None, "cancelled"
            raise error

    def _step(self, answers: Sequence[Evaluation]) -> bool:
        """One position of every answer that generates, then one piece of a prompt.

        Returns:
            Whether there was anything to do.
        """
        began = time.perf_counter()
        for answer in answers:
            answer.look_at_cancel()
        ready = [answer for answer in answers if _goes_on(answer)]
        prompts = [answer for answer in ready if answer.missing > 1]
        known = [answer for answer in ready if not answer.missing]
        first = {answer for answer in ready if not answer.generated}
        wanting = [answer for answer in ready if answer.missing == 1]
        ones = self._placed(answers, wanting, len(wanting))
        self._evaluate(ones)
        patch_s = self._generate([*known, *(answer for answer, _ in ones)])
        # Of prompts, those that somebody waits for go first, the oldest first.
        prompts.sort(key=lambda answer: not answer.awaited)
        most = self.piece_beside if known or ones else self._piece
        pieces = self._placed(answers, prompts, most)
        self._evaluate(pieces)
        rest = time.perf_counter() - began - patch_s
        for answer in ready:
            answer.clock.patch += patch_s
            if answer in first:
                answer.clock.prefill += rest
            else:
                answer.clock.backbone += rest
        return bool(known or ones or pieces)

    def _placed(
        self, answers: Sequence[Evaluation], wanting: Sequence[Evaluation], most: int
    ) -> list[tuple[Evaluation, New]]:
        """The next positions of those of `wanting` for which there is room, at most so many.

        One that is waited for may take the room of others: of those that nobody waits for, then
        of those that came later. Their positions are evaluated again when there is room.
        """
        placed: list[tuple[Evaluation, New]] = []
        taken = 0
        for answer in wanting:
            if taken == most:
                break
            others = [
                other.cache
                for other in self._behind(answers, answer)
                if all(other is not one for one, _ in placed)
            ]
            new = answer.next_rows(most - taken)
            try:
                # What is placed already takes its room only when it is evaluated.
                if self._shelf.make_room(answer.cache, taken + len(new.positions), others):
                    placed.append((answer, new))
                    taken += len(new.positions)
            except MimoEdgeError as error:
                answer.error = error
        return placed

    @staticmethod
    def _behind(answers: Sequence[Evaluation], answer: Evaluation) -> list[Evaluation]:
        """Those that have to make room for an answer, in this order.

        First those that their readers left alone, then all that came later, the youngest first:
        so the oldest that is waited for always gets to its end.
        """
        if not answer.awaited:
            return []
        waiting = {other.reader for other in answers if other.awaited}
        now = time.monotonic()
        alone = [other for other in answers if _left_alone(other, waiting, now)]
        later = answers[answers.index(answer) + 1 :]
        return [*reversed(alone), *(other for other in reversed(later) if other not in alone)]

    def _evaluate(self, work: Sequence[tuple[Evaluation, New]]) -> None:
        try:
            self._shelf.evaluate([new for _, new in work])
        except MimoEdgeError as error:
            for answer, _ in work:
                answer.error = error

    def _generate(self, answers: Sequence[Evaluation]) -> float:
        """Make the next position of every answer whose last output is known.

        Returns:
            Seconds that the patches among them took.
        """
        speaking: list[tuple[RunningAnswer, NDArray[np.float32]]] = []
        for answer in answers:
            output = answer.cache.output
            if output is None or answer.missing or answer.ended:
                continue  # It was cut meanwhile, or failed.
            try:
                check_numbers("language model", output.hidden)
                check_scores("language model", output.logits)
                if answer.take(output) and isinstance(answer, RunningAnswer):
                    speaking.append((answer, output.hidden))
            except MimoEdgeError as error:
                answer.cache.output = None  # or the next answer would begin with it
                answer.error = error
        began = time.perf_counter()
        if speaking:
            self._speak(speaking)
        return time.perf_counter() - began

    def _speak(self, speaking: Sequence[tuple[RunningAnswer, NDArray[np.float32]]]) -> None:
        """Decode one patch of each answer, all in one pass."""
        try:
            patches = self._patch_decoder.decode_all(
                np.stack([hidden for _, hidden in speaking]),
                [answer.options.codes for answer, _ in speaking],
                [answer.rng for answer, _ in speaking],
            )
        except MimoEdgeError as error:
            for answer, _ in speaking:
                answer.error = error
            return
        for (answer, _), patch in zip(speaking, patches, strict=True):
            answer.take_patch(patch)


def _goes_on(answer: Evaluation) -> bool:
    """Whether an answer is stepped: not once it ended, or too far ahead of its reader."""
    return not answer.ended and (answer.awaited or answer.unread < _MOST_UNREAD)


def _left_alone(answer: Evaluation, waiting: Container[int | None], now: float) -> bool:
    """Whether nobody is about to ask for the next step of an answer.

    Its thread waits for another one, or has not come back for a while: a thread that only looks at
    the last step comes back in a moment.
    """
    if answer.awaited:
        return False
    return answer.reader in waiting or now - answer.left_at > _PATIENCE_S


def _happened(answer: Evaluation) -> bool:
    """Whether there is something to read of an answer, or it is over."""
    return bool(answer.unread) or answer.ended
