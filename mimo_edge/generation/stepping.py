"""One step of all answers: the next position of each, or several where they were guessed."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Sequence

import numpy as np
from numpy.typing import NDArray

from ..stages.damage import check_numbers, check_scores
from ..stages.llama.abort import EvaluationStopped
from ..stages.machine.placement import PromptPieces
from ..stages.patch_decoder import PatchDecoder
from .answer import RunningAnswer
from .cache_shelf import CacheShelf
from .evaluation import Evaluation
from .position_cache import New

__all__ = ["PATIENCE_S", "Stepping"]

PATIENCE_S = 0.25
"""Seconds after which an answer that nobody asked for counts as left alone."""
_MOST_UNREAD = 16
"""Steps by which an answer goes ahead of whoever reads it, while others are waited for."""
_MOST_GUESSES = 32
"""In one batch, of all answers together."""


class Stepping:
    """What is computed in a step, and for whom; one thread at a time.

    Whatever an answer raises, a mistake of ours included, ends that answer: it is raised where the
    answer is read, not in the thread that happens to step it, which has an answer of its own.
    """

    def __init__(
        self, shelf: CacheShelf, patch_decoder: PatchDecoder, pieces: PromptPieces
    ) -> None:
        self._shelf = shelf
        self._patch_decoder = patch_decoder
        self.pieces = pieces

    def step(
        self,
        answers: Sequence[Evaluation],
        look_around: Callable[[Sequence[Evaluation]], Sequence[Evaluation]],
    ) -> bool:
        """One position of every answer that generates, then one piece of a prompt.

        A piece that is evaluated while nothing generates takes seconds. It is given up if it is
        cancelled, or if an answer begins meanwhile that is to generate at once; `look_around` is
        told which answers are in the piece, and says which ones run by then.

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
        ones = self._with_guesses(self._placed(answers, wanting, len(wanting)))
        self._evaluate(ones)
        patch_s = self._generate([*known, *(answer for answer, _ in ones)])
        # Of prompts, those that somebody waits for go first, the oldest first.
        prompts.sort(key=lambda answer: not answer.awaited)
        alone = not (known or ones)
        most = self.pieces.alone if alone else self.pieces.beside
        pieces = self._placed(answers, prompts, most)

        def give_up() -> bool:
            in_hand = [answer for answer, _ in pieces]
            others = [answer for answer in look_around(in_hand) if answer not in ready]
            return any(answer.ended for answer in in_hand) or any(
                _goes_on(answer) and answer.missing <= 1 for answer in others
            )

        self._evaluate(pieces, give_up if alone else None)
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
            except Exception as error:
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

    def _with_guesses(self, work: Sequence[tuple[Evaluation, New]]) -> list[tuple[Evaluation, New]]:
        """The same work, and behind the last position of each answer what may come next.

        Guesses take only room that nothing else needs.
        """
        if not work:
            return []
        room = self._shelf.room_for_guesses - sum(len(new.positions) for _, new in work)
        left = min(_MOST_GUESSES, room)
        guessing: list[tuple[Evaluation, New]] = []
        for answer, new in work:
            more = answer.with_guesses(new, max(0, left))
            left -= more.guesses
            guessing.append((answer, more))
        return guessing

    def _evaluate(
        self, work: Sequence[tuple[Evaluation, New]], stop: Callable[[], bool] | None = None
    ) -> None:
        if not work:
            return
        try:
            self._shelf.evaluate([new for _, new in work], stop)
        except EvaluationStopped:
            return  # Nothing happened: the next step sees why.
        except Exception as error:
            for answer, _ in work:
                answer.error = error
            return
        for answer, new in work:
            answer.was_read(new)

    def _generate(self, answers: Sequence[Evaluation]) -> float:
        """Make the next position of every answer whose last output is known.

        Returns:
            Seconds that the patches among them took.
        """
        speaking: list[tuple[RunningAnswer, NDArray[np.float32]]] = []
        for answer in answers:
            try:
                hidden = _follow(answer)
                answer.cache.drop_guesses()
                if hidden is not None and isinstance(answer, RunningAnswer):
                    speaking.append((answer, hidden))
            except Exception as error:
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
        except Exception as error:
            for answer, _ in speaking:
                answer.error = error
            return
        for (answer, _), patch in zip(speaking, patches, strict=True):
            answer.take_patch(patch)


def _follow(answer: Evaluation) -> NDArray[np.float32] | None:
    """Take what the backbone says, from position to position while what was guessed comes true.

    Returns:
        The hidden state of a patch that is to be made next; None: none is.

    Raises:
        MimoEdgeError: the outputs are no numbers.
    """
    while True:
        output = answer.cache.output
        if answer.missing or answer.ended:
            return None  # It was cut meanwhile, or failed, or is over.
        if output is None:
            # Ctrl-C came when the position was remembered and its output was not yet.
            answer.cache.cut(answer.length - 1)
            return None
        check_numbers("language model", output.hidden)
        if output.has_logits:
            check_scores("language model", output.logits)
        if answer.take(output):
            return output.hidden
        if answer.ended or not answer.accept_guess():
            return None


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
    return answer.reader in waiting or now - answer.left_at > PATIENCE_S
