"""One spoken conversation as pure logic: who speaks, what is prepared, what was heard.

    microphone blocks → TurnPort ─→ Conversation ─→ ModelPort: prepare, answer, stop
    answer's text and sound ──────→              ─→ OutputPort, live events

No thread, no device and no clock of its own: whoever runs it calls it from one thread and passes
the time, tests play both sides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .events import (
    AnswerText,
    LiveEvent,
    LiveState,
    Notice,
    QuestionHeard,
    QuestionText,
    StateChanged,
)
from .level import LevelMeter
from .model_events import (
    Ended,
    Failed,
    ModelEvent,
    Ready,
    Sound,
    Text,
    Told,
    Transcribed,
    Truncated,
)
from .ports import ModelPort, OutputPort, TurnPort
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

__all__ = ["Conversation"]

_HEAR_EVERY_S = 0.5
"""How often the model gets a question that goes on: often enough that little is left to compute at
its end, seldom enough that the copies of the sound so far cost nothing."""


class Conversation:
    """Turns of both sides. For one thread; `now` is seconds of one clock that never goes back."""

    def __init__(
        self,
        turns: TurnPort,
        output: OutputPort,
        model: ModelPort,
        emit: Callable[[LiveEvent], None],
        *,
        rate: int,
        began: float,
        speaks: bool = True,
        resident_bytes: Callable[[], int] = lambda: 0,
        first_turn: int = 1,
    ) -> None:
        """Join the sides: `emit` gets every live event, in order, from the calling thread.

        Sound has `rate` Hz on both sides; the times of events count from `began`. `speaks`:
        whether answers have sound. `resident_bytes` tells the memory of the process for reports.
        The first question gets the number `first_turn`.
        """
        self.state: LiveState = "starting"
        self._turns, self._output, self._model, self._emit = turns, output, model, emit
        self._rate, self._began, self._speaks = rate, began, speaks
        self._resident_bytes = resident_bytes
        self._turn = first_turn - 1
        self._answer: RunningAnswer | None = None
        self._stopped: dict[int, RunningAnswer] = {}
        """Interrupted answers that the model has not truncated yet, by turn."""
        self._unanswered = np.zeros(0, dtype=np.float32)
        """What the user said before going on, while nothing of an answer was heard."""
        self._position = 0
        """Microphone samples so far."""
        self._meter = LevelMeter(began)
        self._passed_on_at = began
        """When the model last got the question in progress."""

    @property
    def busy(self) -> bool:
        """Whether there is a turn to end: the user speaks or an answer is on its way."""
        return self.state in ("hearing", "thinking", "speaking")

    def hear(self, block: NDArray[np.float32], now: float) -> None:
        """The next microphone samples, float32 [n], the last of which came at `now`."""
        self._position += len(block)
        if level := self._meter.feed(block, now):
            self._emit(level)
        self.turn_events(self._turns.feed(block), now)
        if self.state == "hearing" and now - self._passed_on_at > _HEAR_EVERY_S:
            self._passed_on_at = now
            if len(certain := self._turns.certain()):
                self._model.hear(self._question(certain))

    def turn_events(self, events: list[TurnEvent], now: float) -> None:
        """Take what turn-taking made of a block or of a key."""
        for event in events:
            self._turn_event(event, now)

    def model_event(self, event: ModelEvent, now: float) -> None:
        """Take what the model told."""
        if isinstance(event, Ready):
            if self.state == "starting":
                self._set("listening")
        elif isinstance(event, Truncated):
            self._truncated(event)
        elif isinstance(event, Transcribed):
            self._emit(QuestionText(turn=event.turn, text=event.text))
        elif isinstance(event, Failed):
            self._failed(event, now)
        elif isinstance(event, Told):
            self._emit(Notice(text=event.sentence))
        elif self._answer is not None and event.turn == self._answer.turn:
            self._answer_event(self._answer, event, now)
        # Anything else is of an answer that was interrupted: its generation ends a little later.

    def tick(self, now: float) -> None:
        """See how far the output came; to be called at least once per microphone block."""
        answer = self._answer
        if answer is None:
            return
        state = self._output.state
        if state == "playing" and answer.first_sound is None:
            answer.first_sound = now + self._output.latency
            self._unanswered = self._unanswered[:0]
            self._turns.answer_started()
            self._set("speaking")
        elif state == "waiting" and (notice := answer.slow_notice(self._output.wait)):
            self._emit(notice)
        elif state == "idle" and answer.ended is not None:
            self._finish(answer, answer.ended, now)

    def interrupt(self, now: float) -> bool:
        """End the turn in progress, the user's or the model's; return whether there was one."""
        if not self.busy:
            return False
        self._turns.reset()
        if self._answer is not None:
            self._stop_answer(self._answer, now)
        self._unanswered = self._unanswered[:0]
        self._model.forget()
        self._set("listening")
        return True

    def close(self, now: float) -> None:
        """The conversation is over: an answer in progress ends with what was heard of it.

        What comes of that is still a model event, to be passed on before all is told.
        """
        if self._answer is not None:
            self._stop_answer(self._answer, now)

    def pause(self, now: float) -> None:
        """End the turn in progress and wait for `resume`: a device is gone."""
        self.interrupt(now)
        self._set("paused")

    def resume(self) -> None:
        """Listen again after `pause`."""
        self._turns.reset()
        self._set("listening")

    def _turn_event(self, event: TurnEvent, now: float) -> None:
        if isinstance(event, BargeInSuspected):
            self._output.hold(now)
        elif isinstance(event, BargeInDismissed):
            self._output.release()
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

    def _answer_event(self, answer: RunningAnswer, event: Text | Sound | Ended, now: float) -> None:
        if isinstance(event, Text):
            answer.text.append(event.text)
            self._emit(AnswerText(turn=answer.turn, text=event.text))
        elif isinstance(event, Sound):
            self._output.push(event.samples, now)
        else:
            answer.ended = event
            self._output.finish()
        self.tick(now)

    def _state_of_answer(self) -> LiveState:
        if self._answer is None:
            return "listening"
        return "thinking" if self._answer.first_sound is None else "speaking"

    def _question(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is to be answered, float32 [n]: `samples` after what was not answered yet."""
        return np.concatenate([self._unanswered, samples])

    def _ask(self, event: TurnFinished, now: float) -> None:
        if self._answer is not None:  # the answer before is still heard, push to talk
            self._stop_answer(self._answer, now)
        self._turn += 1
        question = self._question(event.samples)
        ago = (self._position - event.end) / self._rate
        end = now - ago
        start = end - (event.end - event.start) / self._rate
        self._emit(QuestionHeard(turn=self._turn, start=start - self._began, end=end - self._began))
        self._answer = RunningAnswer(turn=self._turn, question=question, asked=end)
        self._output.begin()
        self._model.answer(self._turn, question)
        self._set("thinking")

    def _speak_over(self, answer: RunningAnswer, now: float) -> None:
        """The user speaks again: before anything of the answer was heard, or read, both parts are
        one question, else it is interrupted.
        """
        self._stop_answer(answer, now)
        noticed = answer.heard_samples if self._speaks else answer.text
        if not noticed:
            self._unanswered = answer.question

    def _stop_answer(self, answer: RunningAnswer, now: float) -> None:
        """Stop playing at once, the model as soon as it notices, and forget what was not heard."""
        heard = self._end_output(answer, now)
        # An answer whose first sound was not noticed yet was not heard, a few samples or not:
        # the state never was "speaking".
        answer.heard_samples = 0 if answer.first_sound is None else heard
        answer.last_sound = now
        self._stopped[answer.turn] = answer
        self._model.stop(answer.turn, answer.heard_samples)

    def _finish(self, answer: RunningAnswer, ended: Ended, now: float) -> None:
        """All of the answer was heard, or it had no sound."""
        spoken = answer.first_sound is not None
        answer.last_sound = now + self._output.latency if spoken else now
        self._end_output(answer, now)
        self._unanswered = self._unanswered[:0]
        self._emit(answer.heard(self._began, interrupted=False))
        self._emit(answer.report(ended, self._resident_bytes()))
        if self.state != "hearing":
            self._set("listening")

    def _end_output(self, answer: RunningAnswer, now: float) -> int:
        """The answer sounds no longer; returns how many of its samples were heard."""
        answer.underruns = self._output.underruns
        heard = self._output.stop(now)
        self._turns.answer_ended()
        self._answer = None
        return heard

    def _truncated(self, event: Truncated) -> None:
        """The model knows what was heard of an interrupted answer; now it can be told."""
        answer = self._stopped.pop(event.turn, None)
        if answer is None or not (event.text or answer.heard_samples):
            return  # nothing of it was heard: the turn never was
        self._emit(answer.heard(self._began, interrupted=True, text=event.text))
        if event.ended is not None:
            self._emit(answer.report(event.ended, self._resident_bytes()))

    def _failed(self, event: Failed, now: float) -> None:
        """The question cannot be answered: it is gone, or whatever is said next would fail too.

        So it is, too, if the user has gone on meanwhile; what is said now is a question by itself.
        """
        answer = self._answer
        if answer is not None and answer.turn == event.turn:
            self._unanswered = self._unanswered[:0]
            self._end_output(answer, now)
            if self.state != "hearing":
                self._set("listening")
        else:
            stopped = self._stopped.get(event.turn)
            if stopped is None or stopped.question is not self._unanswered:
                return
            self._unanswered = self._unanswered[:0]
        self._emit(Notice(text=event.sentence))

    def _set(self, state: LiveState) -> None:
        if state != self.state:
            self.state = state
            self._emit(StateChanged(state=state))
