"""What the model can be asked to do: prompt, samplers and stops of every task.

    answer = model.run(Ask(audio="door.wav", question="What is this?"))
    for event in model.stream(Speak(text="Hello."), sound=True): ...

The table is the reference's (`task_sampler_configs`). Codes are never sampled greedily: that gives
flat, broken speech.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .audio import AudioInput
from .bundle.manifest import Manifest
from .errors import BadInputError
from .generation.answer import GenerationOptions
from .hearing import HeardPart, Hearing
from .overrides import Overrides
from .prompt import prompts
from .prompt.positions import Piece
from .prompt.prompts import LANGUAGE_TAGS, Exchange, Language, Reply
from .stages.sampling import SamplerOptions
from .trained_tasks import check_language, check_trained, spoken_forms

__all__ = [
    "LONGEST_TRANSCRIPT_S",
    "Ask",
    "Continue",
    "FewShot",
    "Overrides",
    "PreparedTask",
    "Speak",
    "Task",
    "Transcribe",
    "Turn",
    "converse",
    "task",
    "transcription",
]

Patches = NDArray[np.int64]

LONGEST_TRANSCRIPT_S = 30.0
"""Longer recordings are transcribed in parts, cut where they are quiet."""
_CODES = SamplerOptions(temperature=0.9, top_p=0.95)
_TEXT_ENDS = ("<|endoftext|>", "<|im_end|>")
_SPEECH_ENDS = ("<|endoftext|>", "<|eostm|>", "<|im_end|>")


@dataclass(frozen=True, kw_only=True)
class PreparedTask:
    """A prompt and how to answer it."""

    name: str
    pieces: Sequence[Piece]
    options: GenerationOptions
    speaks: bool
    """Whether the answer may hold speech."""
    part: HeardPart | None = None
    """Of which part of a recording it is, where one is taken in parts."""


def _options(
    text: SamplerOptions, stops: tuple[str, ...], codes: SamplerOptions = _CODES
) -> GenerationOptions:
    return GenerationOptions(text=text, codes=codes, stops=stops)


_OPTIONS = {
    "transcribe": _options(SamplerOptions(greedy=True), _TEXT_ENDS),
    "speak": _options(SamplerOptions(temperature=0.6), _SPEECH_ENDS),
    "understand": _options(SamplerOptions(temperature=0.3, top_p=0.95), _TEXT_ENDS),
    "spoken dialogue": _options(SamplerOptions(temperature=0.6, top_p=0.95), _SPEECH_ENDS),
    "speech-to-text dialogue": _options(SamplerOptions(temperature=0.6, top_p=0.95), _TEXT_ENDS),
    "text dialogue": _options(SamplerOptions(temperature=0.4, top_p=0.95), _TEXT_ENDS),
    "few-shot": _options(SamplerOptions(greedy=True), ("<|endoftext|>", "<|eostm|>")),
    "continue": _options(
        SamplerOptions(temperature=0.6, top_k=50, top_p=0.95),
        ("<|endoftext|>", "<|eosp|>", "<|eostm|>"),
        SamplerOptions(temperature=0.9, top_k=50, top_p=0.95),
    ),
}
_SPEAKING = frozenset({"speak", "spoken dialogue", "few-shot", "continue"})


def task(name: str, pieces: Sequence[Piece], overrides: Overrides | None = None) -> PreparedTask:
    """A task of the table by its name."""
    options = (overrides or Overrides()).apply(_OPTIONS[name])
    return PreparedTask(name=name, pieces=pieces, options=options, speaks=name in _SPEAKING)


def converse(
    turns: Sequence[Exchange],
    reply: Reply,
    *,
    system: str | None = None,
    voice: Patches | None = None,
    overrides: Overrides | None = None,
) -> PreparedTask:
    """The next answer of a conversation; its options follow the last request and the reply."""
    if reply == "speech":
        name = "spoken dialogue"
    elif isinstance(turns[-1].request, str):
        name = "text dialogue"
    else:
        name = "speech-to-text dialogue" if turns[-1].question is None else "understand"
    pieces = prompts.conversation(turns, reply, system=system, voice=voice)
    return task(name, pieces, overrides)


def transcription(
    manifest: Manifest,
    patches: Patches,
    *,
    instruction: str | None = None,
    language: Language = "auto",
    overrides: Overrides | None = None,
) -> PreparedTask:
    """Speech to text of what was heard already, as the bundle's checkpoint knows it.

    Raises:
        MimoEdgeError: the checkpoint does not know the language.
    """
    check_language(manifest, language)
    tagged = manifest.prompts == "mimo-v2.5-asr"
    pieces = prompts.transcribe(patches, instruction, language=language, tagged=tagged)
    prepared = task("transcribe", pieces, overrides)
    marks = tuple(LANGUAGE_TAGS.values()) if tagged else ()
    return replace(prepared, options=replace(prepared.options, marks=marks))


@dataclass(frozen=True, kw_only=True)
class Transcribe:
    """Speech to text. More than 30 s are taken in parts, cut at quiet places."""

    audio: AudioInput
    instruction: str | None = None
    """What to ask for instead, for example in another language."""
    language: Language = "auto"
    """The language that is spoken; MiMo-V2.5-ASR writes in it, MiMo-Audio is asked in it."""
    overrides: Overrides | None = None

    def prepare(self, hearing: Hearing) -> Iterator[PreparedTask]:
        """Its parts, each heard when the one before it was answered.

        Raises:
            MimoEdgeError: the audio cannot be read or is silent, or the checkpoint does not know
                the language.
        """
        check_language(hearing.manifest, self.language)
        for part in hearing.parts(self.audio, LONGEST_TRANSCRIPT_S):
            yield self.prepare_part(hearing, part)

    def prepare_part(self, hearing: Hearing, part: HeardPart) -> PreparedTask:
        """One part of the recording, which is encoded here.

        Raises:
            MimoEdgeError: it does not fit the context, or the language is not known.
        """
        prepared = transcription(
            hearing.manifest,
            hearing.listen_samples(part.samples),
            instruction=self.instruction,
            language=self.language,
            overrides=self.overrides,
        )
        return replace(prepared, part=part)


@dataclass(frozen=True, kw_only=True)
class Speak:
    """Text to speech; see `prompts.speak` for style and voice."""

    text: str
    style: str | None = None
    """How it is to be said, in words."""
    style_in_text: bool = False
    """Whether the text says itself how it is to be said."""
    voice: AudioInput | Patches | None = None
    """A recording whose voice to use, or what `MimoAudio.listen` made of one."""
    anyway: bool = False
    """Try voices and styles with a checkpoint that was not trained for them, too."""
    overrides: Overrides | None = None

    def prepare(self, hearing: Hearing) -> Iterator[PreparedTask]:
        """The one task that it is.

        Raises:
            MimoEdgeError: there is no text, or the voice cannot be read.
            NotTrainedError: the checkpoint was not trained for voices or styles.
        """
        if not self.text.strip():
            raise BadInputError("there is no text to speak; give some.")
        if self.voice is not None and not self.anyway:
            check_trained(hearing.manifest, "speak in a voice")
        if (self.style is not None or self.style_in_text) and not self.anyway:
            check_trained(hearing.manifest, "speak in a style")
        voice = hearing.request(self.voice) if self.voice is not None else None
        pieces = prompts.speak(
            self.text, style=self.style, style_in_text=self.style_in_text, voice=voice
        )
        prepared = task("speak", pieces, self.overrides)
        repeats = spoken_forms(self.text, hearing.manifest)
        yield replace(prepared, options=replace(prepared.options, repeats=repeats))


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A question about a recording, answered in text."""

    audio: AudioInput
    question: str
    thinking: bool = False
    """Whether the model thinks aloud first."""
    overrides: Overrides | None = None

    def prepare(self, hearing: Hearing) -> Iterator[PreparedTask]:
        """The one task that it is."""
        patches = hearing.listen(self.audio)
        pieces = prompts.understand(patches, self.question, thinking=self.thinking)
        yield task("understand", pieces, self.overrides)


