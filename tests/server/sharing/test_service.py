"""Whose turn it is, and who leaves: with the model, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from mimo_edge.model import MimoAudio
from mimo_edge.server.options import Limits, ServerOptions
from mimo_edge.server.requests.api_errors import ApiError
from mimo_edge.server.sharing.service import Service

from ..running import Running, running
from .test_metrics import values

LONG = "One, two, three, four, five, six, seven. " * 400
DEMO = Path(__file__).parents[2] / "data" / "demo"


@pytest.fixture(scope="module")
def narrow() -> Iterator[Running]:
    """A server that works on one request, and lets one wait."""
    options = ServerOptions(port=0, limits=Limits(running=1, waiting=1))
    with running(options) as server:
        yield server


@contextlib.contextmanager
def listening(server: Running, **more: object) -> Iterator[Iterator[bytes]]:
    """A long speech of which somebody heard the beginning."""
    speech = {"input": LONG, "response_format": "pcm", **more}
    with server.client.stream("POST", "/v1/audio/speech", json=speech) as answer:
        assert answer.status_code == 200
        sound = answer.iter_raw()
        assert next(sound)
        yield sound


def wait_for(server: Running, name: str, least: float) -> dict[str, float]:
    """The metrics once one of them is there."""
    for _ in range(600):
        found = values(server.client)
        if found.get(name, 0) >= least:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{name} did not become {least}: {found}")


@functools.cache
def long_recording(seconds: float) -> bytes:
    """Spoken questions one after the other."""
    files = [soundfile.read(path, dtype="int16") for path in sorted(DEMO.glob("*.flac"))]
    samples = np.concatenate([sound for sound, _ in files])
    rate = files[0][1]
    file = io.BytesIO()
    whole = np.tile(samples, int(seconds * rate / len(samples)) + 1)
    soundfile.write(file, whole, rate, format="WAV")
    return file.getvalue()


def test_who_leaves_a_stream_ends_its_work(narrow: Running) -> None:
    name = "mimo_edge_requests_total,kind=speech,outcome=left"
    before = values(narrow.client).get(name, 0)
    with listening(narrow):
        assert narrow.client.get("/health").json() == {"status": "busy"}
    after = wait_for(narrow, name, before + 1)
    assert after["mimo_edge_running_requests"] == 0


@pytest.mark.slow
def test_who_leaves_before_a_whole_answer_ends_its_work(narrow: Running) -> None:
    name = "mimo_edge_requests_total,kind=transcriptions,outcome=left"
    before = values(narrow.client).get(name, 0)
    files = {"file": ("long.wav", long_recording(600))}
    with (
        httpx.Client(base_url=narrow.url, timeout=httpx.Timeout(60, read=2)) as impatient,
        contextlib.suppress(httpx.ReadTimeout),
    ):
        answer = impatient.post("/v1/audio/transcriptions", files=files, data={"model": "x"})
        pytest.skip(f"the answer was there before anybody could leave ({answer.status_code})")
    after = wait_for(narrow, name, before + 1)
    assert after["mimo_edge_running_requests"] == 0


def test_a_full_line_says_when_to_try_again(narrow: Running) -> None:
    short = {"input": "Hello.", "response_format": "pcm"}

    async def both() -> tuple[httpx.Response, httpx.Response]:
        async with httpx.AsyncClient(base_url=narrow.url, timeout=60) as client:
            second = asyncio.create_task(client.post("/v1/audio/speech", json=short))
            while (await client.get("/metrics")).text.find("waiting_requests 1.0") < 0:
                await asyncio.sleep(0.01)
            third = await client.post("/v1/audio/speech", json=short)
            opened.close()  # the first one leaves
            return await second, third

    with contextlib.ExitStack() as opened:
        opened.enter_context(listening(narrow))
        second, third = asyncio.run(both())
    assert second.status_code == 200
    assert third.status_code == 429
    assert third.json()["error"]["code"] == "queue_full"
    assert third.json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(third.headers["retry-after"]) <= 600


def test_who_leaves_the_line_is_forgotten(narrow: Running) -> None:
    short = {"input": "Hello.", "response_format": "pcm"}
    name = "mimo_edge_requests_total,kind=speech,outcome=left"
    before = values(narrow.client).get(name, 0)
    with listening(narrow):
        with (
            httpx.Client(base_url=narrow.url, timeout=httpx.Timeout(60, read=0.5)) as impatient,
            pytest.raises(httpx.ReadTimeout),
        ):
            impatient.post("/v1/audio/speech", json=short)
        after = wait_for(narrow, name, before + 1)
        assert after["mimo_edge_waiting_requests"] == 0
    assert narrow.client.post("/v1/audio/speech", json=short).status_code == 200


@pytest.mark.slow
def test_an_answer_has_its_time() -> None:
    options = ServerOptions(port=0, limits=Limits(request_s=2.0))
    with running(options) as server:
        with pytest.raises(httpx.RemoteProtocolError), listening(server) as sound:
            for _ in sound:
                pass
        with listening(server, stream_format="sse") as events:
            last = b"".join(events).split(b"\n\n")[-2]
        error = json.loads(last.removeprefix(b"data: "))["error"]
        assert error["code"] == "timeout"
        assert "2 s" in error["message"]
        files = {"file": ("long.wav", long_recording(600))}
        late = server.client.post("/v1/audio/transcriptions", files=files, data={"model": "x"})
        assert late.status_code == 504
        assert late.json()["error"]["code"] == "timeout"
        assert server.client.get("/health").json() == {"status": "ready"}


def test_many_requests_in_a_row(server: Running) -> None:
    for number in range(200):
        assert server.client.get("/v1/models" if number % 2 else "/health").status_code == 200


@contextlib.asynccontextmanager
async def started(limits: Limits) -> AsyncIterator[Service]:
    service = Service(MimoAudio.load, ServerOptions(limits=limits))
    await service.start()
    try:
        yield service
    finally:
        await service.close()


def test_as_many_conversations_as_were_allowed() -> None:
    async def test() -> None:
        async with started(Limits(conversations=2)) as service:
            async with service.conversation(), service.conversation() as second:
                assert await second.run(lambda: 7) == 7
                with pytest.raises(ApiError) as raised:
                    async with service.conversation():
                        raise AssertionError("it was admitted")
                assert raised.value.status == 429
                assert raised.value.code == "too_many_conversations"
                assert raised.value.headers["Retry-After"]
                assert "2 live conversations" in raised.value.message
                assert not second.cancel.is_set()
            assert second.cancel.is_set()
            async with service.conversation():
                pass

    asyncio.run(test())


def test_the_first_conversation_is_always_admitted_and_a_second_one_by_the_measured_speed() -> None:
    async def test() -> None:
        async with started(Limits()) as service:
            most = service.most_conversations
            assert most >= 1
            async with contextlib.AsyncExitStack() as live:
                for _ in range(most):
                    await live.enter_async_context(service.conversation())
                with pytest.raises(ApiError, match="patches of sound a second"):
                    await live.enter_async_context(service.conversation())

    asyncio.run(test())


def test_nobody_is_answered_while_the_model_is_loaded() -> None:
    async def test() -> None:
        service = Service(MimoAudio.load, ServerOptions())
        for attempt in (service.conversation, lambda: service.work("test")):
            with pytest.raises(ApiError) as raised:
                async with attempt():
                    raise AssertionError("there is no model")
            assert raised.value.status == 503
            assert raised.value.headers["Retry-After"]
        await service.close()

    asyncio.run(test())


def test_the_end_of_the_server_ends_what_waits_and_what_runs() -> None:
    async def test() -> None:
        service = Service(MimoAudio.load, ServerOptions(limits=Limits(running=1)))
        await service.start()

        async def work() -> None:
            async with service.work("test") as work:
                await work.run(work.cancel.wait)

        both = [asyncio.create_task(work()) for _ in range(2)]
        async with service.conversation() as conversation:
            await asyncio.sleep(0.1)
            await service.close()
            assert conversation.cancel.is_set()
        for ended in await asyncio.gather(*both, return_exceptions=True):
            assert isinstance(ended, ApiError)
            assert ended.code == "ending"

    asyncio.run(asyncio.wait_for(test(), 60))


@pytest.mark.slow
def test_who_takes_nothing_of_his_answer_does_not_keep_his_place() -> None:
    options = ServerOptions(port=0, limits=Limits(running=1, send_pause_s=1.0))
    with running(options) as server, socket.socket() as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = httpx.URL(server.url)
        idle.connect((url.host, url.port))
        speech = json.dumps({"input": LONG, "response_format": "wav"})
        head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(speech)}"
        idle.sendall(f"{head}\r\n\r\n{speech}".encode())
        assert idle.recv(12) == b"HTTP/1.1 200"
        after = wait_for(server, "mimo_edge_request_seconds_count,kind=speech", 1)
        assert after["mimo_edge_running_requests"] == 0
