"""The endpoint itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ...errors import MimoEdgeError
from ..requests.api_errors import ApiError, api_error
from ..requests.endpoint import Endpoint
from ..requests.streaming import server_sent, streamed
from ..requests.uploads import read_json
from ..sharing.service import Service
from .answering import Answerer, Done, Sound
from .answers import KeptAnswer, new_answer
from .parameters import ChatParameters, read_chat_parameters
from .records import ChatCompletion, Telling
from .words import Words

__all__ = ["endpoints"]


def endpoints(service: Service) -> list[Endpoint]:
    """The one that goes on with a conversation."""
    answerer = Answerer(service)

    async def chat(request: Request) -> Response:
        options = service.options
        given = await read_json(request, options.limits)
        asked = read_chat_parameters(given, strict=options.strict)
        if not asked.stream:
            completion = await _whole(service, answerer, request, asked)
            return JSONResponse(completion.model_dump())
        chunks = _events(service, answerer, request, asked)
        return await streamed(chunks, "text/event-stream", {"Cache-Control": "no-cache"})

    return [
        Endpoint(
            method="POST",
            path="/v1/chat/completions",
            summary="The next answer of a conversation, in text or in speech",
            handler=chat,
            body=ChatParameters,
            answers={"application/json": ChatCompletion, "text/event-stream": {"type": "string"}},
        )
    ]


async def _whole(
    service: Service, answerer: Answerer, request: Request, asked: ChatParameters
) -> ChatCompletion:
    said: list[str] = []
    thought: list[str] = []
    sound = b""
    kept = new_answer()
    telling = _telling(service, asked, kept)
    async with (
        service.work("chat", request) as work,
        contextlib.aclosing(work.events(partial(answerer.pieces, asked, kept))) as pieces,
    ):
        async for piece in pieces:
            if isinstance(piece, Words):
                (thought if piece.thought else said).append(piece.text)
            elif isinstance(piece, Sound):
                sound += piece.data
            else:
                done = piece
        work.generated(done.stats)
    return telling.whole(
        said="".join(said).strip(), thought="".join(thought).strip(), sound=sound, done=done
    )


async def _events(
    service: Service, answerer: Answerer, request: Request, asked: ChatParameters
) -> AsyncGenerator[bytes, None]:
    """Server-sent events. An error after the first of them is one, too."""
    begun = False
    try:
        async with contextlib.aclosing(_chunks(service, answerer, request, asked)) as chunks:
            async for chunk in chunks:
                begun = True
                yield server_sent(chunk)
        yield server_sent("[DONE]")
    except (ApiError, MimoEdgeError) as error:
        if not begun:
            raise
        told = error if isinstance(error, ApiError) else api_error(error)
        yield server_sent({"error": told.body})


async def _chunks(
    service: Service, answerer: Answerer, request: Request, asked: ChatParameters
) -> AsyncGenerator[dict[str, Any], None]:
    came, opened, sounded = time.monotonic(), False, False
    kept = new_answer()
    telling = _telling(service, asked, kept)
    async with (
        service.work("chat", request) as work,
        contextlib.aclosing(work.events(partial(answerer.pieces, asked, kept))) as pieces,
    ):
        async for piece in pieces:
            # Not before the first piece: until then an error still gets a status of its own.
            if not opened:
                opened = True
                yield telling.opening()
            if isinstance(piece, Words):
                yield telling.words(piece.text, thought=piece.thought)
            elif isinstance(piece, Sound):
                if not sounded:
                    sounded = True
                    service.metrics.first_audio("chat", time.monotonic() - came)
                yield telling.sound(piece.data)
            elif isinstance(piece, Done):
                work.generated(piece.stats)
                for chunk in telling.ending(piece):
                    yield chunk


def _telling(service: Service, asked: ChatParameters, kept: KeptAnswer) -> Telling:
    manifest = service.model.manifest
    return Telling(
        model=manifest.name,
        fingerprint=f"fp_{manifest.fingerprint()[:12]}",
        kept=kept if asked.speaks else None,
        with_usage=asked.stream_options.include_usage,
    )
