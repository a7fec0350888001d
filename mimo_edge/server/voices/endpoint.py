"""The voice library over HTTP: list, add, look at and delete voices."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..requests.api_errors import ApiError
from ..requests.endpoint import Endpoint
from ..requests.parameters import Parameters, read_parameters
from ..requests.uploads import Upload, check_sound, read_form
from ..sharing.service import Service
from .file import LONGEST_CONSENT, LONGEST_NAME
from .library import DEFAULT, Voice

__all__ = ["VoiceChoice", "VoiceId", "endpoints", "voice_name"]


class VoiceId(BaseModel):
    """A voice as clients of OpenAI name one that was uploaded."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(max_length=200)


VoiceChoice = str | VoiceId | None
"""The parameter `voice`: an identifier, a name, an object with an identifier, or nothing."""


def voice_name(choice: VoiceChoice) -> str | None:
    """What `VoiceLibrary.find` takes."""
    return choice.id if isinstance(choice, VoiceId) else choice


class VoiceUpload(Parameters):
    """What is told about a voice that is uploaded, besides the recording `audio_sample`."""

    name: str = Field(description=f"Up to {LONGEST_NAME} characters; no other voice may have it.")
    consent: str = Field(
        description="That the person whose voice it is agrees, in words; it is kept with the "
        f"voice. Up to {LONGEST_CONSENT} characters."
    )
    type: Literal["audio_sample"] = "audio_sample"

    misleading: ClassVar[dict[str, str]] = {
        "prompt": "voices are made of recordings here, not of descriptions; send audio_sample.",
    }


class VoiceObject(BaseModel):
    """A voice of the library."""

    object: Literal["audio.voice"] = "audio.voice"
    id: str
    name: str
    created_at: int
    """Seconds since 1970."""
    type: Literal["audio_sample"] = "audio_sample"
    seconds: float
    """Of the recording that is kept."""


class VoiceName(BaseModel):
    """A voice in the list; the model's own has no more than this."""

    id: str
    name: str


class VoiceList(BaseModel):
    """All voices, the model's own first."""

    object: Literal["list"] = "list"
    voices: list[VoiceObject | VoiceName]


class VoiceDeleted(BaseModel):
    """A voice that is no more."""

    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    id: str
    deleted: Literal[True] = True


def endpoints(service: Service) -> list[Endpoint]:
    """Everything about the voice library."""
    library, options = service.voices, service.options

    async def list_voices(request: Request) -> Response:
        voices = await asyncio.to_thread(library.all)
        own = VoiceName(id=DEFAULT, name="Default")
        return _json(VoiceList(voices=[own, *map(_object, voices)]))

    async def add_voice(request: Request) -> Response:
        async with read_form(request, options.limits, files=("audio_sample",)) as form:
            asked = read_parameters(VoiceUpload, form.fields, strict=options.strict)
            upload = form.file("audio_sample")
            async with service.work("voice", request) as work:
                voice = await work.run(lambda: add(upload, asked))
        return _json(_object(voice))

    def add(upload: Upload, asked: VoiceUpload) -> Voice:
        check_sound(upload.file, options.limits, param="audio_sample")
        upload.file.seek(0)
        return library.add(service.model, upload.file, name=asked.name, consent=asked.consent)

    async def one_voice(request: Request) -> Response:
        identifier = request.path_params["id"]
        voice = await asyncio.to_thread(library.get, identifier)
        if voice is None:
            raise _unknown(identifier)
        return _json(_object(voice))

    async def delete_voice(request: Request) -> Response:
        identifier = request.path_params["id"]
        if not await asyncio.to_thread(library.remove, identifier):
            raise _unknown(identifier)
        return _json(VoiceDeleted(id=identifier))

    def described(model: type[BaseModel]) -> dict[str, Any]:
        return {"answers": {"application/json": model}}

    return [
        Endpoint(
            method="GET",
            path="/v1/audio/voices",
            summary="The voices in which the model can answer",
            handler=list_voices,
            public=True,
            **described(VoiceList),
        ),
        Endpoint(
            method="POST",
            path="/v1/audio/voices",
            summary="Add a voice: a recording of 5 to 15 seconds in which one person speaks",
            handler=add_voice,
            body=VoiceUpload,
            body_type="multipart/form-data",
            files=("audio_sample",),
            **described(VoiceObject),
        ),
        Endpoint(
            method="GET",
            path="/v1/audio/voices/{id}",
            summary="One voice",
            handler=one_voice,
            **described(VoiceObject),
        ),
        Endpoint(
            method="DELETE",
            path="/v1/audio/voices/{id}",
            summary="Delete a voice",
            handler=delete_voice,
            **described(VoiceDeleted),
        ),
    ]


def _object(voice: Voice) -> VoiceObject:
    return VoiceObject(
        id=voice.id, name=voice.name, created_at=int(voice.created), seconds=voice.seconds
    )


def _json(answer: BaseModel) -> JSONResponse:
    return JSONResponse(answer.model_dump())


def _unknown(identifier: str) -> ApiError:
    return ApiError(
        404,
        f"there is no voice {identifier[:60]!r}; /v1/audio/voices lists those there are.",
        code="voice_not_found",
        param="id",
    )
