"""Tasks as objects: run, streamed, and awaited from asyncio."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np

from mimo_edge import Ask, MimoAudio, Overrides, Speak, Turn
from mimo_edge.generation.events import Event, TextDelta, TurnEnd

SENTENCES = ("Hello.", "What a fine day it is!", "One, two, three.", "And who are you?")


def end_of(events: list[Event]) -> TurnEnd:
    assert isinstance(events[-1], TurnEnd)
    return events[-1]


def test_tasks_as_objects(reference_model: MimoAudio, clips: dict[str, Path]) -> None:
    model, overrides = reference_model, Overrides(max_new_tokens=12, seed=3)
    question = Ask(audio=clips["tiny"], question="What is it?", overrides=overrides)
    assert (
        model.run(question).text
        == model.ask(clips["tiny"], "What is it?", overrides=overrides).text
    )
    events = list(model.stream(Speak(text="Hello.", overrides=overrides)))
    answer = model.speak("Hello.", overrides=overrides)
    end = end_of(events)
    np.testing.assert_array_equal(
        end.codes[end.spoken].reshape(-1, answer.codes.shape[1]), answer.codes
    )
    turn = Turn(text="Hello.", reply="text", overrides=overrides)
    with model.session(overrides=overrides) as session:
        in_session = end_of(list(session.stream(Turn(text="Hello.", reply="text"))))
    assert end_of(list(model.stream(turn))).text_ids.tolist() == in_session.text_ids.tolist()


def test_for_asyncio(reference_model: MimoAudio) -> None:
    """Answers side by side; the event loop goes on meanwhile."""
    tasks = [
        Turn(text=text, reply="text", overrides=Overrides(max_new_tokens=16, seed=n))
        for n, text in enumerate(SENTENCES)
    ]
    expected = [end_of(list(reference_model.stream(task))).text_ids.tolist() for task in tasks]

    async def ids(task: Turn) -> list[int]:
        events = [event async for event in reference_model.astream(task)]
        return [int(text_id) for text_id in end_of(events).text_ids]

    async def tick(done: asyncio.Event) -> int:
        ticks = 0
        while not done.is_set():
            await asyncio.sleep(0)
            ticks += 1
        return ticks

    async def main() -> tuple[list[list[int]], int]:
        done = asyncio.Event()
        ticking = asyncio.create_task(tick(done))
        found = await asyncio.gather(*map(ids, tasks))
        done.set()
        return list(found), await ticking

    found, ticks = asyncio.run(main())
    assert found == expected
    assert ticks > 10


def test_leaving_an_asynchronous_answer_early(reference_model: MimoAudio) -> None:
    """The model works no more, and an event that others share is not set by it."""
    task = Turn(text="Hello.", reply="text", overrides=Overrides(max_new_tokens=200, seed=1))
    cancel = threading.Event()

    async def main() -> None:
        events = reference_model.astream(task, cancel=cancel)
        async for event in events:
            assert isinstance(event, TextDelta | TurnEnd)
            break
        await events.aclose()

    asyncio.run(main())
    assert not cancel.is_set()
    for thread in threading.enumerate():
        if thread.name == "mimo_edge stream":
            thread.join(20)
            assert not thread.is_alive()


def test_cancelling_an_asynchronous_answer(reference_model: MimoAudio) -> None:
    task = Turn(text="Hello.", reply="text", overrides=Overrides(max_new_tokens=200, seed=1))
    cancel = threading.Event()

    async def main() -> list[Event]:
        found = []
        async for event in reference_model.astream(task, cancel=cancel):
            found.append(event)
            cancel.set()
        return found

    end = end_of(asyncio.run(main()))
    assert end.reason == "cancelled" and len(end.text_ids) < 200
