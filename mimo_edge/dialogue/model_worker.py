"""The model in a thread of its own: what the conversation asks for, one after the other.

Whoever asks does not wait. A preparation that is no longer wanted and an answer that is
interrupted end at the next position.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..errors import MimoEdgeError
from ..generation.events import TextDelta, TurnEnd
from ..generation.sound import SoundOptions
from ..listener import Listener
from ..session import Prepared, Session
from .model_events import Ended, Failed, ModelEvent, Ready, Sound, Text, Transcribed, Truncated

__all__ = ["ModelWorker"]

Samples = NDArray[np.float32]


@dataclass
class _Hear:
    samples: Samples


@dataclass
class _Prepare:
    samples: Samples
    cancel: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Answer:
    turn: int
    samples: Samples
    cancel: threading.Event = field(default_factory=threading.Event)
    ended: Ended | None = None


@dataclass
class _Stop:
    answer: _Answer
    heard: int


class ModelWorker:
    """A `ports.ModelPort` over a session, with a thread of its own while it is entered.

    Jobs are done in the order in which they were asked for. What is no longer wanted is cancelled
    from outside, by an event that the session looks at between two positions.
    """

    def __init__(
        self,
        session: Session,
        listener: Listener,
        post: Callable[[ModelEvent], None],
        *,
        lookahead: int | None,
        write_down: Callable[[Samples, threading.Event], str | None] | None = None,
    ) -> None:
        """Call `post` with every event, from the thread; it must return soon.

        Sound is decoded with `lookahead` mel frames; see `SoundOptions`. `write_down` transcribes
        questions, each after it was answered and beside what comes then, until the event is set.
        The session stays open at the end.
        """
        self._session, self._listener = session, listener
        self._post, self._lookahead = post, lookahead
        self._write_down = write_down
        self._writer = ThreadPoolExecutor(1, "mimo_edge transcript")
        self._jobs: queue.SimpleQueue[_Hear | _Prepare | _Answer | _Stop | None]
        self._jobs = queue.SimpleQueue()
        self._preparing: _Prepare | None = None
        self._answering: _Answer | None = None
        self._prepared: tuple[Samples, Prepared] | None = None
        self._closing = threading.Event()
        self.failure: BaseException | None = None
        """What ended a thread, if it was no MimoEdgeError: a mistake of ours."""
        self._thread = threading.Thread(target=self._run, name="mimo_edge model", daemon=True)

    def hear(self, samples: Samples) -> None:
        """Compute what can be computed of a question that goes on and begins with `samples`."""
        self._jobs.put(_Hear(samples))

    def prepare(self, samples: Samples) -> None:
        """Evaluate the prompt with this question, in place of another one."""
        self.forget()
        self._preparing = _Prepare(samples)
        self._jobs.put(self._preparing)

    def forget(self) -> None:
        """Cancel the preparation in progress, if there is one."""
        if self._preparing is not None:
            self._preparing.cancel.set()
            self._preparing = None

    def answer(self, turn: int, samples: Samples) -> None:
        """Answer a question; a preparation of this very question is finished and used."""
        if self._preparing is not None and not _same(self._preparing.samples, samples):
            self.forget()
        self._preparing = None
        self._answering = _Answer(turn, samples)
        self._jobs.put(self._answering)

    def stop(self, turn: int, heard: int) -> None:
        """End that answer and forget what of it was not heard."""
        answer = self._answering
        assert answer is not None and answer.turn == turn
        answer.cancel.set()
        self._jobs.put(_Stop(answer, heard))

    def __enter__(self) -> ModelWorker:
        """Start the thread, which first evaluates what comes before the first question."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel what runs and what waits, and end the threads; the session may be used again.

        Interrupted answers are still cut to what was heard: those jobs come before the end.
        """
        self._closing.set()
        self.forget()
        if self._answering is not None:
            self._answering.cancel.set()
        self._jobs.put(None)
        self._thread.join()
        self._writer.shutdown()

    def _run(self) -> None:
        try:
            with contextlib.suppress(MimoEdgeError):  # the first question will tell
                self._session.warm(cancel=self._closing)
            self._post(Ready())
            while (job := self._jobs.get()) is not None:
                if isinstance(job, _Hear):
                    self._listener.hear(job.samples)
                elif isinstance(job, _Prepare):
                    self._prepare(job)
                elif isinstance(job, _Answer):
                    self._answer(job)
                else:
                    self._stop(job)
        except BaseException as error:
            self.failure = error

    def _prepare(self, job: _Prepare) -> None:
        self._prepared = None
        if job.cancel.is_set():
            return
        # Answering will fail the same way, and a question that goes on may not fail at all.
        with contextlib.suppress(MimoEdgeError):
            prepared = self._session.prepare(self._listener.patches(job.samples), cancel=job.cancel)
            if prepared is not None:
                self._prepared = (job.samples, prepared)

    def _answer(self, job: _Answer) -> None:
        if job.cancel.is_set():
            return
        prepared, self._prepared = self._prepared, None
        ready = prepared[1] if prepared and _same(prepared[0], job.samples) else None

        def sound(samples: Samples) -> None:
            self._post(Sound(turn=job.turn, samples=samples))

        try:
            question = ready if ready is not None else self._listener.patches(job.samples)
            for event in self._session.stream(
                question,
                cancel=job.cancel,
                sound=SoundOptions(lookahead=self._lookahead, on_samples=sound),
            ):
                if isinstance(event, TextDelta):
                    self._post(Text(turn=job.turn, text=event.text))
                elif isinstance(event, TurnEnd):
                    job.ended = Ended(
                        turn=job.turn,
                        reason=event.reason,
                        stats=event.stats,
                        prepared_positions=ready.evaluated if ready is not None else 0,
                    )
                    self._post(job.ended)
        except MimoEdgeError as error:
            self._post(Failed(turn=job.turn, sentence=str(error)))
            return
        if self._write_down is not None and not job.cancel.is_set():
            # Not before: while sound is made for somebody who waits, it would slow that down.
            self._writer.submit(self._transcribe, job, self._write_down)
        if job.ended is not None and job.ended.reason != "cancelled":
            # The answer is still heard: time to make room, if the context needs it.
            with contextlib.suppress(MimoEdgeError):
                self._session.warm(cancel=self._closing)

    def _transcribe(
        self, job: _Answer, write_down: Callable[[Samples, threading.Event], str | None]
    ) -> None:
        try:
            with contextlib.suppress(MimoEdgeError):
                text = write_down(job.samples, self._closing)
                if text is not None:
                    self._post(Transcribed(turn=job.turn, text=text))
        except BaseException as error:
            self.failure = error

    def _stop(self, job: _Stop) -> None:
        text = ""
        if job.answer.ended is not None:
            if job.heard or self._session.reply != "speech":
                # The turn may be gone already: a long one makes room for the next.
                with contextlib.suppress(MimoEdgeError):
                    text = self._session.keep_heard(job.heard)
            else:  # of an answer that was not heard at all, the question goes as well
                del self._session.turns[-1:]
        self._post(Truncated(turn=job.answer.turn, text=text, ended=job.answer.ended))


def _same(a: Samples, b: Samples) -> bool:
    return a is b or np.array_equal(a, b)
