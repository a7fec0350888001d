"""The model of one session, in threads: one for the conversation, one for what runs beside it.

All sessions share the model; it steps their answers together. What is no longer wanted is
cancelled by an event that is looked at between two positions.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...errors import MimoEdgeError
from ...generation import events as generation
from ...generation.sound import SoundOptions
from ...model import MimoAudio
from ...prompt.prompts import Language
from ...prompt_cache import PromptCache
from ...tasks import PreparedTask, Transcribe, transcription
from ...trained_tasks import hinted_language
from ..mistakes import log_mistake
from ..requests.api_errors import ApiError, api_error
from ..sharing.work import Answering
from .contents import InputAudio, Spoken, Utterance
from .model_port import (
    Answered,
    Failed,
    ModelEvent,
    SoundDelta,
    TextDelta,
    Transcribed,
    TranscriptDelta,
    TranscriptFailed,
)
from .plan import Plan, Prompter

__all__ = ["ModelThreads"]

_log = logging.getLogger(__name__)
_LONGEST_TRANSCRIPT_S = 30.0
"""Longer sound is written down in parts, which are encoded anew."""

Job = Callable[[], None]


class ModelThreads:
    """A `ModelPort` over a loaded model. All methods are for the event loop."""

    def __init__(
        self,
        model: MimoAudio,
        post: Callable[[ModelEvent], None],
        *,
        lookahead: int | None,
        voice_of: Callable[[str | None], NDArray[np.int64] | None],
        answering: Callable[[], contextlib.AbstractContextManager[Answering]],
        log_text: bool = False,
    ) -> None:
        """Call `post` with every event, from the threads. See `SoundOptions` for `lookahead`.

        `voice_of` gives the patches of a voice by its identifier; it may read files.
        `answering` is entered while an answer is made, and told what it cost. `log_text`: whether
        the log may hold what is said.
        """
        self._model, self._post, self._lookahead = model, post, lookahead
        self._voice_of, self._answering = voice_of, answering
        self._cache = model.prompt_cache()
        self._listener = model.listener()
        self._prompter = Prompter(self._cache, self._listener)
        self._running: dict[str, _Wanted] = {}
        self._newest: NDArray[np.float32] | None = None
        """The turn in progress, which the model's thread has not taken yet."""
        self._preparing = threading.Event()
        self._closing = threading.Event()
        self._log_text = log_text
        self._main = _JobThread("mimo_edge realtime", self._log)
        self._beside = _JobThread("mimo_edge realtime, beside", self._log)

    def hear(self, samples: NDArray[np.float32]) -> None:
        """Compute what can be computed of a turn that goes on."""
        waits = self._newest is not None
        self._newest = samples
        if not waits:  # a job for each would keep the copies of sound that comes very fast
            self._main.do(self._hear)

    def prepare(self, plan: Plan) -> None:
        """Evaluate the prompt of an answer that may be wanted soon."""
        self.forget()
        self._preparing = cancel = threading.Event()
        self._main.do(lambda: self._prepare(plan, cancel))

    def forget(self) -> None:
        """Stop preparing."""
        self._preparing.set()

    def answer(self, response: str, plan: Plan, spoken: Spoken, *, aside: bool) -> None:
        """Answer, in the conversation or beside it."""
        self._running[response] = wanted = _Wanted(plan)
        # A preparation of this very plan goes on: the answer takes what it evaluated.
        thread = self._beside if aside else self._main
        answer = self._answer_aside if aside else self._answer_here

        def job() -> None:
            if (plan := wanted.plan) is not None:
                answer(response, plan, spoken, wanted.cancel)

        thread.do(lambda: self._run_answer(response, job))

    def stop(self, response: str) -> None:
        """End an answer within one step."""
        if (wanted := self._running.pop(response, None)) is not None:
            wanted.end()

    def transcribe(self, item: str, audio: InputAudio, language: str | None) -> None:
        """Write down what the user said."""
        utterance = audio.utterance
        assert utterance is not None
        spoken = hinted_language(language, self._model.manifest)
        self._beside.do(lambda: self._transcribe(item, utterance, spoken))

    def close(self) -> None:
        """End everything within one step; blocks until then. Nothing may be asked for afterwards.

        What is large goes at once, and does not wait for the garbage collector.
        """
        self._closing.set()
        self.forget()
        for wanted in [*self._running.values()]:
            wanted.end()
        self._main.close()
        self._beside.close()
        self._cache.close()
        self._newest = None
        del self._listener, self._prompter, self._cache

    def _run_answer(self, response: str, answer: Job) -> None:
        try:
            answer()
        finally:
            self._running.pop(response, None)

    def _hear(self) -> None:
        samples, self._newest = self._newest, None
        if samples is not None:
            self._listener.hear(samples)

    def _prepare(self, plan: Plan, cancel: threading.Event) -> None:
        if cancel.is_set():
            return
        # The answer fails in the same way, and a turn that goes on may not fail at all.
        with contextlib.suppress(MimoEdgeError):
            laid_out = self._prompter.lay_out(plan, self._voice_of(plan.voice), cancel)
            self._cache.evaluate(laid_out.task.pieces, cancel=cancel)

    def _answer_here(
        self, response: str, plan: Plan, spoken: Spoken, cancel: threading.Event
    ) -> None:
        self._answer(response, plan, spoken, cancel, self._cache, self._prompter)
        if spoken.end is None or plan.reply != "speech" or cancel.is_set():
            return
        # The answer is still heard: time to make room, if the context needs it.
        with contextlib.suppress(MimoEdgeError):
            pieces = self._prompter.opening(plan, self._voice_of(plan.voice), spoken, cancel)
            self._cache.evaluate(pieces, cancel=cancel)

    def _answer_aside(
        self, response: str, plan: Plan, spoken: Spoken, cancel: threading.Event
    ) -> None:
        with contextlib.closing(self._model.prompt_cache()) as cache:
            self._answer(
                response, plan, spoken, cancel, cache, Prompter(cache, self._model.listener())
            )

    def _answer(
        self,
        response: str,
        plan: Plan,
        spoken: Spoken,
        cancel: threading.Event,
        cache: PromptCache,
        prompter: Prompter,
    ) -> None:
        def sound(samples: NDArray[np.float32]) -> None:
            self._post(SoundDelta(response=response, samples=samples))

        if cancel.is_set():
            return
        options = SoundOptions(lookahead=self._lookahead, on_samples=sound)
        try:
            laid_out = prompter.lay_out(plan, self._voice_of(plan.voice), cancel)
            spoken.end = end = self._make(response, laid_out.task, options, cancel, cache)
            self._post(
                Answered(response=response, end=end, audio_positions=laid_out.audio_positions)
            )
        except Exception as error:
            self._post(Failed(response=response, error=self._told(error)))

    def _make(
        self,
        response: str,
        task: PreparedTask,
        options: SoundOptions,
        cancel: threading.Event,
        cache: PromptCache,
    ) -> generation.TurnEnd:
        sound = options if task.speaks else False
        with self._answering() as answering:
            for event in cache.stream(task, cancel=cancel, sound=sound):
                if isinstance(event, generation.TextDelta):
                    self._post(TextDelta(response=response, text=event.text))
                elif isinstance(event, generation.TurnEnd):
                    answering.generated(event.stats)
                    return event
        raise RuntimeError("the generation ended without its last event")

    def _transcribe(self, item: str, utterance: Utterance, language: Language) -> None:
        text = ""
        seconds = utterance.length / self._model.sample_rate
        try:
            task = self._transcription(utterance, seconds, language)
            for event in self._model.stream(task, cancel=self._closing):
                if isinstance(event, generation.TextDelta):
                    text += event.text
                    self._post(TranscriptDelta(item=item, text=event.text))
            self._post(Transcribed(item=item, text=text.strip(), seconds=seconds))
        except Exception as error:
            self._post(TranscriptFailed(item=item, error=self._told(error)))

    def _transcription(
        self, utterance: Utterance, seconds: float, language: Language
    ) -> PreparedTask | Transcribe:
        if seconds > _LONGEST_TRANSCRIPT_S and utterance.samples is not None:
            return Transcribe(audio=utterance.samples, language=language)
        # What the answer encoded is not encoded again.
        patches = utterance.patches(self._model.listener())
        return transcription(self._model.manifest, patches, language=language)

    def _told(self, error: Exception) -> ApiError:
        """An error as the client sees it; a mistake of ours also goes into the log."""
        if isinstance(error, MimoEdgeError):
            return api_error(error)
        self._log(error)
        return ApiError(500, "the server made a mistake; its log says which.")

    def _log(self, error: Exception) -> None:
        log_mistake(_log, "a mistake in a realtime session", error, log_text=self._log_text)


class _Wanted:
    """An answer that was asked for, whose turn may come later."""

    def __init__(self, plan: Plan) -> None:
        self.plan: Plan | None = plan
        self.cancel = threading.Event()

    def end(self) -> None:
        """It is not wanted any more; nor is its plan, which may hold minutes of sound."""
        self.cancel.set()
        self.plan = None


class _JobThread:
    """Does one job after the other. It starts with its first."""

    def __init__(self, name: str, log: Callable[[Exception], None]) -> None:
        self._log = log
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = self._closed = False

    def do(self, job: Job) -> None:
        if not self._started:
            self._started = True
            self._thread.start()
        self._jobs.put(job)

    def close(self) -> None:
        """Leave out what was not begun, and wait for what was."""
        self._closed = True
        self._jobs.put(None)
        if self._started:
            self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._closed:
                continue
            try:
                job()
            except Exception as error:  # which must not leave the next ones unanswered
                self._log(error)
