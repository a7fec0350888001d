"""A loaded bundle and the tasks it can do.

    with MimoAudio.load() as model:  # the demo model, or the folder of a bundle
        print(model.transcribe("question.wav").text)

A model holds no conversation: that is `Session`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .answer import Answer, OnSound, OnText, join_answers, join_ends
from .audio import LONGEST_S, AudioInput, SurveyedSound, read_audio
from .bundle.default_bundle import find_bundle
from .bundle.manifest import Manifest
from .engine import Engine, run_to_end
from .errors import BadInputError
from .generation.asynchronous import in_thread
from .generation.events import Event, TextDelta, TurnEnd
from .generation.sound import SoundOptions
from .hearing import HeardPart
from .listener import Listener
from .named_tasks import NamedTasks
from .prompt.positions import Positions
from .prompt.prompts import Reply
from .prompt_cache import PromptCache
from .session import Session
from .stages.machine.runtime_options import RuntimeOptions
from .tasks import LONGEST_TRANSCRIPT_S, Overrides, PreparedTask, Task, Transcribe

__all__ = ["MimoAudio"]


class MimoAudio(NamedTasks):
    """MiMo-Audio, ready to listen and speak. Close it, or use it as a context manager.

    Several threads may use one model, each with sessions of its own; they wait for each other
    where they meet. A process that is forked after a model was loaded can use no model at all:
    start processes with multiprocessing's "spawn" method and load the model in each.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def load(
        cls, bundle: str | Path | None = None, options: RuntimeOptions | None = None
    ) -> MimoAudio:
        """Load the bundle in a folder; weights are mapped, not copied.

        Without a folder it is the one that the environment variable MIMO_EDGE_MODEL names, or
        the demo model that comes with the project.

        Raises:
            MimoEdgeError: which file is wrong, and what to do.
        """
        return cls(Engine.load(find_bundle(bundle), options or RuntimeOptions()))

    @property
    def manifest(self) -> Manifest:
        """What is in the bundle."""
        return self._engine.manifest

    @property
    def sample_rate(self) -> int:
        """Hz, of all waveforms of this model."""
        return self._engine.manifest.audio.sample_rate

    def session(
        self,
        *,
        reply: Reply = "speech",
        system: str | None = None,
        voice: AudioInput | NDArray[np.int64] | None = None,
        overrides: Overrides | None = None,
    ) -> Session:
        """A conversation with memory; `voice` is a recording, or what `listen` made of one."""
        patches = self._engine.hearing.request(voice) if voice is not None else None
        return Session(self._engine, reply=reply, system=system, voice=patches, overrides=overrides)

    def prompt_cache(self) -> PromptCache:
        """For conversations whose turns come with every request; see `PromptCache`.

        Raises:
            MimoEdgeError: there is not enough memory for it, or the model is closed.
        """
        return PromptCache(self._engine)

    def positions(self, task: PreparedTask) -> Positions:
        """The prompt of a task, position by position."""
        return self._engine.layout.positions(task.pieces)

    def load_session(
        self, path: str | Path, *, reply: Reply | None = None, overrides: Overrides | None = None
    ) -> Session:
        """Go on with a conversation that was saved; `reply` changes how it answers.

        Raises:
            MimoEdgeError: the file is no saved session, or one of another bundle.
        """
        return Session.load(self._engine, Path(path), overrides, reply)

    def listen(self, audio: AudioInput | NDArray[np.int64]) -> NDArray[np.int64]:
        """What the model gets of a recording: patches int64 [patches, group, channels].

        They stand for the recording wherever one is taken as a turn or a voice, so that it is not
        encoded again. Patches that are given are checked and come back as they are.

        Raises:
            MimoEdgeError: the audio cannot be read, is silent or does not fit the context, or the
                patches are of another model.
        """
        return self._engine.hearing.request(audio)

    def encode(self, audio: AudioInput) -> NDArray[np.int64]:
        """Audio → RVQ codes of all codebooks, int64 [steps, quantizers]."""
        samples = read_audio(audio, self.manifest.audio)
        self._engine.check_memory()
        return self._engine.audio_tokenizer.encode(samples)

    def decode(
        self, codes: NDArray[np.int64], *, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Codes [steps, ≥ channels] → waveform float32 [samples]; uses the first `channels`.

        `progress` is told from time to time how many steps are done, and how many there are.

        Raises:
            MimoEdgeError: they are no codes of this model, or the bundle only listens.
        """
        self.manifest.check_speaks()
        return self._engine.audio_tokenizer.decode(np.asarray(codes), progress)

    def warm_up(self, lookahead: int | None = None) -> None:
        """Make the first answer as fast as the others; see `Engine.warm_up`."""
        self._engine.warm_up(lookahead)

    def listener(self) -> Listener:
        """For turns that are heard while they are spoken."""
        return Listener(self._engine.hearing)

    def run(
        self,
        task: Task | PreparedTask,
        *,
        on_text: OnText | None = None,
        on_sound: OnSound | None = None,
        cancel: threading.Event | None = None,
    ) -> Answer:
        """Do one task and wait for its end.

        `on_sound` gets the speech while it is generated; the answer's own is decoded at its end,
        in one go, which sounds a little better.

        Raises:
            MimoEdgeError: what the task needs cannot be read, or does not fit the context.
        """
        answers: list[Answer] = []
        for part in self.parts(task):
            if answers and on_text:
                on_text(" ")
            events = self._events(part, cancel, on_sound is not None)
            end = run_to_end(events, on_text, on_sound)
            answers.append(self._engine.answer(end, speaks=part.speaks))
            if end.reason == "cancelled":
                break
        return join_answers(answers)

    def stream(
        self,
        task: Task | PreparedTask,
        *,
        cancel: threading.Event | None = None,
        sound: SoundOptions | bool = False,
    ) -> Generator[Event, None, None]:
        """Do one task, as events, the last of which is `TurnEnd`.

        With `sound`, speech is decoded while it is generated. `cancel` ends it within one step;
        what was generated until then is in the last event.

        Raises:
            MimoEdgeError: what the task needs cannot be read, or does not fit the context.
        """
        ends: list[TurnEnd] = []
        for part in self.parts(task):
            if ends:
                yield TextDelta(text=" ")
            for event in self._events(part, cancel, sound):
                if isinstance(event, TurnEnd):
                    ends.append(event)
                else:
                    yield event
            if ends[-1].reason == "cancelled":
                break
        yield join_ends(ends)

    def astream(
        self,
        task: Task | PreparedTask,
        *,
        cancel: threading.Event | None = None,
        sound: SoundOptions | bool = False,
    ) -> AsyncGenerator[Event, None]:
        """The events of `stream` for asyncio: `async for event in model.astream(task)`.

        The event loop is never blocked: the model works in threads. Leaving the loop early, or
        cancelling the asyncio task, ends the answer within one step.
        """
        return in_thread(lambda ended: self.stream(task, cancel=ended, sound=sound), cancel)

    def log_probabilities(
        self, task: PreparedTask, texts: Sequence[str]
    ) -> list[NDArray[np.float64]]:
        """How likely each text is as the answer to a task: of every text, the natural logarithms
        [tokens] of how likely each token is behind those before it.

        Nothing is drawn, so samplers and seeds do not matter.

        Raises:
            MimoEdgeError: a text is empty, or does not fit the context behind the prompt.
        """
        engine = self._engine
        engine.check_memory()
        prompt = engine.layout.positions(task.pieces)
        found = []
        with contextlib.closing(engine.new_cache()) as cache:  # which keeps the prompt between them
            for text in texts:
                ids = engine.tokenizer.encode(text)
                if not ids:
                    raise BadInputError("the answer to be judged is empty; give a text.")
                found.append(engine.generation.log_probabilities(cache, prompt, ids, task.options))
        return found

    def parts(self, task: Task | PreparedTask) -> Iterator[PreparedTask]:
        """What a task consists of: one prompt, or, of a long recording, one of each part.

        Each is prepared when it is asked for; `stream` and `run` do it.

        Raises:
            MimoEdgeError: what the task needs cannot be read, or does not fit the context.
        """
        if isinstance(task, PreparedTask):
            return iter([task])
        return task.prepare(self._engine.hearing)

    def recording(
        self, audio: AudioInput, *, longest_s: float = LONGEST_S, may_be_silent: bool = False
    ) -> AbstractContextManager[SurveyedSound]:
        """A recording, to be heard part by part until the end of the block.

        Raises:
            MimoEdgeError: the audio cannot be read, is longer than `longest_s` seconds, or is
                silent and may not be.
        """
        return self._engine.hearing.open(audio, longest_s=longest_s, may_be_silent=may_be_silent)

    def heard_parts(self, recording: SurveyedSound) -> Iterator[HeardPart]:
        """The parts in which such a recording is written down, of 30 s at most.

        Raises:
            MimoEdgeError: it cannot be read any more.
        """
        return self._engine.hearing.parts_of(recording, LONGEST_TRANSCRIPT_S)

    def prepare(self, task: Transcribe, part: HeardPart) -> PreparedTask:
        """One part of a recording as a prompt; encodes it.

        Raises:
            MimoEdgeError: it does not fit the context, or the model does not know the language.
        """
        return task.prepare_part(self._engine.hearing, part)

    def _events(
        self, task: PreparedTask, cancel: threading.Event | None, sound: SoundOptions | bool
    ) -> Generator[Event, None, None]:
        """The events of one task, from an empty cache."""
        with contextlib.closing(self._engine.new_cache()) as cache:
            events = self._engine.events(task, cache, cancel=cancel, sound=sound)
            with contextlib.closing(events):
                yield from events

    def close(self) -> None:
        """Free everything, sessions included, after the calls that other threads are in."""
        self._engine.close()

    def __enter__(self) -> MimoAudio:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
