"""The model behind the server: whose turn it is, and what happens when a caller leaves.

The model itself steps all answers together (`generation/scheduler.py`). Here only so many requests
begin at once, a bounded number waits (`places`), only so many conversations are live as measured
speed carries (`speed`), and everything that runs can be ended from outside (`work`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from starlette.requests import Request

from ...errors import MimoEdgeError
from ...generation.events import TurnStats
from ...model import MimoAudio
from ..mistakes import log_mistake
from ..options import ServerOptions
from ..requests.api_errors import ApiError
from ..voices.library import VoiceLibrary
from .metrics import Metrics, Outcome
from .places import GivenUp, LineFull, Places
from .speed import Carried, Together, measure_one
from .work import Answering, Conversation, Generated, Work

__all__ = ["Conversation", "Service", "State", "Work"]

State = Literal["loading", "ready", "busy", "failed"]
"""The model is loaded; a request would begin at once; it would have to wait; the model is lost."""

_THREADS = 64
"""Each request and conversation has one or two that wait for the model; one waits for another's
only inside of the model. asyncio's own pool has 6 on two cores."""
_EVERY_S = 5.0
"""Seconds that a request takes, before any was measured."""
_LONGEST_RETRY_S = 600
_CLOSE_S = 5.0
_LEAVING_S = 3.0
"""Seconds in which a conversation that has ended gives its place free, on a slow machine, too."""
_LOOK_S = 0.05

_log = logging.getLogger(__name__)


