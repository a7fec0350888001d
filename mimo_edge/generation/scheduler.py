"""The scheduler: all answers of a model go on together, so that the weights are read once for all.

It has no thread of its own. Whoever waits for a step of an answer does the work for all of them,
one at a time; the others wait for him. So with one answer nothing runs that nobody asked for, and
Ctrl-C arrives in the thread that computes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import MimoEdgeError
from ..prompt.positions import Positions
from ..stages.damage import check_numbers, check_scores
from ..stages.patch_decoder import PatchDecoder
from .answer import Evaluation, RunningAnswer, Step
from .position_cache import CacheShelf, New, PositionCache

__all__ = ["Scheduler"]

_PIECE, _PIECE_BESIDE, _GPU_FACTOR = 32, 16, 8
"""Positions of a prompt between two steps of the answers that run, if there are any, or between
two looks at `cancel`; a GPU takes eight times as many. On two cores of a laptop 32 are a second of
the 7B model; a processor evaluates them about as fast as in larger batches."""
_MOST_UNREAD = 16
"""Steps by which an answer goes ahead of whoever reads it, while others are waited for."""

E = TypeVar("E", bound=Evaluation)


class Scheduler:
    """Steps the answers of one model."""

    def __init__(self, shelf: CacheShelf, patch_decoder: PatchDecoder, *, on_gpu: bool) -> None:
        self._shelf = shelf
        self._patch_decoder = patch_decoder
        self._scale = _GPU_FACTOR if on_gpu else 1
        self._answers: list[Evaluation] = []
        """All that run, the oldest first."""
        self._changed = threading.Condition()
        self._stepping: int | None = None
        """The thread that steps all of them just now."""

    @property
    def piece_beside(self) -> int:
        """Positions of a prompt that are evaluated between two steps of the answers that run."""
        return self._scale * _PIECE_BESIDE

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
        with self._changed:
            answer.cache.in_use = True
            self._answers.append(answer)
        try:
            yield answer
        finally:
            with self._changed:
                self._answers.remove(answer)
                # Another thread that steps just now may have this answer in its hands.
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
        """Wait until something happened to the answer, and do the work if nobody does."""
        answer.awaited = True
        try:
            while not (answer.unread or answer.ended):
                with self._changed:
                    while self._stepping is not None and not (answer.unread or answer.ended):
                        self._changed.wait()
                    if answer.unread or answer.ended:
                        return
                    self._stepping = threading.get_ident()
                    answers = list(self._answers)
                try:
                    self._step(answers)
                finally:
                    with self._changed:
                        self._stepping = None
                        self._changed.notify_all()
        finally:
            answer.awaited = False

    @staticmethod
    def _raise(answer: Evaluation) -> None:
        if answer.error is not None:
            error, answer.error, answer.reason = answer.error, None, "cancelled"
            raise error

    def _step(self, answers: Sequence[Evaluation]) -> None:
        """One position of every answer that generates, then one piece of a prompt."""
        began = time.perf_counter()
        for answer in answers:
            answer.look_at_cancel()
        ready = [answer for answer in answers if _goes_on(answer)]
        prompts = [answer for answer in ready if answer.missing > 1]
        known = [answer for answer in ready if not answer.missing]
        first = {answer for answer in ready if not answer.generated}
        ones = self._with_room(answers, [answer for answer in ready if answer.missing == 1])
        self._evaluate([(answer, answer.next_rows(1)) for answer in ones])
        patch_s = self._generate([*known, *ones])
        self._evaluate(self._piece(answers, prompts, beside=bool(known or ones)))
        rest = time.perf_counter() - began - patch_s
        for answer in ready:
            answer.clock.patch += patch_s
            if answer in first:
                answer.clock.prefill += rest
            else:
                answer.clock.backbone += rest

    def _piece(
        self, answers: Sequence[Evaluation], prompts: Sequence[Evaluation], *, beside: bool
    ) -> list[tuple[Evaluation, New]]:
        """The next positions of prompts, of the oldest ones first, as many as are taken at once."""
        left = self.piece_beside if beside else self._scale * _PIECE
        # Whoever is waited for goes first.
        work = []
        for answer in sorted(prompts, key=lambda answer: not answer.awaited):
            if not left:
                break
            new = answer.next_rows(left)
            if self._with_room(answers, [answer], _PIECE * self._scale):
                work.append((answer, new))
                left -= len(new.positions)
        return work

    def _with_room(
        self, answers: Sequence[Evaluation], wanting: Sequence[Evaluation], positions: int = 1
    ) -> list[Evaluation]:
        """Those of `wanting` for which there is room for so many positions each.

        One that is waited for may take the room of others: of those that nobody waits for, then
        of those that came later. Their positions are evaluated again when there is room.
        """
        placed: list[Evaluation] = []
        for answer in wanting:
            others: list[PositionCache] = []
            if answer.awaited:
                later = answers[answers.index(answer) + 1 :]
                behind = [other for other in answers if not other.awaited]
                behind += [other for other in later if other.awaited]
                # The youngest go first: the oldest answer always gets to its end.
                behind.sort(key=lambda other: (other.awaited, -answers.index(other)))
                others = [other.cache for other in behind if other not in (answer, *placed)]
            try:
                # What is placed already takes its room only when it is evaluated.
                if self._shelf.make_room(answer.cache, positions * (len(placed) + 1), others):
                    placed.append(answer)
            except MimoEdgeError as error:
                answer.error = error
        return placed

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
