"""One spoken conversation as pure logic: who speaks, what is prepared, what was heard.

    microphone blocks → TurnTaker ─→ Conversation ─→ model: prepare, answer, stop
    answer's text and sound ───────→              ─→ Playback, LiveEvents

No thread, no device and no clock of its own: `loop.py` calls it from one thread and passes
the time, tests play both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .events import (
    AnswerText,
    Level,
    LiveEvent,
    LiveState,
    Notice,
    QuestionHeard,
    QuestionText,
    StateChanged,
)
from .model_events import Ended, Failed, Kept, ModelEvent, Ready, Said, Sound, Text
from .playback import Playback
from .running_answer import RunningAnswer
from .turn_events import (
    BargeIn,
    BargeInDismissed,
    BargeInSuspected,
    PauseStarted,
    SpeechResumed,
    TurnDropped,
    TurnEvent,
    TurnFinished,
    TurnStarted,
)

__all__ = ["Conversation", "ModelPort", "Turns"]

_LEVEL_EVERY_S = 0.1
_HEAR_EVERY_S = 0.5
_QUIETEST_DBFS = -90.0


class ModelPort(Protocol):
    """The model's side. Every call returns at once; the events come back later, in order."""

    def hear(self, samples: NDArray[np.float32]) -> None:
        """The question, which goes on, surely begins with these samples."""

    def prepare(self, samples: NDArray[np.float32]) -> None:
        """The user may be done: make ready to answer these samples."""

    def forget(self) -> None:
        """The user went on: stop preparing."""

    def answer(self, turn: int, samples: NDArray[np.float32]) -> None:
        """Answer: `Text` and `Sound` events, then `Ended` or `Failed`."""

    def stop(self, turn: int, heard: int) -> None:
        """End the answer, keep what `heard` samples of its sound said: a `Kept` event."""


class Turns(Protocol):
    """What `TurnTaker` and `PushToTalk` have in common."""

    def feed(self, block: NDArray[np.float32]) -> list[TurnEvent]:
        """Hear the next samples."""

    def certain(self) -> NDArray[np.float32]:
        """What of the turn in progress will be in it, however it ends."""

    def answer_started(self) -> None:
        """The model's voice is heard from now on."""

    def answer_ended(self) -> None:
        """It is heard no more."""

    def reset(self) -> None:
        """Drop the turn in progress."""


