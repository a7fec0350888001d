"""What a request for an answer in a conversation may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from ...prompt.prompts import Reply
from ..requests.api_errors import ApiError
from ..requests.parameters import Parameters, read_parameters
from ..voices.endpoint import VoiceChoice

__all__ = [
    "AudioPart",
    "AudioUrlPart",
    "ChatParameters",
    "Message",
    "Part",
    "RefusalPart",
    "TextPart",
    "read_chat_parameters",
]

_MOST_MESSAGES = 2_000
_MOST_PARTS = 64
_MOST_STOPS = 16
_LONGEST_STOP = 200

_FOREIGN_PARTS: Mapping[str, str] = {
    "image_url": "this model sees no images; describe it in words.",
    "file": "this model reads no files; send sound as input_audio, and words as text.",
    "video_url": "this model sees no videos; send their sound as input_audio.",
}
_TOOLS = "this model calls no tools, so there is nothing that one could have answered."


class _Part(BaseModel):
    """Further fields are of no use here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class TextPart(_Part):
    """Words."""

    type: Literal["text"]
    text: str


class Sound(_Part):
    """A recording as such."""

    data: str
    """Its file in base64, as such or as a `data:` URL."""
    format: str = Field("wav", max_length=40)
    """Does not matter: the file says what it is."""


class AudioPart(_Part):
    """A recording as a part of a message."""

    type: Literal["input_audio"]
    input_audio: Sound


class SoundUrl(_Part):
    """A recording as vLLM's clients send it."""

    url: str = Field(pattern=r"^[Dd][Aa][Tt][Aa]:")
    """`data:audio/wav;base64,…`: the recording itself. Nothing is fetched from anywhere."""


class AudioUrlPart(_Part):
    """A recording as a part of a message, as vLLM's clients send it."""

    type: Literal["audio_url"]
    audio_url: SoundUrl

    @property
    def input_audio(self) -> Sound:
        """The recording as OpenAI's clients send it."""
        return Sound(data=self.audio_url.url, format="")


class RefusalPart(_Part):
    """Words of an assistant that did not want to answer."""

    type: Literal["refusal"]
    refusal: str


Part = Annotated[TextPart | AudioPart | AudioUrlPart | RefusalPart, Field(discriminator="type")]


def _kind_of_content(content: Any) -> str:
    return "text" if isinstance(content, str) else "parts"


Content = Annotated[
    # Without the tags, whatever is wrong with a part would be told as "it is no text".
    Annotated[str, Tag("text")]
    # One mistake is told: to collect a hundred thousand of them would stop everybody for seconds.
    | Annotated[list[Part], Field(max_length=_MOST_PARTS, fail_fast=True), Tag("parts")],
    Discriminator(_kind_of_content),
]


class AnswerReference(_Part):
    """A spoken answer that this server gave before."""

    id: str = Field(max_length=200)
    transcript: str | None = None
    """What it said: used if the server does not have it any more."""


class Message(_Part):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content | None = None
    audio: AnswerReference | None = None
    """Of an assistant: what it said."""
    refusal: str | None = None


class AudioOutput(_Part):
    """How a spoken answer is to sound."""

    format: Literal["wav", "mp3", "flac", "opus", "pcm16"] | None = None
    """None: wav, or pcm16 if it is streamed."""
    voice: VoiceChoice = None
    """Of the voice library; names that nobody knows mean the model's own voice."""


class StreamOptions(_Part):
    """What a streamed answer holds besides."""

    include_usage: bool = False


Stop = Annotated[str, Field(min_length=1, max_length=_LONGEST_STOP)]


class ChatParameters(Parameters):
    """A conversation, and how to go on with it."""

    messages: list[Message] = Field(min_length=1, max_length=_MOST_MESSAGES, fail_fast=True)
    model: str | None = None
    """Any: there is one."""
    modalities: Annotated[list[Literal["text", "audio"]], Field(fail_fast=True)] | None = None
    """`["text"]`, or with `audio` a spoken answer and its words."""
    audio: AudioOutput = AudioOutput()
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0, le=2**31)
    max_completion_tokens: int | None = Field(None, ge=1)
    """Of words and of sound together: a second of speech takes about ten."""
    max_tokens: int | None = Field(None, ge=1)
    """As `max_completion_tokens`, which counts if both are given."""
    seed: int | None = Field(None, ge=-(2**63), lt=2**64)
    stop: Stop | Annotated[list[Stop], Field(max_length=_MOST_STOPS)] | None = None
    """The answer ends in front of these words; for answers in text."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    """From `low` on the model thinks aloud first; for answers in text."""

    misleading: ClassVar[Mapping[str, str]] = {
        "n": "one answer is given to a request; ask again for another one.",
        "logprobs": "probabilities are not told; leave it out.",
        "top_logprobs": "probabilities are not told; leave it out.",
        "logit_bias": "tokens cannot be made likelier; leave it out.",
        "response_format": "an answer cannot be held to a format; ask for it in words.",
        "tool_choice": "this model calls no tools; leave it out, or give `auto` or `none`.",
        "function_call": "this model calls no functions; leave it out.",
        "web_search_options": "nothing is looked up on the web; leave it out.",
    }

    @property
    def speaks(self) -> bool:
        """Whether a spoken answer is asked for."""
        return "audio" in (self.modalities or ())

    @property
    def reply(self) -> Reply:
        """How the model is to answer."""
        if self.speaks:
            return "speech"
        return "text" if self.reasoning_effort in (None, "none", "minimal") else "thinking"

    @property
    def stops(self) -> tuple[str, ...]:
        """Words that end an answer in text."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def longest(self) -> int | None:
        """Positions of the answer at most."""
        return self.max_completion_tokens or self.max_tokens


def read_chat_parameters(given: Mapping[str, Any], *, strict: bool) -> ChatParameters:
    """The parameters of a request, checked.

    Raises:
        ApiError: a value is wrong, or one is asked for that would mislead.
    """
    given = {name: value for name, value in given.items() if not _asks_nothing(name, value)}
    _check_messages(given.get("messages"))
    asked = read_parameters(ChatParameters, given, strict=strict)
    if asked.speaks and asked.stops:
        raise _refused("stop", "a spoken answer cannot end at a word; leave it out.")
    if strict and asked.speaks and asked.reasoning_effort not in (None, "none", "minimal"):
        raise _refused("reasoning_effort", "the model thinks before answers in text only.")
    return asked


_ASKS_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "top_logprobs": (0,),
    "logprobs": (False,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto", "none"),
    "function_call": ("auto", "none"),
}


def _asks_nothing(name: str, value: Any) -> bool:
    """Whether a parameter says only what is the case anyway."""
    return value is None or any(value == harmless for harmless in _ASKS_NOTHING.get(name, ()))


def _check_messages(messages: Any) -> None:
    """Refuse by name what messages elsewhere hold, before they are compared with those here."""
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        if not isinstance(message, dict):
            continue
        where = f"messages.{number}"
        if message.get("role") in ("tool", "function"):
            raise _refused(f"{where}.role", _TOOLS)
        for name in ("tool_calls", "function_call"):
            if message.get(name):
                raise _refused(f"{where}.{name}", _TOOLS)
        parts = message.get("content")
        for index, part in enumerate(parts if isinstance(parts, list) else ()):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind in _FOREIGN_PARTS:
                raise _refused(f"{where}.content.{index}", _FOREIGN_PARTS[kind])


def _refused(param: str, why: str) -> ApiError:
    return ApiError(400, f"{param}: {why}", code="unsupported_parameter", param=param)
