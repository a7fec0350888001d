"""The prompts of the released models, piece by piece (reference: `get_*_prompt`).

Every piece is tokenized by itself, as in the reference; `Template` text may hold control
tokens, everything else is plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .positions import AudioPiece, InterleavedPiece, Piece, Positions, RawPiece, TextPiece
from .text_tokenizer import Template

__all__ = [
    "LANGUAGE_TAGS",
    "Exchange",
    "Language",
    "Reply",
    "capitalized",
    "continue_speech",
    "conversation",
    "few_shot",
    "speak",
    "transcribe",
    "understand",
    "until_request",
]

Patches = NDArray[np.int64]

Reply = Literal["speech", "text", "thinking"]
"""How the assistant answers: in speech, in text, or in text after thinking aloud."""

Language = Literal["auto", "en", "zh"]
"""Which language is spoken in a recording that is written down; auto: the model finds out."""

LANGUAGE_TAGS: Mapping[Literal["en", "zh"], str] = MappingProxyType(
    {"en": "<english>", "zh": "<chinese>"}
)
"""How MiMo-V2.5-ASR opens an answer in a language: plain text, no control tokens. Where the prompt
leaves it out, the model may write it itself."""

_TRANSCRIBE = "Please transcribe this audio file"
_TRANSCRIBE_CHINESE = "请将这段语音转换为文字"
_SPEAK = "Please convert this text to speech"
_SPEAK_CHINESE = "请将这段文字转换为语音"
_STYLE = Template("你需要根据指定的风格指令和文本内容来生成语音。")
_STYLE_AND_VOICE = Template(
    "你需要根据指定的风格指令和文本内容来生成和语音prompt具有相同音色的语音。你的音色应该是："
)
_VOICE = Template("Your voice should be:")

_SYSTEM = Template("<|im_start|>system\n")
_USER = Template("<|im_start|>user\n")
_ASSISTANT = Template("<|im_start|>assistant\n")
_END = Template("<|im_end|>\n")
_SPEECH = Template("<|im_start|>assistant\n<|sostm|>")
_SPEECH_END = Template("<|eostm|>")
_THINK = Template("<think>\n")
_NO_THOUGHT = Template("<think>\n\n</think>\n")

_IDEOGRAPH = re.compile(r"[\u4e00-\u9fff]")


def transcribe(
    audio: Patches,
    instruction: str | None = None,
    *,
    language: Language = "auto",
    tagged: bool = False,
) -> list[Piece]:
    """Speech recognition.

    The language chooses the one in which it is asked for, as in the reference, which for auto
    takes either; here that is English, so that the same recording gives the same text. That is all
    that the prompt of MiMo-Audio has of it, and a hint at most. With `tagged`, as MiMo-V2.5-ASR
    has it, the answer is opened with the language's tag. An `instruction` is asked for instead.
    """
    if instruction is None:
        instruction = _TRANSCRIBE_CHINESE if language == "zh" else _TRANSCRIBE
    request = understand(audio, instruction, thinking=False)
    if not tagged or language == "auto":
        return request
    # One piece, and so tokenized as one string, as in the reference.
    opening = Template(_NO_THOUGHT + LANGUAGE_TAGS[language])
    return [*request[:-1], TextPiece((opening,))]


def understand(audio: Patches, question: str, *, thinking: bool) -> list[Piece]:
    """A question about a recording, answered in text."""
    return [
        TextPiece((_USER,)),
        AudioPiece(audio),
        TextPiece((question,)),
        TextPiece((_END,)),
        *_opening("thinking" if thinking else "text"),
    ]


def speak(
    text: str,
    *,
    style: str | None = None,
    style_in_text: bool = False,
    voice: Patches | None = None,
) -> list[Piece]:
    """Text to speech.

    Args:
        text: what to say, or, with `style_in_text`, how and what to say.
        style: how to say it, in words.
        style_in_text: the text carries its own instruction.
        voice: a recording whose voice to use. The released model knows this only together
            with a style.
    """
    spoken = capitalized(text)
    if style_in_text:
        request = TextPiece((_USER, spoken, _END))
    else:
        instruction = _SPEAK_CHINESE if _IDEOGRAPH.search(text) else _SPEAK
        suffix = f"({style})" if style is not None else ""
        request = TextPiece((_USER, f"{instruction}: {spoken}{suffix}", _END))
        if style is None and voice is None:
            return [request, TextPiece((_SPEECH,))]
    prompt: list[Piece] = [TextPiece((_STYLE if voice is None else _STYLE_AND_VOICE,))]
    if voice is not None:
        prompt.append(AudioPiece(voice))
    return [
        TextPiece((_SYSTEM,)),
        *prompt,
        TextPiece((_END,)),
        request,
        TextPiece((Template(_ASSISTANT + _THINK),)),
    ]


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One turn of a conversation: a request and, if it is over, its answer."""

    request: Patches | str
    """Speech, or text."""
    instructions: str | None = None
    """Text in front of the request, as the system prompt stands in front of the first one."""
    question: str | None = None
    """Text behind speech, as in `understand`."""
    answer: str | Positions | InterleavedPiece | None = None
    """Text; the positions of a spoken answer as generated, from behind `<|sostm|>`; or speech
    with its text, from a recording."""


