"""Several clients and conversations at once; clients that leave; a server that ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.handle import Handled, NotHandled
from wyoming.tts import Synthesize

from mimo_edge.server.options import Limits
from mimo_edge.server.wyoming.options import WyomingLimits
from mimo_edge.stages.backbone import Backbone

from .home_assistant import (
    OPTIONS,
    Wyoming,
    converse,
    events_until,
    recording,
    samples_of,
    speak,
    transcribe,
    wyoming,
)

T = TypeVar("T")
ENDLESS = "Sun mountain river wood. " * 400


def metric(home: Wyoming, name: str) -> float:
    """A number of `/metrics`, 0 if there is none yet."""
    rows = home.http.client.get("/metrics").text.splitlines()
    found = [row for row in rows if row.startswith(f"mimo_edge_{name}")]
    return float(found[0].split()[-1]) if found else 0


def wait_until_nothing_runs(home: Wyoming) -> None:
    for _ in range(600):
        if not metric(home, "running_requests") + metric(home, "waiting_requests"):
            return
        time.sleep(0.1)
    raise AssertionError("something still runs")


def test_two_clients_at_once_get_what_is_theirs(home: Wyoming) -> None:
    async def all_at_once() -> tuple[str, str, bytes, Handled | NotHandled]:
        async def on_its_own(call: Callable[[AsyncTcpClient], Awaitable[T]]) -> T:
            async with home.client() as client:
                return await call(client)

        return await asyncio.wait_for(
            asyncio.gather(
                on_its_own(lambda client: transcribe(client, recording("sum"))),
                on_its_own(lambda client: transcribe(client, recording("words"))),
                on_its_own(lambda client: speak(client, "The sky is blue.")),
                on_its_own(lambda client: converse(client, "what is nine minus four", "both")),
            ),
            120,
        )

    one, other, sound, answer = asyncio.run(all_at_once())
    assert one == "what is seven plus five"
    assert other == "sun mountain river wood"
    assert home.http.service.model.transcribe(samples_of(sound)).text == "the sky is blue"
    assert answer.text == "nine minus four is five"


def test_questions_to_one_conversation_are_answered_one_after_the_other(home: Wyoming) -> None:
    async def both() -> list[Handled | NotHandled]:
        async def ask(text: str) -> Handled | NotHandled:
            async with home.client() as client:
                return await converse(client, text, "shared")

        texts = ("what is seven plus five", "what is nine minus four")
        return await asyncio.wait_for(asyncio.gather(*map(ask, texts)), 120)

    answers = asyncio.run(both())
    assert [answer.text for answer in answers] == [
        "seven plus five is twelve",
        "nine minus four is five",
    ]


@pytest.mark.parametrize("kind", ["synthesize", "transcribe", "handle"])
def test_a_client_that_leaves_ends_its_work(home: Wyoming, kind: str) -> None:
    left = f'requests_total{{kind="wyoming.{kind}",outcome="left"}}'
    before = metric(home, left)

    async def leave() -> None:
        client = home.client()
        await client.connect()
        if kind == "synthesize":
            await client.write_event(Synthesize(text=ENDLESS).event())
            await events_until(client, "audio-chunk")
        elif kind == "handle":
            await client.write_event(Event("transcript", {"text": "count from one to nine"}))
            await events_until(client, "handled-chunk")
        else:
            await client.write_event(AudioStart(rate=16_000, width=2, channels=1).event())
            for _ in range(12):  # more than a minute, of which the first part is written down
                chunk = AudioChunk(rate=16_000, width=2, channels=1, audio=recording("words") * 2)
                await client.write_event(chunk.event())
            await client.write_event(AudioStop().event())
            await events_until(client, "transcript-chunk")
        await client.disconnect()

    asyncio.run(asyncio.wait_for(leave(), 120))
    wait_until_nothing_runs(home)
    assert metric(home, left) == before + 1
    assert home.run(lambda client: transcribe(client, recording("sum"))).startswith("what is")


def test_a_turn_whose_answer_nobody_got_is_forgotten(
    home: Wyoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = Backbone.evaluate

    def slowly(*arguments: Any, **options: Any) -> Any:
        """As a large model: else the answer is there before the client is gone."""
        time.sleep(0.05)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(Backbone, "evaluate", slowly)
    home.run(lambda client: converse(client, "what is seven plus five", "left"))

    async def leave() -> None:
        async with home.client() as client:
            context = {"conversation_id": "left"}
            said = Event("transcript", {"text": "count from one to nine", "context": context})
            await client.write_event(said)
            await events_until(client, "handled-chunk")

    asyncio.run(asyncio.wait_for(leave(), 120))
    wait_until_nothing_runs(home)
    answer = home.run(lambda client: converse(client, "what did i just say", "left"))
    assert answer.text == "you said what is seven plus five"


def test_what_cannot_be_answered_is_not_handled_and_the_connection_lives(home: Wyoming) -> None:
    async def conversation(client: AsyncTcpClient) -> list[Handled | NotHandled]:
        return [
            await converse(client, text, "refused")
            for text in ("  ", "so " * 10_000, "what is " * 2000, "what is seven plus five")
        ]

    empty, long, wide, fine = home.run(conversation)
    assert isinstance(empty, NotHandled)
    assert "no text" in (empty.text or "")
    assert isinstance(long, NotHandled)
    assert "30,000 characters" in (long.text or "")
    assert isinstance(wide, NotHandled)
    assert "positions" in (wide.text or "")
    assert fine == Handled(text="seven plus five is twelve", context=wide.context)


def test_a_text_without_a_conversation_is_answered_alone(home: Wyoming) -> None:
    async def conversation(client: AsyncTcpClient) -> list[str]:
        answers = []
        for text in ("what is seven plus five", "what did i just say"):
            await client.write_event(Event("transcript", {"text": text}))
            answers.append(str((await events_until(client, "handled-stop"))[-2].data["text"]))
        return answers

    first, second = home.run(conversation)
    assert first == "seven plus five is twelve"
    assert "seven" not in second


def test_only_so_many_conversations_are_remembered_for_so_long() -> None:
    with wyoming(WyomingLimits(conversations=2, forget_s=600)) as home:

        def ask(text: str, conversation: str) -> str:
            return home.run(lambda client: converse(client, text, conversation)).text or ""

        for name in ("one", "two"):
            ask("what is seven plus five", name)
        ask("what is nine minus four", "one")
        ask("what is your name", "three")  # in the place of the second, which was silent longest
        assert "nine minus" in ask("what did i just say", "one")
        assert "seven" not in ask("what did i just say", "two")
    with wyoming(WyomingLimits(forget_s=0.05)) as home:
        ask("what is seven plus five", "one")
        time.sleep(1)
        assert "seven" not in ask("what did i just say", "one")


def test_a_full_line_is_told_and_ends_nobody_else_s_speech() -> None:
    options = replace(OPTIONS, limits=Limits(running=1, waiting=1))
    with wyoming(options=options) as home:

        async def crowd() -> list[str]:
            async def ask() -> str:
                async with home.client() as client:
                    await client.write_event(Synthesize(text="The sky is blue.").event())
                    while (event := await client.read_event()) is not None:
                        if event.type in ("audio-stop", "error"):
                            return str(event.data.get("code", "spoken"))
                    return "nothing"

            return await asyncio.wait_for(asyncio.gather(*(ask() for _ in range(8))), 120)

        outcomes = asyncio.run(crowd())
        assert set(outcomes) == {"spoken", "queue_full"}
        wait_until_nothing_runs(home)


def test_the_server_ends_while_clients_wait() -> None:
    async def stay(port: int) -> str | None:
        client = AsyncTcpClient("127.0.0.1", port)
        await client.connect()
        await client.write_event(Synthesize(text=ENDLESS).event())
        return (await events_until(client, "audio-chunk"))[-1].type

    with wyoming() as home:
        assert asyncio.run(asyncio.wait_for(stay(home.port), 60)) == "audio-chunk"
    # `wyoming` waits until the thread of the server has ended.


def test_a_server_that_loads_still_says_so_and_hangs_up() -> None:
    """Home Assistant asks again then; an answer that never comes would make it give up."""
    with wyoming() as home:
        service = home.http.service
        model, service.__dict__["_model"] = service.model, None
        try:

            async def conversation(client: AsyncTcpClient) -> str:
                await client.write_event(Event("describe"))
                (event,) = await events_until(client, "error")
                assert await client.read_event() is None
                return str(event.data["code"])

            assert home.run(conversation) == "loading"
        finally:
            service.__dict__["_model"] = model
