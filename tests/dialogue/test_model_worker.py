"""The model in its thread, with the demo model: asked, interrupted, closed in the middle."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import soundfile

from mimo_edge.dialogue.model_events import (
    Ended,
    Failed,
    ModelEvent,
    Ready,
    Sound,
    Text,
    Transcribed,
    Truncated,
)
from mimo_edge.dialogue.model_worker import ModelWorker
from mimo_edge.model import MimoAudio
from mimo_edge.session import Session
from mimo_edge.tasks import Overrides
from tests.tools.exact_demo import load_exact_demo

DEMO = Path(__file__).parents[1] / "data" / "demo"
PATCH = 3840
Kind = TypeVar("Kind", bound=ModelEvent)


@pytest.fixture(scope="module")
def model() -> Iterator[MimoAudio]:
    with load_exact_demo() as model:
        yield model


@pytest.fixture
def session(model: MimoAudio) -> Iterator[Session]:
    with model.session(overrides=Overrides(seed=1)) as session:
        yield session


def question(name: str) -> np.ndarray:
    samples: np.ndarray = soundfile.read(DEMO / f"{name}.flac", dtype="float32")[0]
    return samples


class Running:
    """A worker and the events that came of it."""

    def __init__(self, model: MimoAudio, session: Session, *, write_down: bool = False) -> None:
        self.inbox: queue.SimpleQueue[ModelEvent] = queue.SimpleQueue()
        self.events: list[ModelEvent] = []
        self.go_on = threading.Event()
        """Until it is set the model waits with its first piece of sound."""
        self.worker = ModelWorker(
            session,
            model.listener(),
            self._post,
            lookahead=16,
            write_down=(lambda samples, _: model.transcribe(samples).text) if write_down else None,
        )

    def _post(self, event: ModelEvent) -> None:
        self.inbox.put(event)
        if isinstance(event, Sound):
            assert self.go_on.wait(60)

    def wait_for(self, kind: type[Kind], turn: int | None = None) -> Kind:
        """The next event of this kind, and of this turn."""
        while True:
            event = self.inbox.get(timeout=60)
            self.events.append(event)
            if isinstance(event, kind) and turn in (None, getattr(event, "turn", None)):
                return event

    def rest(self) -> list[ModelEvent]:
        """What came until now and was not waited for."""
        events = []
        while not self.inbox.empty():
            events.append(self.inbox.get())
        return events


def test_a_question_that_was_prepared_is_answered_and_written_down(
    model: MimoAudio, session: Session
) -> None:
    running, samples = Running(model, session, write_down=True), question("sum")
    running.go_on.set()
    with running.worker as worker:
        running.wait_for(Ready)
        worker.hear(samples[: len(samples) // 2])
        worker.prepare(samples[: len(samples) // 2])  # a pause; the user goes on
        worker.prepare(samples)
        worker.answer(1, samples)
        ended = running.wait_for(Ended)
        assert running.wait_for(Transcribed).text == "what is seven plus five"
    assert (ended.turn, ended.reason) == (1, "stop")
    assert ended.prepared_positions > 10 and ended.stats.evaluated_positions == 0
    text = "".join(event.text for event in running.events if isinstance(event, Text))
    assert text == "seven plus five is twelve"
    assert worker.failure is None and len(session.turns) == 1


def test_a_new_question_ends_the_answer_before(model: MimoAudio, session: Session) -> None:
    running = Running(model, session)
    with running.worker as worker:
        worker.answer(1, question("count"))
        running.wait_for(Sound)
        worker.stop(1, 2 * PATCH)
        worker.answer(2, question("sum"))
        running.go_on.set()
        told = len(running.events)
        cut = running.wait_for(Truncated)
        assert cut.ended is not None and cut.ended.reason == "cancelled"
        # Nothing of the second yet, and of the first at most the step that it was in.
        assert all(getattr(event, "turn", 1) == 1 for event in running.events[told:])
        assert sum(isinstance(event, Text) for event in running.events[told:]) <= 5
        assert running.wait_for(Ended, turn=2).reason == "stop"
    assert len(session.turns) == 2


def test_an_answer_that_nobody_heard_never_was(model: MimoAudio, session: Session) -> None:
    running = Running(model, session)
    running.go_on.set()
    with running.worker as worker:
        worker.answer(1, question("sum"))
        running.wait_for(Ended)
        worker.stop(1, 0)
        assert running.wait_for(Truncated).text == ""
    assert not session.turns


def test_closing_keeps_what_was_heard_and_ends_what_runs(
    model: MimoAudio, session: Session
) -> None:
    running = Running(model, session)
    running.go_on.set()
    with running.worker as worker:
        worker.answer(1, question("sum"))
        running.wait_for(Ended)
        worker.stop(1, 4 * PATCH)  # 0.64 s, the answer has 1.5 s
        worker.answer(2, question("count"))
        worker.hear(question("name"))
        worker.prepare(question("name"))
    events = running.rest()
    (cut,) = [event for event in events if isinstance(event, Truncated)]
    assert "seven plus five is twelve".startswith(cut.text)
    assert not [event for event in events if isinstance(event, Failed)]
    assert worker.failure is None
    assert session.ask(question("color")).text == "the sky is blue"


def test_a_question_that_fails_leaves_the_thread_running(
    model: MimoAudio, session: Session
) -> None:
    running = Running(model, session)
    running.go_on.set()
    with running.worker as worker:
        worker.prepare(np.zeros(1000, np.float32))
        worker.answer(1, np.zeros(1000, np.float32))
        assert "nothing to hear" in running.wait_for(Failed).sentence
        worker.answer(2, question("sum"))
        assert running.wait_for(Ended).turn == 2


def test_a_mistake_of_ours_is_kept_for_who_runs_it(model: MimoAudio, session: Session) -> None:
    begun = threading.Event()

    def fail(samples: np.ndarray, cancel: threading.Event) -> str:
        begun.set()
        raise ZeroDivisionError("in the model's thread")

    running = Running(model, session)
    worker = ModelWorker(
        session, model.listener(), running.inbox.put, lookahead=16, write_down=fail
    )
    with worker:
        worker.answer(1, question("sum"))
        running.wait_for(Ended)
        assert begun.wait(60)  # A worker that is closed at once writes nothing down.
    assert isinstance(worker.failure, ZeroDivisionError)


def test_the_next_question_does_not_wait_until_one_is_written_down(
    model: MimoAudio, session: Session
) -> None:
    go_on = threading.Event()

    def slowly(samples: np.ndarray, cancel: threading.Event) -> str:
        assert go_on.wait(60)
        return "words"

    running = Running(model, session)
    running.go_on.set()
    with ModelWorker(
        session, model.listener(), running.inbox.put, lookahead=16, write_down=slowly
    ) as worker:
        worker.answer(1, question("sum"))
        running.wait_for(Ended, turn=1)
        worker.answer(2, question("sum"))
        running.wait_for(Ended, turn=2)
        go_on.set()
        assert running.wait_for(Transcribed, turn=1).text == "words"
