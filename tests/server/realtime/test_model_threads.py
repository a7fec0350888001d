"""What the threads of a session keep."""

from __future__ import annotations

import contextlib
import threading
import weakref

from mimo_edge.server.realtime.contents import InputText, Spoken
from mimo_edge.server.realtime.model_port import ModelEvent
from mimo_edge.server.realtime.model_threads import ModelThreads
from mimo_edge.server.realtime.plan import Plan
from mimo_edge.server.sharing.work import Answering
from mimo_edge.tasks import Overrides
from tests.tools.exact_demo import load_exact_demo


def plan() -> Plan:
    return Plan(said=(InputText(text="Hello."),), reply="text", system=None, overrides=Overrides())


def test_what_is_not_wanted_any_more_is_not_kept_until_its_turn_comes() -> None:
    """A plan may hold minutes of sound, and a client may ask and cancel as often as it likes."""
    begun, go_on = threading.Event(), threading.Event()

    def post(_: ModelEvent) -> None:
        begun.set()
        go_on.wait(60)

    with load_exact_demo() as model:
        threads = ModelThreads(
            model,
            post,
            lookahead=32,
            voice_of=lambda _: None,
            answering=lambda: contextlib.nullcontext(Answering(generated=lambda _: None)),
        )
        threads.answer("long", plan(), Spoken(), aside=True)
        assert begun.wait(60)
        cancelled = plan()
        kept = weakref.ref(cancelled)
        threads.answer("cancelled", cancelled, Spoken(), aside=True)
        threads.stop("cancelled")
        del cancelled
        assert kept() is None
        go_on.set()
        threads.close()
