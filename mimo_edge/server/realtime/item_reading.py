"""Items as clients send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..requests.api_errors import ApiError
from ..requests.parameters import first_problem
from .contents import Content, InputAudio, InputText, OutputAudio, OutputText, Utterance
from .items import Item
from .pcm import read_pcm
from .server_events import new_id

__all__ = ["ItemReader"]

_OTHERS = {"function_call", "function_call_output"}
"""Items of histories that the model is not told: it calls no functions."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str | None = None
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None


class _Given(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str = "message"
    id: str | None = Field(default=None, min_length=1, max_length=128)
    role: Literal["user", "assistant", "system"] | None = None
    content: list[_Part] = Field(default_factory=list, max_length=64)


class ItemReader:
    """Reads items; sound in them has the format of the session."""

    def __init__(self, rate: int, *, longest_text: int) -> None:
        """The model wants sound of `rate` Hz."""
        self._rate, self._longest = rate, longest_text

    def read(self, given: Mapping[str, Any], client_rate: int, path: str = "item") -> Item:
        """The item; sound in it has `client_rate` Hz.

        Raises:
            ApiError: it is none, or holds what this model cannot take.
        """
        try:
            item = _Given.model_validate(given)
        except ValidationError as error:
            problem = first_problem(error)
            raise _wrong(f"{path}.{problem.param}", problem.message) from error
        if item.type in _OTHERS:
            return self._other(given, item, path)
        if item.type != "message" or item.role is None:
            raise _wrong(
                f"{path}.type",
                f"{item.type[:40]!r} with the role {item.role} is no item that this model can "
                "take; give a message of user, assistant or system.",
            )
        contents = [
            self._content(item.role, part, client_rate, f"{path}.content[{index}]")
            for index, part in enumerate(item.content)
        ]
        read = Item(id=item.id or new_id("item"), role=item.role, contents=contents)
        self._check_length(read, path)
        return read

    def _other(self, given: Mapping[str, Any], item: _Given, path: str) -> Item:
        kept = {
            name: self._text(value, f"{path}.{name}") if isinstance(value, str) else None
            for name, value in given.items()
            if name in ("type", "name", "call_id", "arguments", "output")
        }
        read = Item(id=item.id or new_id("item"), other=kept)
        self._check_length(read, path)
        return read

    def _content(self, role: str, part: _Part, client_rate: int, path: str) -> Content:
        kind = part.type or ("input_text" if role != "assistant" else "output_text")
        if role == "assistant" and kind in ("output_text", "text"):
            return OutputText(text=self._text(part.text, f"{path}.text"))
        if role == "assistant" and kind in ("output_audio", "audio"):
            return OutputAudio(
                transcript=self._text(part.transcript or "", f"{path}.transcript"),
                utterance=self._utterance(part.audio, client_rate, path) if part.audio else None,
            )
        if role != "assistant" and kind == "input_text":
            return InputText(text=self._text(part.text, f"{path}.text"))
        if role == "user" and kind == "input_audio":
            if part.audio is None:
                # Histories hold what was said elsewhere; without its sound there are its words.
                return InputText(text=self._text(part.transcript, f"{path}.transcript"))
            return InputAudio(
                utterance=self._utterance(part.audio, client_rate, path),
                transcript=part.transcript,
            )
        raise _wrong(
            f"{path}.type",
            f"{kind[:40]!r} of {role} cannot be taken; this model reads text and hears sound.",
        )

    def _check_length(self, item: Item, path: str) -> None:
        if item.characters > self._longest:
            raise _wrong(
                path, f"its texts have {item.characters} characters; give at most {self._longest}."
            )

    def _utterance(self, audio: str, client_rate: int, path: str) -> Utterance:
        samples = read_pcm(audio, client_rate, self._rate, f"{path}.audio")
        if not len(samples):
            raise _wrong(f"{path}.audio", "it holds no sample; give some sound.")
        return Utterance(samples)

    def _text(self, text: str | None, path: str) -> str:
        if text is None:
            raise _wrong(path, "it is missing.")
        return text


def _wrong(param: str, why: str) -> ApiError:
    return ApiError(400, f"{param}: {why}", code="invalid_value", param=param)
