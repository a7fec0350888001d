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

from ..errors import WrongUseError
from ..prompt.positions import Positions
from ..stages.llama.abort import waiting_thread
from ..stages.machine.placement import PromptPieces
from ..stages.patch_decoder import PatchDecoder
from .answer import RunningAnswer, Step
from .cache_shelf import CacheShelf
from .evaluation import Evaluation
from .position_cache import PositionCache
from .stepping import PATIENCE_S, Stepping

__all__ = ["Scheduler"]

E = TypeVar("E", bound=Evaluation)


class Scheduler:
    """Steps the answers of one model."""

    def __init__(
        self, shelf: CacheShelf, patch_decoder: PatchDecoder, pieces: PromptPieces
    ) -> None:
        """A scheduler without an answer."""
        self._steps = Stepping(shelf, patch_decoder, pieces)
        self._answers: list[Evaluation] = []
        """All that run, the oldest first."""
        self._changed = threading.Condition()
        self._stepping: int | None = None
        """The thread that steps all of them just now."""
        self._in_hand: Sequence[Evaluation] = ()
        """The answers that it works on."""

    @property
    def piece_beside(self) -> int:
        """Positions of a prompt that are evaluated between two steps of the answers that run."""
        return self._steps.pieces.beside

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
            # Nobody reads it any more. Without a call, so that no Ctrl-C comes before.
            answer.reason = answer.reason or "cancelled"
            with self._changed:
                if answer in self._answers:
                    self._answers.remove(answer)
                # Another thread that steps just now may have this answer in its hands. This one
                # may be stepping, too: if garbage collection closes a generator meanwhile.
                while answer in self._in_hand and self._stepping != waiting_thread():
                    self._changed.wait()
                answer.cache.in_use = False
                # Of a step that Ctrl-C ended, nobody may have been told.
                self._changed.notify_all()

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
        if self._stepping == waiting_thread():
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
            # Ctrl-C may have come at the end of the step, a moment before it did this: then this
            # thread would be taken for one that steps for ever.
            if self._stepping == answer.reader:
                self._stepping, self._in_hand = None, ()
                with self._changed:
                    self._changed.notify_all()
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
                self._in_hand = answers = tuple(self._answers)
            progress = self._steps.step(answers, self._look_around)
        finally:
            # Without the lock, for which one would have to wait: Ctrl-C could come meanwhile, and
            # the model would be stepped by this thread for ever.
            if self._stepping == me:
                self._stepping, self._in_hand = None, ()
            with self._changed:
                self._changed.notify_all()
        if not progress and not _happened(
            answer
        ):  # all that is waited for waits for room, which somebody else has
            with self._changed:
                self._changed.wait(PATIENCE_S / 10)

    def _look_around(self, in_hand: Sequence[Evaluation]) -> Sequence[Evaluation]:
        """All that run, in the middle of a step that works on `in_hand` only, to its end.

        What was cancelled ends here, so that it need not wait for the end of the step.
        """
        with self._changed:
            self._in_hand = in_hand
            for answer in self._answers:
                answer.look_at_cancel()
            self._changed.notify_all()
            return tuple(self._answers)

    @staticmethod
    def _raise(answer: Evaluation) -> None:
        if answer.error is not None:
            error, answer.error, answer.reason = answer.error, None, "cancelled"
            raise error


def _happened(answer: Evaluation) -> bool:
    """Whether there is something to read of an answer, or it is over."""
    return bool(answer.unread) or answer.ended
