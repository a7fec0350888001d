"""The settings of a session: what is asked for, and what is in effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from ..requests.api_errors import ApiError
from ..requests.parameters import Parameters, read_parameters
from .session_parameters import (
    Audio,
    AudioIn,
    AudioOut,
    Format,
    Modalities,
    ResponseParameters,
    SemanticVad,
    ServerVad,
    SessionParameters,
    Transcription,
)

__all__ = ["Settings", "SettingsReader"]

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is in effect, for a session or for one answer."""

    speaks: bool
    """Whether answers are spoken."""
    instructions: str = ""
    max_output_tokens: int | Literal["inf"] = "inf"
    """Text and patches of 160 ms together."""
    voice: str | None = None
    """The identifier of a voice of the library; None: the model's own."""
    input_rate: int = 24_000
    output_rate: int = 24_000
    turn_detection: ServerVad | SemanticVad | None = field(default_factory=ServerVad)
    """None: the client says where a turn ends, and when to answer."""
    transcription: Transcription | None = None
    """How the user's speech is written down; None: it is not."""

    @property
    def output_modalities(self) -> list[str]:
        """As the protocol names it."""
        return ["audio"] if self.speaks else ["text"]

    def shown(self, session_id: str, model: str) -> dict[str, Any]:
        """The session as a client sees it: what has no effect is not set."""
        turns = self.turn_detection.model_dump() if self.turn_detection else None
        written = self.transcription
        transcription = (
            {"model": model, **written.model_dump(exclude_none=True)} if written else None
        )
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": session_id,
            "model": model,
            "output_modalities": self.output_modalities,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "tools": [],
            "tool_choice": "auto",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": self.input_rate},
                    "noise_reduction": None,
                    "transcription": transcription,
                    "turn_detection": turns,
                },
                "output": {
                    "format": {"type": "audio/pcm", "rate": self.output_rate},
                    "voice": self.voice or "default",
                    "speed": 1.0,
                },
            },
        }


