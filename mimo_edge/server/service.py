"""The model behind the server: whose turn it is, and what happens when a caller leaves.

The model itself steps all answers together (`generation/scheduler.py`). Here only so many requests
begin at once, a bounded number waits, and everything that runs can be cancelled from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from typing import Literal, TypeVar

from starlette.requests import Request

from ..errors import MimoEdgeError
from ..generation.asynchronous import in_thread
from ..model import MimoAudio
from .api_errors import ApiError
from .metrics import Metrics
from .options import ServerOptions
from .voice_library import VoiceLibrary

__all__ = ["Service", "State", "Work"]

State = Literal["loading", "ready", "busy", "failed"]
"""The model is loaded; a request would begin at once; it would have to wait; the model is lost."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Work:
    """One request that is being worked on. `cancel` ends all of it within one step."""

    def __init__(self) -> None:
        self.cancel = threading.Event()

    async def run(self, call: Callable[[], T]) -> T:
        """What a function returns that blocks, from a thread.

        Whoever is cancelled while waiting leaves `cancel` set, so a function that looks at it ends
        soon; nobody waits for one that does not.
        """
        try:
            return await asyncio.to_thread(call)
        except asyncio.CancelledError:
            self.cancel.set()
            raise

    def events(
        self, begin: Callable[[threading.Event], Generator[T, None, None]]
    ) -> AsyncGenerator[T, None]:
        """The items of a generator that blocks; `begin` gets the event that ends it."""
        return in_thread(begin, self.cancel)


class Service:
    """One model, many callers. Everything but `Work`'s threads happens in the event loop."""

    def __init__(self, load: Callable[[], MimoAudio], options: ServerOptions) -> None:
        """`load` is called once, in a thread, by `start`."""
        self.options = options
        self.metrics = Metrics()
        self.voices = VoiceLibrary(options.voices, most=options.limits.voices)
        self._load = load
        self._model: MimoAudio | None = None
        self._failure: str | None = None
        self._running = 0
        self._turn = asyncio.Condition()
        self._waiting = 0

    async def start(self) -> None:
        """Load the model and make its first answer as fast as the others."""

        def load() -> MimoAudio:
            model = self._load()
            model.warm_up(self.options.lookahead)
            return model

        try:
            self._model = await asyncio.to_thread(load)
        except MimoEdgeError as error:
            self._failure = str(error)
            _log.error("the model does not load: %s", error)

    def close(self) -> None:
        """Free the model; answers that are under way end."""
        if self._model is not None:
            self._model.close()

    @property
    def state(self) -> State:
        """What a new request would meet."""
        if self._failure is not None:
            return "failed"
        if self._model is None:
            return "loading"
        return "busy" if self._running >= self.options.limits.running else "ready"

    @property
    def model(self) -> MimoAudio:
        """The loaded model.

        Raises:
            ApiError: it is being loaded, or does not load.
        """
        if self._model is not None:
            return self._model
        if self._failure is not None:
            raise ApiError(500, self._failure, code="model_failed")
        raise ApiError(
            503,
            "the model is being loaded; ask again in a few seconds.",
            code="loading",
            headers={"Retry-After": "2"},
        )

    @contextlib.asynccontextmanager
    async def work(self, kind: str, request: Request | None = None) -> AsyncIterator[Work]:
        """Wait for a turn, and work meanwhile; ends early if the caller of `request` leaves.

        `kind` names it in the metrics. The body of `request` has to be read before.

        Raises:
            ApiError: the model is not ready, too many wait already, or it took too long.
        """
        self.model  # noqa: B018  refuses while there is none
        limits = self.options.limits
        began = time.monotonic()
        if self._running >= limits.running and self._waiting >= limits.waiting:
            self.metrics.refused(kind)
            raise ApiError(
                429,
                f"{self._waiting} requests are waiting already; try again later.",
                code="queue_full",
                headers={"Retry-After": "5"},
            )
        work = Work()
        async with self._place(began):
            self.metrics.began(kind, waited=time.monotonic() - began)
            leaving = asyncio.create_task(_until_left(request, work)) if request else None
            try:
                yield work
            finally:
                work.cancel.set()  # whatever still runs in a thread has nobody to tell
                if leaving is not None:
                    leaving.cancel()
                self.metrics.ended(kind, took=time.monotonic() - began)

    @contextlib.asynccontextmanager
    async def _place(self, began: float) -> AsyncIterator[None]:
        limits = self.options.limits
        self._waiting += 1
        try:
            async with self._turn:
                left = limits.request_s - (time.monotonic() - began)
                free = self._turn.wait_for(lambda: self._running < limits.running)
                try:
                    await asyncio.wait_for(free, left)
                except asyncio.TimeoutError as error:
                    raise ApiError(
                        503, "the server was busy for too long; try again.", code="timeout"
                    ) from error
                self._running += 1
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            # Not under the condition's lock: a task that is cancelled twice could fail to get it.
            self._running -= 1
            self._wake()

    def _wake(self) -> None:
        async def tell() -> None:
            async with self._turn:
                self._turn.notify_all()

        self._telling = asyncio.ensure_future(tell())


async def _until_left(request: Request, work: Work) -> None:
    """Cancel the work when the caller closes the connection."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            work.cancel.set()
            return