class Service:
    """One model, many callers. Everything but threads of `Work` happens in the event loop."""

    def __init__(self, load: Callable[[], MimoAudio], options: ServerOptions) -> None:
        """`load` is called once, in a thread, by `start`."""
        self.options = options
        self.metrics = Metrics()
        self.beside: list[contextlib.AbstractAsyncContextManager[object]] = []
        """Other servers for the same model, which run while this one does, in its event loop."""
        self.voices = VoiceLibrary(options.voices, most=options.limits.voices)
        self._load = load
        self._model: MimoAudio | None = None
        self.failure: MimoEdgeError | None = None
        """Why the model does not load."""
        self.when_loaded: list[Callable[[], None]] = []
        """Called once there is a model, or none, in the event loop."""
        self._carried: Carried | None = None
        self._measured = threading.Event()
        """Ends the measurement at the start."""
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="mimo_edge work")
        self._places = Places(self._room, options.limits.waiting)
        self._together = Together()
        self._working: set[Work] = set()
        self._live: set[Conversation] = set()
        self._took_s = _EVERY_S
        self.metrics.watch(
            running=lambda: self._places.taken,
            waiting=lambda: self._places.waiting,
            carried=lambda: self.most_conversations,
        )

    async def start(self) -> None:
        """Load the model, make its first answer as fast as the others, and measure its speed."""
        try:
            loop = asyncio.get_running_loop()
            model, measured = await loop.run_in_executor(self._pool, self._loaded)
        except MimoEdgeError as error:
            self.failure = error
        except Exception as error:
            # Nothing of a caller is in its text: there was none yet.
            log_mistake(_log, "the model does not load", error, log_text=True)
            self.failure = MimoEdgeError("the model does not load; the server's log says why.")
        else:
            self._carried = Carried(model.manifest)
            if measured is not None:
                self._carried.measured(1, measured, least=1)
            self._model = model
        for call in self.when_loaded:
            call()

    def _loaded(self) -> tuple[MimoAudio, TurnStats | None]:
        model = self._load()
        try:
            model.warm_up(self.options.lookahead)
            return model, measure_one(model, self.options.lookahead, self._measured)
        except BaseException:
            model.close()
            raise

    def end_all(self) -> None:
        """End everything that runs: the server is about to end."""
        self._measured.set()
        for work in [*self._working]:
            work.end(ApiError(503, "the server ends.", code="ending"))
        for conversation in [*self._live]:
            conversation.cancel.set()

    async def close(self, most_s: float = _CLOSE_S) -> None:
        """End everything and free the model.

        What computes in native code ends with its step; after so many seconds nobody waits for it,
        and the process has to end with it.
        """
        self.end_all()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._model is not None:
            # Not in the pool, which takes nothing more, nor in a thread that Python waits for.
            closing = threading.Thread(target=self._model.close, name="mimo_edge end", daemon=True)
            closing.start()
            until = time.monotonic() + most_s
            while closing.is_alive() and time.monotonic() < until:
                await asyncio.sleep(0.02)

    @property
    def state(self) -> State:
        """What a new request would meet."""
        if self.failure is not None:
            return "failed"
        if self._model is None:
            return "loading"
        return "ready" if self._places.free else "busy"

    @property
    def model(self) -> MimoAudio:
        """The loaded model.

        Raises:
            ApiError: it is being loaded, or does not load.
        """
        if self._model is not None:
            return self._model
        if self.failure is not None:
            raise ApiError(500, str(self.failure), code="model_failed")
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
            ApiError: the model is not ready, too many wait already, it took too long, or the
                caller left.
        """
        self.model  # noqa: B018  refuses while there is none
        came = time.monotonic()
        outcome: Outcome = "failed"
        work = Work(self._pool)
        try:
            with self._watched(work, request):
                async with self._places.place(work.ended):
                    began = time.monotonic()
                    self.metrics.began(kind, waited=began - came)
                    with self._one_more() as work.generated:
                        yield work
                    work.check()
                    self._took_s += 0.2 * (time.monotonic() - began - self._took_s)
            outcome = "done"
        except LineFull:
            outcome = "refused"
            self.metrics.refused(kind)
            raise self._line_full() from None
        except GivenUp:
            outcome = work.outcome
            work.check()
        except ApiError:
            outcome = work.outcome
            raise
        except (GeneratorExit, asyncio.CancelledError):
            # What is streamed is closed as soon as nobody takes it, which may be before `_watched`
            # hears of it.
            outcome = "left" if work.outcome == "failed" else work.outcome
            raise
        finally:
            work.cancel.set()  # whatever still runs in a thread has nobody to tell
            self.metrics.ended(kind, took=time.monotonic() - came, outcome=outcome)

    @contextlib.asynccontextmanager
    async def conversation(self) -> AsyncIterator[Conversation]:
        """Have a live conversation, whose answers have to keep up with being heard.

        The first one is always admitted; further ones as far as `Limits.conversations` or the
        measured speed allow. One that has just ended keeps its place until its last step is done,
        and whoever loads the page anew comes before that: so it is waited for.

        Meanwhile requests leave the conversations what they need.

        Raises:
            ApiError: the model is not ready, or cannot carry one more.
        """
        self.model  # noqa: B018
        until = time.monotonic() + _LEAVING_S
        while len(self._live) >= self.most_conversations:
            if time.monotonic() >= until:
                self.metrics.refused("conversation", "too_many_conversations")
                raise self._too_many()
            await asyncio.sleep(_LOOK_S)
        conversation = Conversation(self._pool, self._answering)
        self._live.add(conversation)
        self.metrics.conversation_began()
        try:
            yield conversation
        finally:
            conversation.cancel.set()
            self._live.discard(conversation)
            self.metrics.conversation_ended()
            self._places.call_next()

    @property
    def most_conversations(self) -> int:
        """How many conversations may be live at once; 1 before the model is loaded."""
        fixed = self.options.limits.conversations
        if fixed is not None:
            return fixed
        return 1 if self._carried is None else self._carried.most

    def _too_many(self) -> ApiError:
        live = f"{len(self._live)} live conversation{'' if len(self._live) == 1 else 's'}"
        fixed = self.options.limits.conversations
        each = self._carried.each(len(self._live) + 1) if self._carried and fixed is None else None
        if self._carried is None or each is None:
            sentence = f"there is {live} already, and the server takes no more; try again later."
        else:
            sentence = (
                f"this machine has {live} already; with one more each would get {each:.1f} patches "
                f"of sound a second, and speech without gaps needs {self._carried.needed:.2f} and "
                "some for the prompts; try again later, or start the server with --conversations."
            )
        return ApiError(429, sentence, code="too_many_conversations", headers={"Retry-After": "30"})

    def _room(self) -> int:
        """Requests that are worked on at once: beside conversations as many as these can stand."""
        most = self.options.limits.running
        if not self._live or self._carried is None:
            return most
        return max(1, min(most, self._carried.most - len(self._live)))

    @contextlib.contextmanager
    def _watched(self, work: Work, request: Request | None) -> Iterator[None]:
        """Meanwhile the work is ended if its time is over, its caller leaves or the server ends."""
        most_s = self.options.limits.request_s
        late = ApiError(
            504,
            f"the answer was not done after {most_s:g} s, which is the limit here; ask for less.",
            code="timeout",
        )
        timer = asyncio.get_running_loop().call_later(most_s, work.end, late, "timeout")
        leaving = asyncio.create_task(_until_left(request, work)) if request else None
        self._working.add(work)
        try:
            yield
        finally:
            self._working.discard(work)
            timer.cancel()
            if leaving is not None:
                leaving.cancel()

    @contextlib.contextmanager
    def _one_more(self) -> Iterator[Generated]:
        """Meanwhile one more answer is made; gives what its cost is to be told to."""
        with self._together.one_more() as stretch:

            def generated(stats: TurnStats) -> None:
                self.metrics.generated(stats)
                if self._carried is not None:
                    self._carried.measured(stretch.average, stats)

            yield generated

    @contextlib.contextmanager
    def _answering(self) -> Iterator[Answering]:
        with self._one_more() as generated:
            yield Answering(generated=generated)

    def _line_full(self) -> ApiError:
        soon = self._took_s * (self._places.waiting + 1) / self._room()
        seconds = min(_LONGEST_RETRY_S, max(1, math.ceil(soon)))
        return ApiError(
            429,
            f"{self._places.waiting} requests are waiting already; try again in about {seconds} s.",
            code="queue_full",
            headers={"Retry-After": str(seconds)},
        )


async def _until_left(request: Request, work: Work) -> None:
    """End the work when the caller closes the connection."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            # Nobody gets this answer; nginx's word for it is in logs and metrics.
            work.end(ApiError(499, "the caller left.", code="left"), "left")
            return
