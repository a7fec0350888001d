"""`POST /v1/audio/speech`: a text as sound, sent while it is made."""

from __future__ import annotations

import base64
import contextlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from ...errors import MimoEdgeError, NotTrainedError
from ...generation.sound import SoundOptions
from ...tasks import Speak
from ...trained_tasks import Ability, check_trained
from ..requests.api_errors import ApiError, api_error
from ..requests.endpoint import Endpoint
from ..requests.parameters import Parameters, read_parameters
from ..requests.streaming import server_sent, streamed
from ..requests.uploads import read_json
from ..sharing.service import Service
from ..voices.endpoint import VoiceChoice, voice_name
from .formats import MEDIA_TYPES, SpeechFormat, encoder
from .saying import Said, say

__all__ = ["SpeechParameters", "endpoints"]

_log = logging.getLogger(__name__)

_NORMAL = (None, 1, 1.0, "1", "1.0")
"""Values of `speed` that ask for nothing."""

_NOTHING_SAID = "the model said nothing of this text; ask once more, or give it other words."


class SpeechParameters(Parameters):
    """What to say, how, and in which format."""

    input: str
    """The text."""
    model: str | None = None
    """Any: there is one."""
    voice: VoiceChoice = None
    """Of the voice library. Unknown names are answered with the model's own voice."""
    instructions: str | None = None
    """How it is to be said, in words."""
    response_format: SpeechFormat = "mp3"
    stream_format: Literal["audio", "sse"] = "audio"
    """The bytes of the file, or server-sent events that hold them."""
    speed: float | None = None
    """1; no other is there."""
    seed: int | None = Field(None, ge=0)
    """With it the same text sounds the same every time."""
    temperature: float | None = Field(None, ge=0, le=2)
    """Of the text that the model writes beside its speech."""


def endpoints(service: Service) -> list[Endpoint]:
    """The one that speaks."""

    async def speech(request: Request) -> Response:
        parameters = _parameters(
            await read_json(request, service.options.limits), strict=service.options.strict
        )
        task = _task(service, parameters)
        if parameters.stream_format == "sse":
            return await streamed(_events(service, request, task, parameters), "text/event-stream")
        kind = MEDIA_TYPES[parameters.response_format]
        return await streamed(_bytes(service, request, task, parameters), kind)

    sound = {"type": "string", "format": "binary"}
    return [
        Endpoint(
            method="POST",
            path="/v1/audio/speech",
            summary="A text as sound, sent while it is made",
            handler=speech,
            body=SpeechParameters,
            answers={kind: sound for kind in (*MEDIA_TYPES.values(), "text/event-stream")},
        )
    ]


def _parameters(given: Mapping[str, Any], *, strict: bool) -> SpeechParameters:
    given = {name: value for name, value in given.items() if value is not None}
    if given.get("response_format") == "aac":
        raise ApiError(
            400,
            "response_format: this server cannot encode aac; ask for mp3, opus, flac, wav or pcm.",
            code="unsupported_parameter",
            param="response_format",
        )
    if given.get("speed") not in _NORMAL:
        raise ApiError(
            400,
            f"speed: the model speaks at its own speed, and {given['speed']!r:.20} was asked for; "
            "leave it out, and play the sound faster or slower.",
            code="unsupported_parameter",
            param="speed",
        )
    return read_parameters(SpeechParameters, given, strict=strict)


def _task(service: Service, parameters: SpeechParameters) -> Speak:
    """What is to be spoken, checked as far as that can be done without the model."""
    most = service.options.limits.text_characters
    for name in ("input", "instructions"):
        text = getattr(parameters, name) or ""
        if len(text) > most:
            raise ApiError(
                400,
                f"{name}: it has {len(text)} characters, and at most {most} are taken; send it in "
                "pieces.",
                code="text_too_long",
                param=name,
            )
    if not any(character.isprintable() and character != " " for character in parameters.input):
        raise ApiError(
            400,
            "input: there is no text to speak; give some.",
            code="invalid_value",
            param="input",
        )
    overrides = replace(
        service.options.overrides,
        **{
            name: value
            for name in ("seed", "temperature")
            if (value := getattr(parameters, name)) is not None
        },
    )
    instructions = (parameters.instructions or "").strip()
    if instructions:
        _check_trained(service, "speak in a style", "instructions")
    return Speak(text=parameters.input, style=instructions or None, overrides=overrides)


def _check_trained(service: Service, ability: Ability, param: str) -> None:
    try:
        check_trained(service.model.manifest, ability)
    except NotTrainedError as error:
        raise api_error(error, param) from error


def _voice(service: Service, parameters: SpeechParameters) -> NDArray[np.int64] | None:
    """The patches of the voice that is asked for; None: the model's own. Reads files."""
    voice = service.voices.find(service.model, voice_name(parameters.voice))
    if voice is not None:
        _check_trained(service, "speak in a voice", "voice")
    return voice


async def _said(
    service: Service, request: Request, task: Speak, parameters: SpeechParameters
) -> AsyncGenerator[bytes | Said, None]:
    """Pieces of the file while it is made, and how it went."""
    model, sound = service.model, SoundOptions(lookahead=service.options.lookahead)

    def encoded(cancel: threading.Event) -> Generator[bytes | Said, None, None]:
        spoken = replace(task, voice=_voice(service, parameters))
        file = encoder(parameters.response_format, model.sample_rate)
        with contextlib.closing(say(model, spoken, cancel=cancel, sound=sound)) as items:
            for item in items:
                if not isinstance(item, Said):
                    if data := file.encode(item):
                        yield data
                    continue
                if item.seconds > 0 and (data := file.finish()):
                    yield data
                yield item

    came, heard = time.monotonic(), False
    async with (
        service.work("speech", request) as work,
        contextlib.aclosing(work.events(encoded)) as items,
    ):
        async for item in items:
            if isinstance(item, Said):
                for stats in item.stats:
                    work.generated(stats)
                if item.seconds == 0 and item.reason != "cancelled":
                    raise ApiError(500, _NOTHING_SAID, code="no_speech")
                if item.reason in ("length", "context"):
                    _log.warning("speech was cut after %.0f s (%s)", item.seconds, item.reason)
            elif not heard:
                heard = True
                service.metrics.first_audio("speech", time.monotonic() - came)
            yield item


async def _bytes(
    service: Service, request: Request, task: Speak, parameters: SpeechParameters
) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(_said(service, request, task, parameters)) as items:
        async for item in items:
            if not isinstance(item, Said):
                yield item


async def _events(
    service: Service, request: Request, task: Speak, parameters: SpeechParameters
) -> AsyncGenerator[bytes, None]:
    """The same as OpenAI's events. An error after the first of them is an event, too."""
    begun = False
    try:
        said = _said(service, request, task, parameters)
        async with contextlib.aclosing(said) as items:
            async for item in items:
                begun = True
                yield server_sent(_done(item) if isinstance(item, Said) else _delta(item))
    except (ApiError, MimoEdgeError) as error:
        if not begun:
            raise
        told = error if isinstance(error, ApiError) else api_error(error)
        yield server_sent({"type": "error", "error": told.body})


def _delta(data: bytes) -> dict[str, Any]:
    return {"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()}


def _done(said: Said) -> dict[str, Any]:
    usage = {
        "input_tokens": said.input_tokens,
        "output_tokens": said.output_tokens,
        "total_tokens": said.input_tokens + said.output_tokens,
    }
    return {"type": "speech.audio.done", "usage": usage}
