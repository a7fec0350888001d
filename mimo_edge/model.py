"""A loaded bundle and the tasks it can do.

    with MimoAudio.load() as model:  # the demo model, or the folder of a bundle
        print(model.transcribe("question.wav").text)

A model holds no conversation: that is `Session`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .audio import AudioInput, read_audio, split_at_quiet
from .bundle.default_bundle import find_bundle
from .bundle.manifest import Manifest
from .engine import Answer, Engine, OnSound, OnText
from .errors import MimoEdgeError
from .generation.events import Event, TurnStats
from .generation.sound import SoundOptions
from .listener import Listener
from .prompt import prompts
from .prompt.prompts import Reply
from .session import Session
from .stages.runtime_options import RuntimeOptions
from .tasks import Overrides, Task, task
from .trained_tasks import Ability, check_trained

__all__ = ["MimoAudio"]

_LONGEST_TRANSCRIPT_S = 30.0
"""Longer recordings are transcribed in parts, cut where they are quiet."""


class MimoAudio:
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

    def transcribe(
        self,
        audio: AudioInput,
        *,
        instruction: str | None = None,
        overrides: Overrides | None = None,
        on_text: OnText | None = None,
    ) -> Answer:
        """Speech to text. More than 30 s are taken in parts, cut at quiet places.

        Here and wherever else a recording is listened to, the middle of pauses of more than a
        second is left out, at its begin and end too; only `encode` keeps the recording's length.
        """
        samples = self._engine.hear(audio)
        longest = min(
            _LONGEST_TRANSCRIPT_S, self._engine.seconds_of(self._engine.backbone.context) / 2
        )
        parts = split_at_quiet(samples, self.sample_rate, longest)
        answers: list[Answer] = []
        for part in parts:
            # Long silence is shortened, but a part may still be so soft that it counts as none.
            if self._engine.is_silent(part):
                continue
            if answers and on_text:
                on_text(" ")
            patches = self._engine.listen_samples(part)
            pieces = (
                prompts.transcribe(patches, instruction)
                if instruction
                else prompts.transcribe(patches)
            )
            answers.append(self.run(task("transcribe", pieces, overrides), on_text=on_text))
        return _join(answers)

    def speak(
        self,
        text: str,
        *,
        style: str | None = None,
        style_in_text: bool = False,
        voice: AudioInput | None = None,
        anyway: bool = False,
        overrides: Overrides | None = None,
        on_text: OnText | None = None,
        on_sound: OnSound | None = None,
    ) -> Answer:
        """Text to speech; see `prompts.speak` for style and voice.

        Raises:
            MimoEdgeError: there is no text, or the voice cannot be read.
            NotTrainedError: the checkpoint was not trained for voices or styles; `anyway` tries
                them all the same.
        """
        if not text.strip():
            raise MimoEdgeError("there is no text to speak; give some.")
        if voice is not None:
            self._check_trained("speak in a voice", anyway)
        if style is not None or style_in_text:
            self._check_trained("speak in a style", anyway)
        patches = self._engine.listen(voice) if voice is not None else None
        pieces = prompts.speak(text, style=style, style_in_text=style_in_text, voice=patches)
        return self.run(task("speak", pieces, overrides), on_text=on_text, on_sound=on_sound)

    def ask(
        self,
        audio: AudioInput,
        question: str,
        *,
        thinking: bool = False,
        overrides: Overrides | None = None,
        on_text: OnText | None = None,
    ) -> Answer:
        """A question about a recording, answered in text."""
        pieces = prompts.understand(self._engine.listen(audio), question, thinking=thinking)
        return self.run(task("understand", pieces, overrides), on_text=on_text)

    def few_shot(
        self,
        instruction: str,
        examples: Sequence[tuple[AudioInput, AudioInput, str]],
        audio: AudioInput,
        *,
        anyway: bool = False,
        overrides: Overrides | None = None,
        on_text: OnText | None = None,
        on_sound: OnSound | None = None,
    ) -> Answer:
        """Speech to speech by examples: (input, output, text of the output) each.

        Raises:
            MimoEdgeError: a recording cannot be read.
            NotTrainedError: the checkpoint was not trained for this, as only the base model was;
                `anyway` tries it all the same.
        """
        self._check_trained("few-shot", anyway)
        heard = [
            (self._engine.listen(said), self._engine.listen(answered), text)
            for said, answered, text in examples
        ]
        pieces = prompts.few_shot(instruction, heard, self._engine.listen(audio))
        return self.run(task("few-shot", pieces, overrides), on_text=on_text, on_sound=on_sound)

    def continue_speech(
        self,
        audio: AudioInput,
        *,
        anyway: bool = False,
        overrides: Overrides | None = None,
        on_text: OnText | None = None,
        on_sound: OnSound | None = None,
    ) -> Answer:
        """Go on speaking where a recording ends.

        Raises:
            MimoEdgeError: the recording cannot be read.
            NotTrainedError: the checkpoint was not trained for this, as only the base model was;
                `anyway` tries it all the same.
        """
        self._check_trained("continue", anyway)
        pieces = prompts.continue_speech(self._engine.listen(audio))
        return self.run(task("continue", pieces, overrides), on_text=on_text, on_sound=on_sound)

    def session(
        self,
        *,
        reply: Reply = "speech",
        system: str | None = None,
        voice: AudioInput | None = None,
        overrides: Overrides | None = None,
    ) -> Session:
        """A conversation with memory."""
        patches = self._engine.listen(voice) if voice is not None else None
        return Session(self._engine, reply=reply, system=system, voice=patches, overrides=overrides)

    def load_session(
        self, path: str | Path, *, reply: Reply | None = None, overrides: Overrides | None = None
    ) -> Session:
        """Go on with a conversation that was saved; `reply` changes how it answers.

        Raises:
            MimoEdgeError: the file is no saved session, or one of another bundle.
        """
        return Session.load(self._engine, Path(path), overrides, reply)

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
            MimoEdgeError: they are no codes of this model.
        """
        return self._engine.audio_tokenizer.decode(np.asarray(codes), progress)

    def warm_up(self, lookahead: int | None = None) -> None:
        """Make the first answer as fast as the others; see `Engine.warm_up`."""
        self._engine.warm_up(lookahead)

    def listener(self) -> Listener:
        """For turns that are heard while they are spoken."""
        return Listener(self._engine)

    def run(
        self, task: Task, *, on_text: OnText | None = None, on_sound: OnSound | None = None
    ) -> Answer:
        """Answer one task from an empty cache.

        `on_sound` gets the speech while it is generated; the answer's own is decoded at its end,
        in one go, which sounds a little better.
        """
        events = self.stream(task, sound=on_sound is not None)
        return self._engine.collect(events, speaks=task.speaks, on_text=on_text, on_sound=on_sound)

    def stream(
        self,
        task: Task,
        *,
        cancel: threading.Event | None = None,
        sound: SoundOptions | bool = False,
    ) -> Generator[Event, None, None]:
        """Answer one task, as events; with `sound`, speech is decoded while it is generated."""
        cache = self._engine.new_cache()
        try:
            yield from self._engine.stream(task, cache, cancel=cancel, sound=sound)
        finally:
            cache.close()

    def _check_trained(self, ability: Ability, anyway: bool) -> None:
        if not anyway:
            check_trained(self.manifest, ability)

    def close(self) -> None:
        """Free everything, sessions included, after the calls that other threads are in."""
        self._engine.close()

    def __enter__(self) -> MimoAudio:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _join(answers: Sequence[Answer]) -> Answer:
    """One answer of the answers to the parts of a recording: counts and times add up."""
    stats = {
        field.name: sum(getattr(answer.stats, field.name) for answer in answers)
        for field in fields(TurnStats)
    }
    cut = [answer.reason for answer in answers if answer.reason != "stop"]
    return replace(
        answers[-1],
        text=" ".join(answer.text for answer in answers if answer.text),
        reason=cut[0] if cut else "stop",
        stats=TurnStats(**stats),
    )