@dataclass(frozen=True, kw_only=True)
class FewShot:
    """Speech to speech by examples, for the base model."""

    instruction: str
    """What is done in the examples."""
    examples: Sequence[tuple[AudioInput, AudioInput, str]]
    """(input, output, text of the output) each."""
    audio: AudioInput
    """What to do the same with."""
    anyway: bool = False
    """Try it with a checkpoint that was not trained for it, too."""
    overrides: Overrides | None = None

    def prepare(self, hearing: Hearing) -> Iterator[PreparedTask]:
        """The one task that it is.

        Raises:
            NotTrainedError: the checkpoint was not trained for this.
        """
        if not self.anyway:
            check_trained(hearing.manifest, "few-shot")
        heard = [
            (hearing.listen(said), hearing.listen(answered), text)
            for said, answered, text in self.examples
        ]
        pieces = prompts.few_shot(self.instruction, heard, hearing.listen(self.audio))
        yield task("few-shot", pieces, self.overrides)


@dataclass(frozen=True, kw_only=True)
class Continue:
    """Go on speaking where a recording ends, for the base model."""

    audio: AudioInput
    anyway: bool = False
    """Try it with a checkpoint that was not trained for it, too."""
    overrides: Overrides | None = None

    def prepare(self, hearing: Hearing) -> Iterator[PreparedTask]:
        """The one task that it is.

        Raises:
            NotTrainedError: the checkpoint was not trained for this.
        """
        if not self.anyway:
            check_trained(hearing.manifest, "continue")
        yield task("continue", prompts.continue_speech(hearing.listen(self.audio)), self.overrides)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One turn: what somebody says, as audio or as text, to be answered.

    `session.stream` answers it in a conversation; `model.run` alone, as the first of one.
    """

    audio: AudioInput | Patches | None = None
    text: str | None = None
    reply: Reply | None = None
    """How to answer; None: as the session does, in speech where there is none."""
    overrides: Overrides | None = None
    """For `model.run` alone: a session has its own."""

    def request(self, hearing: Hearing) -> Patches | str:
        """What is said: text, or patches int64 [patches, group, channels].

        Raises:
            MimoEdgeError: it is both or neither, or the audio cannot be read.
        """
        if self.audio is not None and self.text is None:
            return hearing.request(self.audio)
        if self.text is not None and self.audio is None:
            return self.text
        raise BadInputError("a turn is either audio or text; give one of them.")

    def prepare(self, hearing: Hearing) -> Iterator[PreparedTask]:
        """The one task that it is, without a conversation around it."""
        exchange = Exchange(request=self.request(hearing))
        yield converse([exchange], self.reply or "speech", overrides=self.overrides)


Task = Transcribe | Speak | Ask | FewShot | Continue | Turn
