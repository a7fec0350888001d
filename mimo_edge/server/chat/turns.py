"""Messages of a conversation, as OpenAI's clients send them, as the turns that the model knows.

The model's format has what somebody says, in words or in sound, and what the assistant answers.
Instructions stand in front of the first request. Beyond that, words can stand in front of a
recording and behind it, which is how questions about recordings look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...model import MimoAudio
from ...prompt.positions import Positions
from ...prompt.prompts import Exchange
from ..requests.api_errors import ApiError
from .answers import Answers
from .parameters import AudioPart, AudioUrlPart, Message, RefusalPart, TextPart
from .recordings import Recordings

__all__ = ["MessageReader"]

Patches = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class MessageReader:
    """Reads messages for one model."""

    model: MimoAudio
    recordings: Recordings
    answers: Answers
    most_characters: int
    """Of all words together."""

    def read(self, messages: Sequence[Message]) -> list[Exchange]:
        """The turns of a conversation. Recordings are decoded and encoded here, in this thread.

        Raises:
            ApiError: a message is empty, too long, or holds what the format has no place for; a
                recording cannot be read; an answer is not known any more.
        """
        _check_length(messages, self.most_characters)
        turns: list[Exchange] = []
        instructions: str | None = None
        for number, message in enumerate(messages):
            where = f"messages.{number}"
            if message.role in ("system", "developer"):
                instructions = _below(instructions, _words(message, where))
                continue
            if message.role == "user":
                turns.append(_behind(instructions, self._request(message, where)))
                instructions = None
                continue
            if not turns or turns[-1].answer is not None:
                # The assistant spoke first, or twice: in the format it always answers.
                turns.append(_behind(instructions, Exchange(request="")))
                instructions = None
            turns[-1] = replace(turns[-1], answer=self._answer(message, where))
        if not turns or turns[-1].answer is not None:
            raise _wrong(
                f"messages.{len(messages) - 1}.role",
                f"it is {messages[-1].role}, and an answer follows what a user says; end with a "
                "user's message.",
            )
        if instructions is not None:
            turns[-1] = _in_front_of(turns[-1], instructions)
        return turns

    def _request(self, message: Message, where: str) -> Exchange:
        """What the user says: words, or a recording with words around it."""
        if message.audio is not None:
            raise _wrong(f"{where}.audio", "it is for answers; send sound as input_audio.")
        if not isinstance(message.content, list):
            return Exchange(request=_words(message, where))
        before: list[str] = []
        behind: list[str] = []
        recording: Patches | None = None
        for index, part in enumerate(message.content):
            at = f"{where}.content.{index}"
            if isinstance(part, (AudioPart, AudioUrlPart)):
                if recording is not None:
                    raise _wrong(
                        at,
                        "there is another recording in this message, and the model hears one in "
                        "each; join them, or send them as messages of their own.",
                    )
                param = f"{at}.{part.type}"
                recording = self.recordings.patches(self.model, part.input_audio.data, param)
            elif isinstance(part, TextPart):
                (before if recording is None else behind).append(part.text)
            else:
                raise _wrong(at, "a user does not refuse; send it as text.")
        first, last = _joined(before), _joined(behind)
        if recording is not None:
            return Exchange(request=recording, instructions=first, question=last)
        if first is None:
            raise _empty(where)
        return Exchange(request=first)

    def _answer(self, message: Message, where: str) -> str | Positions:
        """What the assistant answered: exactly what it said, if that is known, or the words."""
        if message.audio is not None:
            spoken = self.answers.find(message.audio.id)
            if spoken is not None:
                return spoken
            text = _spoken_or_written(message)
            if text is None:
                raise _wrong(
                    f"{where}.audio.id",
                    f"the answer {message.audio.id[:60]!r} is not kept any more; send what it "
                    "said as content.",
                    code="audio_expired",
                )
            return text
        return _words(message, where)


def _behind(instructions: str | None, turn: Exchange) -> Exchange:
    """A turn behind the instructions that came before it."""
    if instructions is None:
        return turn
    return replace(turn, instructions=_below(instructions, turn.instructions))


def _in_front_of(turn: Exchange, instructions: str) -> Exchange:
    """A turn with the instructions that came after it."""
    if isinstance(turn.request, str):
        return replace(turn, request=_below(turn.request, instructions))
    return replace(turn, question=_below(turn.question, instructions))


def _below(text: str | None, more: str | None) -> str:
    """Two texts with a blank line between them, as far as there are two."""
    return "\n\n".join(part for part in (text, more) if part)


def _check_length(messages: Sequence[Message], most: int) -> None:
    characters = sum(len(_spoken_or_written(message) or "") for message in messages)
    if characters > most:
        raise _wrong(
            "messages",
            f"they hold {characters} characters, and at most {most} are taken; leave old ones out.",
            code="text_too_long",
        )


def _words(message: Message, where: str) -> str:
    """The words of a message that has to have some, and holds nothing else."""
    for index, part in enumerate(message.content if isinstance(message.content, list) else ()):
        if isinstance(part, (AudioPart, AudioUrlPart)):
            raise _wrong(
                f"{where}.content.{index}",
                f"the model hears what users say; the {message.role}'s message can be text only.",
            )
    text = _text_of(message)
    if text is None:
        raise _empty(where)
    return text


def _text_of(message: Message) -> str | None:
    """All words of a message; None if there are none."""
    if isinstance(message.content, str):
        texts = [message.content]
    else:
        texts = [_text(part) for part in message.content or ()]
    return _joined([*texts, message.refusal or ""])


def _spoken_or_written(message: Message) -> str | None:
    """All words of a message; if there are none, those of the sound that it was answered with."""
    return _text_of(message) or (message.audio.transcript if message.audio else None)


def _text(part: TextPart | AudioPart | AudioUrlPart | RefusalPart) -> str:
    if isinstance(part, TextPart):
        return part.text
    return part.refusal if isinstance(part, RefusalPart) else ""


def _joined(texts: Sequence[str]) -> str | None:
    """Texts one below the other; None if there is nothing in them."""
    text = "\n".join(text for text in texts if text.strip())
    return text or None


def _empty(where: str) -> ApiError:
    return _wrong(f"{where}.content", "there is nothing in it; give text or input_audio.")


def _wrong(param: str, why: str, code: str = "invalid_value") -> ApiError:
    return ApiError(400, f"{param}: {why}", code=code, param=param)