class SettingsReader:
    """Reads what clients ask for; every method returns new settings or raises `ApiError`."""

    def __init__(
        self,
        *,
        can_speak: bool,
        longest_text: int,
        strict: bool,
        find_voice: Callable[[str], str | None],
    ) -> None:
        """`find_voice`: from an identifier or a name to an identifier, None if it is unknown."""
        self._can_speak, self._longest, self._strict = can_speak, longest_text, strict
        self._find_voice = find_voice

    def session(self, settings: Settings, given: Mapping[str, Any]) -> Settings:
        """The settings with those of `session.update` in place; all others stay."""
        if given.get("type") == "transcription":
            raise _misleading(
                "session.type",
                "there are no sessions that only transcribe; use a realtime session with "
                "audio.input.transcription, or POST /v1/audio/transcriptions.",
            )
        asked = self._read(SessionParameters, given, "session")
        settings = self._common(settings, asked, "session")
        audio = self._read(Audio, asked.audio or {}, "session.audio")
        settings = self._input(settings, audio.input or {}, "session.audio.input")
        return self._output(settings, audio.output or {}, "session.audio.output")

    def response(self, given: Mapping[str, Any]) -> ResponseParameters:
        """What `response.create` asks for."""
        return self._read(ResponseParameters, given, "response")

    def for_response(self, settings: Settings, asked: ResponseParameters) -> Settings:
        """The settings of one answer."""
        settings = self._common(settings, asked, "response")
        audio = self._read(Audio, asked.audio or {}, "response.audio")
        return self._output(settings, audio.output or {}, "response.audio.output")

    def _common(
        self, settings: Settings, asked: SessionParameters | ResponseParameters, path: str
    ) -> Settings:
        if asked.output_modalities is not None:
            settings = replace(settings, speaks=self._speaks(asked.output_modalities, path))
        if "instructions" in asked.model_fields_set:
            settings = replace(settings, instructions=self._text(asked.instructions or "", path))
        tokens = asked.max_output_tokens
        if isinstance(tokens, int) and tokens < 1:
            raise ApiError(
                400,
                f"{path}.max_output_tokens: it is {tokens}; give 1 or more.",
                code="invalid_value",
                param=f"{path}.max_output_tokens",
            )
        return replace(settings, max_output_tokens=tokens) if tokens is not None else settings

    def _speaks(self, modalities: Modalities, path: str) -> bool:
        if "audio" in modalities and not self._can_speak:
            raise ApiError(
                400,
                f"{path}.output_modalities: the model of this server only listens; ask for "
                '["text"].',
                code="cannot_speak",
                param=f"{path}.output_modalities",
            )
        return "audio" in modalities

    def _text(self, text: str, path: str) -> str:
        if len(text) > self._longest:
            raise ApiError(
                400,
                f"{path}.instructions: they have {len(text)} characters; give at most "
                f"{self._longest}.",
                code="string_above_max_length",
                param=f"{path}.instructions",
            )
        return text

    def _input(self, settings: Settings, given: Mapping[str, Any], path: str) -> Settings:
        asked = self._read(AudioIn, given, path)
        if asked.format is not None:
            settings = replace(settings, input_rate=self._rate(asked.format, f"{path}.format"))
        if "turn_detection" in given:
            turns = self._turn_detection(settings, asked.turn_detection, f"{path}.turn_detection")
            settings = replace(settings, turn_detection=turns)
        if "transcription" in given:
            wanted = self._transcription(asked.transcription, f"{path}.transcription")
            settings = replace(settings, transcription=wanted)
        return settings

    def _output(self, settings: Settings, given: Mapping[str, Any], path: str) -> Settings:
        asked = self._read(AudioOut, given, path)
        if asked.format is not None:
            settings = replace(settings, output_rate=self._rate(asked.format, f"{path}.format"))
        if asked.speed not in (None, 1.0):
            raise _misleading(
                f"{path}.speed",
                f"the model speaks at its own speed, and {asked.speed:g} cannot be had; leave it "
                "out.",
            )
        if asked.voice is not None:
            wanted = asked.voice.get("id") if isinstance(asked.voice, dict) else asked.voice
            # Clients send names of OpenAI's voices; the model then speaks in its own.
            found = self._find_voice(wanted) if isinstance(wanted, str) else None
            settings = replace(settings, voice=found)
        return settings

    def _rate(self, given: Mapping[str, Any], path: str) -> int:
        kind = given.get("type", "audio/pcm")
        if kind != "audio/pcm":
            raise _misleading(
                path,
                f"{str(kind)[:40]!r} is not spoken here; give audio/pcm, 16 bits, one channel.",
            )
        return self._read(Format, given, path).rate

    def _turn_detection(
        self, settings: Settings, given: Mapping[str, Any] | None, path: str
    ) -> ServerVad | SemanticVad | None:
        if given is None:
            return None
        before = settings.turn_detection
        kind = given.get("type", before.type if before else "server_vad")
        if kind == "semantic_vad":
            known = before.model_dump() if isinstance(before, SemanticVad) else {}
            return self._read(SemanticVad, {**known, **given, "type": kind}, path)
        known = before.model_dump() if isinstance(before, ServerVad) else {}
        return self._read(ServerVad, {**known, **given, "type": kind}, path)

    def _transcription(self, given: Mapping[str, Any] | None, path: str) -> Transcription | None:
        if given is None:
            return None
        asked = self._read(Transcription, given, path)
        if "diarize" in str(given.get("model")):
            raise _misleading(
                f"{path}.model", "speakers are not told apart here; give another model's name."
            )
        return asked

    def _read(self, kind: type[P], given: Mapping[str, Any], path: str) -> P:
        try:
            return read_parameters(kind, given, strict=self._strict)
        except ApiError as error:
            raise ApiError(
                error.status,
                f"{path}.{error.message}",
                code=error.code,
                param=f"{path}.{error.param}" if error.param else path,
            ) from error


def _misleading(param: str, why: str) -> ApiError:
    return ApiError(400, f"{param}: {why}", code="unsupported_parameter", param=param)