class Conversation:
    """Turns of both sides. For one thread; `now` is seconds of one clock that never goes back."""

    def __init__(
        self,
        turns: Turns,
        playback: Playback,
        model: ModelPort,
        emit: Callable[[LiveEvent], None],
        *,
        rate: int,
        began: float,
        speaks: bool = True,
        resident_bytes: Callable[[], int] = lambda: 0,
        first_turn: int = 1,
    ) -> None:
        """Sound of `rate` Hz on both sides; `began` is the time that event times count from.

        `speaks`: whether answers have sound.
        """
        self.state: LiveState = "starting"
        self.output_latency = 0.0
        """Seconds between `Playback.pull` and the ear."""
        self._turns, self._playback, self._model, self._emit = turns, playback, model, emit
        self._rate, self._began, self._speaks = rate, began, speaks
        self._resident_bytes = resident_bytes
        self._turn = first_turn - 1
        self._answer: RunningAnswer | None = None
        self._held_at: float | None = None
        """Since when the answer is held because the user may be speaking over it."""
        self._stopped: dict[int, RunningAnswer] = {}
        """Interrupted answers whose rest is not yet cut."""
        self._unanswered = np.zeros(0, dtype=np.float32)
        """What the user said before going on, while nothing of an answer was heard."""
        self._position = 0
        """Microphone samples so far."""
        self._level_at = self._heard_at = began
        self._told_slow = False

    @property
    def busy(self) -> bool:
        """Whether there is a turn to end: the user speaks or an answer is on its way."""
        return self.state in ("hearing", "thinking", "speaking")

    def hear(self, block: NDArray[np.float32], now: float) -> None:
        """The next microphone samples, float32 [n], the last of which came at `now`."""
        self._position += len(block)
        self._show_level(block, now)
        self.turn_events(self._turns.feed(block), now)
        if self.state == "hearing" and now - self._heard_at > _HEAR_EVERY_S:
            self._heard_at = now
            if len(certain := self._turns.certain()):
                self._model.hear(self._question(certain))

    def turn_events(self, events: list[TurnEvent], now: float) -> None:
        """What turn-taking said, to a block or to a key."""
        for event in events:
            self._turn_event(event, now)

    def model_event(self, event: ModelEvent, now: float) -> None:
        """Something came from the model."""
        if isinstance(event, Ready):
            if self.state == "starting":
                self._set("listening")
            return
        if isinstance(event, Kept):
            self._kept(event, now)
            return
        if isinstance(event, Said):
            self._emit(QuestionText(turn=event.turn, text=event.text))
            return
        if isinstance(event, Failed):
            self._failed(event)
            return
        answer = self._answer
        if answer is None or event.turn != answer.turn:
            return  # of an answer that was interrupted
        if isinstance(event, Text):
            answer.text.append(event.text)
            self._emit(AnswerText(turn=answer.turn, text=event.text))
        elif isinstance(event, Sound):
            self._playback.push(event.samples, now)
        elif isinstance(event, Ended):
            answer.ended = event
            self._playback.finish()
        self.tick(now)

    def tick(self, now: float) -> None:
        """Time has passed: see what the speaker did."""
        answer = self._answer
        if answer is None:
            return
        state = self._playback.state
        if state == "playing" and answer.first_sound is None:
            answer.first_sound = now + self.output_latency
            self._unanswered = self._unanswered[:0]
            self._turns.answer_started()
            self._set("speaking")
        elif state == "waiting":
            self._tell_slow()
        elif state == "idle" and answer.ended is not None:
            self._finish(answer, now)

    def interrupt(self, now: float) -> bool:
        """Ctrl-C: end the turn in progress, whoever's it is; False if there was none."""
        if not self.busy:
            return False
        self._turns.reset()
        if self._answer is not None:
            self._stop_answer(now)
        self._unanswered = self._unanswered[:0]
        self._model.forget()
        self._set("listening")
        return True

    def pause(self, now: float) -> None:
        """A device is gone: end what is in progress and wait."""
        self.interrupt(now)
        self._set("paused")

    def resume(self) -> None:
        """The device is back."""
        self._turns.reset()
        self._set("listening")

    def _turn_event(self, event: TurnEvent, now: float) -> None:
        if isinstance(event, BargeInSuspected):
            self._held_at = now
            self._playback.hold()
        elif isinstance(event, BargeInDismissed):
            self._held_at = None
            self._playback.release()
        elif isinstance(event, BargeIn):
            if self._answer is not None:
                self._speak_over(self._answer, now)
        elif isinstance(event, TurnStarted):
            if self._answer is not None and self._answer.first_sound is None:
                self._speak_over(self._answer, now)
            self._set("hearing")
        elif isinstance(event, PauseStarted):
            self._model.prepare(self._question(event.samples))
        elif isinstance(event, SpeechResumed):
            self._model.forget()
        elif isinstance(event, TurnFinished):
            self._ask(event, now)
        elif isinstance(event, TurnDropped):
            self._set(self._state_of_answer())

    def _state_of_answer(self) -> LiveState:
        if self._answer is None:
            return "listening"
        return "thinking" if self._answer.first_sound is None else "speaking"

    def _question(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is to be answered: what was said before an answer was heard counts as well."""
        return np.concatenate([self._unanswered, samples])

    def _speak_over(self, answer: RunningAnswer, now: float) -> None:
        """The user speaks again: before anything of the answer was heard, or read, both parts are
        one question, else it is interrupted.
        """
        self._stop_answer(now)
        noticed = answer.heard_samples if self._speaks else answer.text
        if not noticed:
            self._unanswered = answer.question

    def _ask(self, event: TurnFinished, now: float) -> None:
        if self._answer is not None:  # the answer before is still heard, push to talk
            self._stop_answer(now)
        self._turn += 1
        question = self._question(event.samples)
        ago = (self._position - event.end) / self._rate
        end = now - ago
        start = end - (event.end - event.start) / self._rate
        self._emit(QuestionHeard(turn=self._turn, start=start - self._began, end=end - self._began))
        self._answer = RunningAnswer(turn=self._turn, question=question, asked=end)
        self._told_slow = False
        self._playback.begin()
        self._model.answer(self._turn, question)
        self._set("thinking")

    def _stop_answer(self, now: float) -> None:
        """Stop playing at once, the model as soon as it notices, and forget what was not heard."""
        answer = self._answer
        assert answer is not None
        played = self._playback.played if answer.first_sound is not None else 0
        on_its_way = self.output_latency
        if self._held_at is not None:
            on_its_way = max(0.0, on_its_way - (now - self._held_at))
        answer.heard_samples = max(0, played - round(on_its_way * self._rate))
        answer.last_sound = now
        answer.underruns = self._playback.underruns
        self._end_playing()
        self._stopped[answer.turn] = answer
        self._answer = None
        self._model.stop(answer.turn, answer.heard_samples)

    def _kept(self, event: Kept, now: float) -> None:
        answer = self._stopped.pop(event.turn, None)
        if answer is None or not (event.text or answer.heard_samples):
            return  # nothing of it was heard: the turn never was
        self._emit(answer.heard(self._began, interrupted=True, text=event.text))
        self._report(answer, event.ended)

    def _failed(self, event: Failed) -> None:
        """The question cannot be answered: it is gone, or whatever is said next would fail too.

        So it is, too, if the user has gone on meanwhile; what is said now is a question by itself.
        """
        answer = self._answer
        if answer is not None and answer.turn == event.turn:
            self._unanswered = self._unanswered[:0]
            self._end_playing()
            self._answer = None
            if self.state != "hearing":
                self._set("listening")
        else:
            stopped = self._stopped.get(event.turn)
            if stopped is None or stopped.question is not self._unanswered:
                return
            self._unanswered = self._unanswered[:0]
        self._emit(Notice(text=event.sentence))

    def _finish(self, answer: RunningAnswer, now: float) -> None:
        """All of the answer was heard, or it had no sound."""
        assert answer.ended is not None
        spoken = answer.first_sound is not None
        answer.last_sound = now + self.output_latency if spoken else now
        answer.underruns = self._playback.underruns
        self._end_playing()
        self._answer = None
        self._unanswered = self._unanswered[:0]
        self._emit(answer.heard(self._began, interrupted=False))
        self._report(answer, answer.ended)
        if self.state != "hearing":
            self._set("listening")

    def _end_playing(self) -> None:
        self._held_at = None
        self._playback.stop()
        self._turns.answer_ended()

    def _report(self, answer: RunningAnswer, ended: Ended | None) -> None:
        if ended is not None:
            self._emit(answer.report(ended, self._resident_bytes()))

    def _tell_slow(self) -> None:
        """Say once per answer why nothing is heard yet, on a machine that is too slow."""
        factor, wait = self._playback.slower_than_real_time, self._playback.wait
        if factor is None or wait is None or self._told_slow:
            return
        self._told_slow = True
        self._emit(
            Notice(
                text=f"this machine needs {factor:.1f} s for a second of speech; "
                f"the answer waits about {wait:.0f} s so that it plays without gaps."
            )
        )

    def _show_level(self, block: NDArray[np.float32], now: float) -> None:
        if now - self._level_at < _LEVEL_EVERY_S or not len(block):
            return
        self._level_at = now
        power = float(np.mean(np.square(block, dtype=np.float64)))
        dbfs = max(_QUIETEST_DBFS, 10 * np.log10(power)) if power else _QUIETEST_DBFS
        self._emit(Level(dbfs=float(dbfs)))

    def _set(self, state: LiveState) -> None:
        if state != self.state:
            self.state = state
            self._emit(StateChanged(state=state))