def conversation(
    turns: Sequence[Exchange],
    reply: Reply,
    *,
    system: str | None = None,
    voice: Patches | None = None,
) -> list[Piece]:
    """All turns so far and the opening of the next answer."""
    pieces = _voice(voice)
    for index, turn in enumerate(turns):
        pieces += _turn(turn, system if not index else None)
    return [*pieces, *_opening(reply)]


def until_request(
    turns: Sequence[Exchange], *, system: str | None = None, voice: Patches | None = None
) -> list[Piece]:
    """What is in front of the next request of a conversation, whatever that will be."""
    pieces = _voice(voice)
    for index, turn in enumerate(turns):
        pieces += _turn(turn, system if not index else None)
    return [*pieces, *_request_opening(system if not turns else None)]


def _voice(voice: Patches | None) -> list[Piece]:
    if voice is None:
        return []
    return [TextPiece((_SYSTEM,)), TextPiece((_VOICE,)), AudioPiece(voice), TextPiece((_END,))]


def _turn(turn: Exchange, system: str | None) -> list[Piece]:
    before = [text for text in (system, turn.instructions) if text]
    pieces = _request_opening("\n\n".join(before) or None)
    if isinstance(turn.request, str):
        pieces.append(TextPiece((turn.request,)))
    else:
        pieces.append(AudioPiece(turn.request))
    if turn.question is not None:
        pieces.append(TextPiece((turn.question,)))
    pieces.append(TextPiece((_END,)))
    if turn.answer is not None:
        pieces += [*_answer(turn.answer), TextPiece((_END,))]
    return pieces


def _request_opening(system: str | None) -> list[Piece]:
    """`system` in the first turn only."""
    # Two pieces: a full stop never merges with the line breaks.
    instructions = [TextPiece((system,)), TextPiece(("\n\n",))] if system else []
    return [TextPiece((_USER,)), *instructions]


def few_shot(
    instruction: str, examples: Sequence[tuple[Patches, Patches, str]], audio: Patches
) -> list[Piece]:
    """Speech to speech by examples, for the base model: (input, output, output's text) each."""
    pieces: list[Piece] = [TextPiece((f"[Int]:{instruction}\n",))]
    for heard, said, text in examples:
        pieces += [
            AudioPiece(heard),
            TextPiece(("\n",)),
            InterleavedPiece(text, said),
            TextPiece((" \n\n",)),
        ]
    return [*pieces, AudioPiece(audio), TextPiece(("\n",)), TextPiece((Template("<|sostm|>"),))]


def continue_speech(audio: Patches) -> list[Piece]:
    """Speech that is to go on, for the base model: it sees audio without an end."""
    return [AudioPiece(audio, open_end=True)]


def _answer(answer: str | Positions | InterleavedPiece) -> list[Piece]:
    if isinstance(answer, str):
        return [TextPiece((_ASSISTANT,)), TextPiece((answer,))]
    if isinstance(answer, Positions):
        # As it was opened when it was generated, so that the KV cache still holds it.
        return [TextPiece((_SPEECH,)), RawPiece(answer), TextPiece((_SPEECH_END,))]
    return [TextPiece((_ASSISTANT,)), answer]


def _opening(reply: Reply) -> list[Piece]:
    if reply == "speech":
        return [TextPiece((_SPEECH,))]
    return [
        TextPiece((_ASSISTANT,)),
        TextPiece((_THINK if reply == "thinking" else _NO_THOUGHT,)),
    ]


def capitalized(text: str) -> str:
    """All upper or all lower case reads as an acronym or a fragment: "HELLO" → "Hello"."""
    return text.capitalize() if text.isupper() or text.islower() else text
