"""The settings of a session as a client gives them: what has an effect, what would mislead.

What is not here is harmless: tracing, tools, noise reduction, the name of a transcription model.
It is accepted, and `session.updated` shows it unset.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ..requests.parameters import Parameters

__all__ = [
    "Audio",
    "AudioIn",
    "AudioOut",
    "Format",
    "Modalities",
    "ResponseParameters",
    "SemanticVad",
    "ServerVad",
    "SessionParameters",
    "Transcription",
]

_BETA = "it is of the beta protocol, which is over"
_LOWEST_RATE, _HIGHEST_RATE = 8000, 48_000

Modalities = Annotated[list[Literal["text", "audio"]], Field(fail_fast=True)]
Tokens = int | Literal["inf"]


class Format(Parameters):
    """How sound travels: 16-bit samples, little endian, one channel, in base64."""

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: int = Field(default=24_000, ge=_LOWEST_RATE, le=_HIGHEST_RATE)
    """Hz."""


class ServerVad(Parameters):
    """Turns by the voice, ended by a silence of a certain length."""

    type: Literal["server_vad"] = "server_vad"
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Probability of voice, from which on it is speech."""
    prefix_padding_ms: int = Field(default=300, ge=0, le=5000)
    silence_duration_ms: int = Field(default=500, ge=0, le=30_000)
    create_response: bool = True
    interrupt_response: bool = True
    idle_timeout_ms: int | None = Field(default=None, ge=100, le=600_000)


class SemanticVad(Parameters):
    """Turns by the voice, ended by a silence whose length depends on how eager the model is."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


class Transcription(Parameters):
    """That what the user says is written down, by this very model; all else is harmless."""

    language: str | None = Field(None, max_length=40)
    """What is spoken, as `en` or `zh`, for a model that can be told; others do without."""


class AudioIn(Parameters):
    """Of the user's sound. `turn_detection` is read by its type."""

    format: dict[str, Any] | None = None
    turn_detection: dict[str, Any] | None = None
    transcription: dict[str, Any] | None = None


class AudioOut(Parameters):
    """Of the model's sound."""

    format: dict[str, Any] | None = None
    voice: str | dict[str, Any] | None = None
    speed: float | None = None


class Audio(Parameters):
    """Sound of both sides."""

    input: dict[str, Any] | None = None
    output: dict[str, Any] | None = None


class SessionParameters(Parameters):
    """The object `session` of `session.update`."""

    misleading: ClassVar[Mapping[str, str]] = {
        "include": "there are no log-probabilities of transcripts here; leave it out.",
        "modalities": f"{_BETA}; give output_modalities.",
        "voice": f"{_BETA}; give audio.output.voice.",
        "input_audio_format": f"{_BETA}; give audio.input.format.",
        "output_audio_format": f"{_BETA}; give audio.output.format.",
        "input_audio_transcription": f"{_BETA}; give audio.input.transcription.",
        "turn_detection": f"{_BETA}; give audio.input.turn_detection.",
        "max_response_output_tokens": f"{_BETA}; give max_output_tokens.",
    }

    type: Literal["realtime"] = "realtime"
    model: str | None = None
    """Whatever it says: there is one model here."""
    output_modalities: Modalities | None = None
    instructions: str | None = None
    max_output_tokens: Tokens | None = None
    audio: dict[str, Any] | None = None


class ResponseParameters(Parameters):
    """The object `response` of `response.create`."""

    misleading: ClassVar[Mapping[str, str]] = {
        "modalities": f"{_BETA}; give output_modalities.",
        "voice": f"{_BETA}; give audio.output.voice.",
        "output_audio_format": f"{_BETA}; give audio.output.format.",
    }

    output_modalities: Modalities | None = None
    instructions: str | None = None
    max_output_tokens: Tokens | None = None
    metadata: dict[str, Any] | None = None
    conversation: Literal["auto", "none"] | None = None
    input: list[dict[str, Any]] | None = Field(default=None, max_length=2000)
    audio: dict[str, Any] | None = None
