"""`WS /v1/realtime`: one websocket, one session."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ...audio.voice_activity import SileroDetector
from ...errors import MimoEdgeError
from ..mistakes import log_mistake
from ..requests.api_errors import ApiError, api_error
from ..sharing.service import Service
from ..sharing.work import Conversation
from ..voices.library import Voice, voice_of
from .client_events import Append, event_id_of, names_voice, read_event, read_json
from .model_port import ModelEvent
from .model_threads import ModelThreads
from .outbox import ClosedSlow, Outbox
from .server_events import error_event
from .session import Session, SessionOptions

__all__ = ["routes"]

_log = logging.getLogger(__name__)

_NORMAL, _GOING_AWAY, _POLICY, _MISTAKE, _TRY_LATER = 1000, 1001, 1008, 1011, 1013
_BETA = 4000
_LONGER_ITEMS = 5
"""Histories hold long texts: Open WebUI sends up to 100,000 characters in one item."""
_CLOSING_S = 5.0
"""Seconds that a client has to take the last events and the close."""
_LONGEST_REASON = 120
"""Bytes; a close frame holds 123."""


class _Over(Exception):
    """The session ends: why, for the client."""

    def __init__(self, code: int, error: ApiError) -> None:
        super().__init__(error.message)
        self.code, self.error = code, error


def routes(service: Service) -> list[BaseRoute]:
    """The endpoint."""

    async def realtime(socket: WebSocket) -> None:
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(subprotocol="realtime" if "realtime" in offered else None)
        try:
            _refuse_beta(socket)
            async with contextlib.AsyncExitStack() as opened:
                conversation = await _admit(service, opened)
                # Loading it takes a moment, for which the other sessions must not stand still.
                rate = service.model.sample_rate
                detectors = [await conversation.run(lambda: SileroDetector(rate))]
                await _Connection(socket, service, conversation, detectors).run()
        except _Over as over:
            await _close(socket, over)
        except MimoEdgeError as error:
            await _close(socket, _Over(_MISTAKE, api_error(error)))

    return [WebSocketRoute("/v1/realtime", realtime)]


def _refuse_beta(socket: WebSocket) -> None:
    offered = socket.scope.get("subprotocols", [])
    header = socket.headers.get("openai-beta", "")
    if "realtime=v1" in header or "openai-beta.realtime-v1" in offered:
        sentence = "the beta protocol is over; leave OpenAI-Beta out."
        code = "beta_api_shape_disabled"
        raise _Over(_BETA, ApiError(400, sentence, code=code))


async def _admit(service: Service, opened: contextlib.AsyncExitStack) -> Conversation:
    try:
        return await opened.enter_async_context(service.conversation())
    except ApiError as error:
        raise _Over(_TRY_LATER if error.status in (429, 503) else _MISTAKE, error) from error


async def _close(socket: WebSocket, over: _Over) -> None:
    """Tell why, and close; of a client that is gone or takes nothing, nobody waits."""
    reason = over.error.code if over.code == _BETA else over.error.message
    with contextlib.suppress(Exception):
        if socket.application_state is WebSocketState.CONNECTED:
            await asyncio.wait_for(socket.send_json(error_event(over.error)), _CLOSING_S)
            short = (reason or "").encode()[:_LONGEST_REASON].decode(errors="ignore")
            await asyncio.wait_for(socket.close(over.code, short), _CLOSING_S)


class _Connection:
    """Carries events between a websocket, a session and the model's threads."""

    def __init__(
        self,
        socket: WebSocket,
        service: Service,
        conversation: Conversation,
        detectors: list[SileroDetector],
    ) -> None:
        """`detectors` holds the one that the session takes."""
        self._socket, self._conversation = socket, conversation
        self._limits, self._log_text = service.options.limits, service.options.log_text
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(socket)
        self._voices: list[Voice] = []
        """Those of the library, as far as an event that is being taken may name one."""
        self._told: asyncio.Queue[ModelEvent] = asyncio.Queue()
        self._changed = asyncio.Event()
        """Set whenever something may be due earlier."""
        self._active_at = self._began_at = time.monotonic()
        model, self._library = service.model, service.voices
        voices = self._library
        self._model = ModelThreads(
            model,
            self._post,
            lookahead=service.options.lookahead,
            voice_of=lambda voice: voices.find(model, voice),
            answering=conversation.answering,
            log_text=service.options.log_text,
        )
        options = SessionOptions(
            model=model.manifest.name,
            rate=model.sample_rate,
            can_speak=model.manifest.speaks,
            longest_text=self._limits.text_characters,
            longest_item=_LONGER_ITEMS * self._limits.text_characters,
            strict=service.options.strict,
            overrides=service.options.overrides,
            new_detector=detectors.pop,
            find_voice=lambda name: voice.id if (voice := voice_of(self._voices, name)) else None,
            first_sound=lambda seconds: service.metrics.first_audio("conversation", seconds),
        )
        self._session = Session(options, self._model, self._outbox.put)

    async def run(self) -> None:
        """Until either side ends it.

        Raises:
            _Over: this side does.
        """
        self._session.begin()
        work: list[Coroutine[Any, Any, None]] = [
            self._read(),
            self._listen(),
            self._keep_time(),
            self._outbox.send_all(),
            self._watch(),
        ]
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except WebSocketDisconnect:
            pass  # the client left
        except ClosedSlow as error:
            sentence = "the client does not read what is sent; connect again."
            raise _Over(_POLICY, ApiError(400, sentence, code="too_slow")) from error
        except (_Over, asyncio.CancelledError):
            raise
        except Exception as error:
            if self._socket.client_state is not WebSocketState.CONNECTED:
                return
            log_mistake(_log, "a mistake in a realtime session", error, log_text=self._log_text)
            sentence = "the server made a mistake; its log says which."
            raise _Over(_MISTAKE, ApiError(500, sentence)) from error
        finally:
            await _end(tasks)
            # In a thread of its own: what runs ends within one step, but not at once.
            self._session.close()
            await asyncio.shield(asyncio.to_thread(self._model.close))

    def _post(self, told: ModelEvent) -> None:
        """Called in the model's threads."""
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._told.put_nowait, told)

    async def _read(self) -> None:
        """Take the client's messages, one after the other."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1006))
            self._active_at = time.monotonic()
            given: Any = None
            try:
                given = read_json(_text_of(message))
                await self._take(given)
            except ApiError as error:
                self._outbox.put(error_event(error, event_id_of(given)))
            except MimoEdgeError as error:
                self._outbox.put(error_event(api_error(error), event_id_of(given)))
            self._changed.set()
            # Thousands of small messages may lie here, and `receive` does not wait while there is
            # one: without this the other sessions would stand still until the last of them.
            await asyncio.sleep(0)

    async def _take(self, given: Any) -> None:
        event = read_event(given)
        if names_voice(event):
            # Voices are files, for which the other sessions must not stand still.
            self._voices = await self._conversation.run(self._library.all)
        if not isinstance(event, Append):
            self._session.client_event(event, time.monotonic())
            return
        for samples in self._session.pieces(event):
            self._session.hear(samples, time.monotonic())
            await asyncio.sleep(0)  # a long piece must not stop the other sessions

    async def _listen(self) -> None:
        """Take what the model tells."""
        while True:
            told = await self._told.get()
            self._session.model_event(told, time.monotonic())
            self._changed.set()

    async def _keep_time(self) -> None:
        """Do what is due."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            self._session.tick(now)
            due = self._session.due(now)
            with contextlib.suppress(asyncio.TimeoutError):
                left = None if due is None else max(0.0, due - now)
                await asyncio.wait_for(self._changed.wait(), left)

    async def _watch(self) -> None:
        """End a session in which nothing happens, one that lasts too long, and all at the end."""
        limits = self._limits
        while True:
            now = time.monotonic()
            if self._session.busy:
                self._active_at = now
            if self._conversation.cancel.is_set():
                raise _Over(_GOING_AWAY, ApiError(503, "the server ends.", code="ending"))
            if now - self._began_at >= limits.session_s:
                sentence = f"a session lasts {limits.session_s:g} s at most; begin another one."
                raise _Over(_GOING_AWAY, ApiError(400, sentence, code="session_expired"))
            if now - self._active_at >= limits.idle_s:
                sentence = f"nothing happened for {limits.idle_s:g} s; connect again to go on."
                raise _Over(_NORMAL, ApiError(400, sentence, code="idle"))
            await asyncio.sleep(min(0.5, limits.idle_s / 4, limits.session_s / 4))


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for all of them.

    Again and again: before Python 3.12, `wait_for` forgets that it was cancelled if what it waits
    for is done at the same moment.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.2)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # asyncio complains of errors that nobody looked at


def _text_of(message: Any) -> str:
    text = message.get("text")
    if not isinstance(text, str):
        raise ApiError(
            400,
            f"a message of {len(message.get('bytes') or b'')} bytes is not JSON; send text.",
            code="invalid_json",
        )
    return text
