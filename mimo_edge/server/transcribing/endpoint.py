"""`POST /v1/audio/transcriptions`: what is said in a recording, as text."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from ...errors import MimoEdgeError
from ...transcription import Segment, Transcript
from ..requests.api_errors import ApiError, api_error
from ..requests.endpoint import Endpoint
from ..requests.parameters import Parameters, read_parameters
from ..requests.streaming import server_sent, streamed
from ..requests.uploads import Upload, read_form
from ..sharing.service import Service
from .formats import TranscriptFormat, as_response, token_usage
from .transcript import transcribe

__all__ = ["TranscriptionParameters", "endpoints"]

_SPEAKERS = "speakers are not told apart here; leave it out."


class TranscriptionParameters(Parameters):
    """How to write a recording down, besides the recording itself, `file`."""

    model: str | None = None
    """Any: there is one."""
    language: str | None = Field(None, max_length=40)
    """A hint: MiMo-V2.5-ASR writes in English (`en`) or Chinese (`zh`) by it, MiMo-Audio is asked
    in Chinese for `zh`; others are found by the model itself."""
    response_format: TranscriptFormat = "json"
    temperature: float | None = Field(None, ge=0, le=2)
    """0, or nothing: the likeliest words."""
    seed: int | None = Field(None, ge=0)
    """With it and a temperature the same recording gives the same words."""
    stream: bool = False
    """Send the text as server-sent events while it becomes known."""
    timestamp_granularities: list[str] | str = Field(default_factory=list)
    """`segment`; there are no times of single words."""
    include: list[str] | str = Field(default_factory=list)
    """Nothing yet: `logprobs` are refused."""

    misleading: ClassVar[Mapping[str, str]] = {
        "known_speaker_names": _SPEAKERS,
        "known_speaker_references": _SPEAKERS,
    }


def endpoints(service: Service) -> list[Endpoint]:
    """The one that writes down."""

    async def transcriptions(request: Request) -> Response:
        items = _items(service, request)
        parameters = await anext(items)
        assert isinstance(parameters, TranscriptionParameters)
        if parameters.stream:
            return await streamed(_events(items), "text/event-stream")
        transcript = None
        async with contextlib.aclosing(items):
            async for item in items:
                if isinstance(item, Transcript):
                    transcript = item
        assert transcript is not None
        return as_response(transcript, parameters.response_format, parameters.language)

    text = {"type": "string"}
    return [
        Endpoint(
            method="POST",
            path="/v1/audio/transcriptions",
            summary="What is said in a recording, as text",
            handler=transcriptions,
            body=TranscriptionParameters,
            body_type="multipart/form-data",
            files=("file",),
            answers={
                "application/json": {"type": "object"},
                "text/plain": text,
                "application/x-subrip": text,
                "text/vtt": text,
                "text/event-stream": text,
            },
        )
    ]


async def _items(
    service: Service, request: Request
) -> AsyncGenerator[TranscriptionParameters | str | Segment | Transcript, None]:
    """What is asked for, then what `transcribe` yields.

    All of it is one generator, because the file that was sent is there only until its form is
    closed, and an answer that is streamed is made after the endpoint's function has returned.
    """
    limits, strict = service.options.limits, service.options.strict
    async with read_form(request, limits) as form:
        parameters = _parameters(form.fields, strict=strict)
        upload = form.file("file")
        yield parameters
        async with (
            service.work("transcriptions", request) as work,
            contextlib.aclosing(
                work.events(lambda cancel: _heard(service, upload, parameters, cancel))
            ) as items,
        ):
            async for item in items:
                if isinstance(item, Segment):
                    work.generated(item.stats)
                yield item


def _parameters(given: Mapping[str, Any], *, strict: bool) -> TranscriptionParameters:
    # Forms cannot say that something is not given; empty fields do.
    given = {name: value for name, value in given.items() if value not in ("", [])}
    if given.get("response_format") == "diarized_json":
        raise _refused("response_format", f"diarized_json: {_SPEAKERS}")
    parameters = read_parameters(TranscriptionParameters, given, strict=strict)
    if "word" in _listed(parameters.timestamp_granularities):
        raise _refused(
            "timestamp_granularities",
            "the model does not tell when it heard a word; ask for segment, whose times are those "
            "of the parts in which the recording is heard.",
        )
    if "logprobs" in _listed(parameters.include):
        raise _refused(
            "include",
            "the logprobs of single tokens are not told; verbose_json has those of each segment, "
            "in the middle.",
        )
    if parameters.stream and parameters.response_format not in ("json", "text"):
        raise _refused(
            "stream",
            f"{parameters.response_format} is written when all is heard; leave out one of the two.",
        )
    return parameters


def _listed(value: list[str] | str) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _refused(param: str, why: str) -> ApiError:
    return ApiError(400, f"{param}: {why}", code="unsupported_parameter", param=param)


def _heard(
    service: Service,
    upload: Upload,
    parameters: TranscriptionParameters,
    cancel: threading.Event,
) -> Generator[str | Segment | Transcript, None, None]:
    """Decodes the file and writes it down; blocks."""
    chosen = {
        name: value
        for name in ("seed", "temperature")
        if (value := getattr(parameters, name)) is not None
    }
    yield from transcribe(
        service.model,
        upload.file,
        service.options.limits,
        language=parameters.language,
        overrides=replace(service.options.overrides, **chosen),
        cancel=cancel,
    )


async def _events(
    items: AsyncGenerator[TranscriptionParameters | str | Segment | Transcript, None],
) -> AsyncGenerator[bytes, None]:
    """As OpenAI's events. An error after the first of them is an event, too."""
    begun = False
    try:
        async with contextlib.aclosing(items):
            async for item in items:
                if isinstance(item, str):
                    begun = True
                    yield server_sent({"type": "transcript.text.delta", "delta": item})
                elif isinstance(item, Transcript):
                    done = {"type": "transcript.text.done", "text": item.text}
                    yield server_sent({**done, "usage": token_usage(item)})
    except (ApiError, MimoEdgeError) as error:
        if not begun:
            raise
        told = error if isinstance(error, ApiError) else api_error(error)
        yield server_sent({"type": "error", "error": told.body})
