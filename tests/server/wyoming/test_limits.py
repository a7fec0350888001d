"""What no client may do: the connection ends with a line in the log, the server lives."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from wyoming.audio import AudioChunk
from wyoming.client import AsyncTcpClient
from wyoming.event import Event

from mimo_edge.server.wyoming.options import WyomingLimits

from .home_assistant import Wyoming, describe, events_until, recording, transcribe, wyoming

QUESTION = "what is seven plus five"
FORM = {"rate": 16_000, "width": 2, "channels": 1}


def line(**header: object) -> bytes:
    return json.dumps(header).encode() + b"\n"


BAD = {
    "noise": bytes(range(256)) * 4 + b"\n",
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a list": b"[]\n",
    "a number": b"7\n",
    "no type": b"{}\n",
    "a type of another type": line(type=["describe"]),
    "data of another type": line(type="describe", data=[1]),
    "a deep list": b"[" * 200_000 + b"\n",
    "an endless line": b"x" * 400_000,
    "a huge number": b'{"type": "describe", "data_length": 1' + b"0" * 5000 + b"}\n",
    "a huge payload": line(type="audio-chunk", data=FORM, payload_length=10**12),
    "a payload over the limit": line(type="audio-chunk", data=FORM, payload_length=2**20 + 1),
    "a negative payload": line(type="audio-chunk", data=FORM, payload_length=-5),
    "huge data": line(type="describe", data_length=10**9),
    "negative data": line(type="describe", data_length=-1),
    "data of a length that is no number": line(type="describe", data_length="3") + b"{}\n",
    "a length that is true": line(type="describe", data_length=True) + b"{",
    "data that is no JSON": line(type="describe", data_length=3) + b"{]}",
    "data that is a list": line(type="describe", data_length=2) + b"[]",
    "half a character": line(type="ping", data={"text": "\ud800"}),
    "half a character in bytes": b'{"type": "ping", "data": {"text": "\xed\xa0\x80"}}\n',
    "no text": line(type="synthesize", data={}),
    "a text that is a number": line(type="synthesize", data={"text": 5}),
    "a voice that is a number": line(type="synthesize", data={"text": "so", "voice": 5}),
    "SSML": line(type="synthesize", data={"text": "<speak/>", "text_format": "ssml"}),
    "a text that is too long": line(type="synthesize", data={"text": "so " * 7000}),
    "a chunk before its start": line(type="synthesize-chunk", data={"text": "so"}),
    "a stop before its start": line(type="synthesize-stop"),
    "two starts": line(type="synthesize-start") * 2,
    "sound without a rate": line(type="audio-start", data={"width": 2, "channels": 1}),
    "sound of a rate that is none": line(type="audio-start", data={**FORM, "rate": 0}),
    "sound of a negative rate": line(type="audio-start", data={**FORM, "rate": -16_000}),
    "sound of an endless rate": line(type="audio-start", data={**FORM, "rate": 1e400}),
    "samples of no bytes": line(type="audio-chunk", data={**FORM, "width": 0}),
    "samples of many bytes": line(type="audio-chunk", data={**FORM, "width": 2**40}),
    "many channels": line(type="audio-chunk", data={**FORM, "channels": 10**9}),
    "formats that change all the time": b"".join(
        line(type="audio-chunk", data={**FORM, "rate": 16_000 + index}) for index in range(50)
    ),
    "a conversation that is a number": line(
        type="transcript", data={"text": "so", "context": {"conversation_id": 5}}
    ),
    "a conversation with an endless name": line(
        type="transcript", data={"text": "so", "context": {"conversation_id": "x" * 1000}}
    ),
}


def received(home: Wyoming, sent: bytes) -> bytes:
    """All that comes back, until the server closes the connection."""
    answer = b""
    with socket.create_connection(("127.0.0.1", home.port), timeout=30) as connection:
        connection.sendall(sent)
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:  # what it did not read is lost, which TCP tells so
            pass
    return answer


def still_answers(home: Wyoming) -> None:
    assert home.run(describe).asr


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD.keys())
def test_what_is_wrong_ends_the_connection(
    home: Wyoming, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    with caplog.at_level(logging.INFO, "mimo_edge.server.wyoming"):
        answer = received(home, sent)
    assert not answer or json.loads(answer.split(b"\n")[0])["type"] == "error"
    lines = [record for record in caplog.records if "127.0.0.1" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].exc_info is None  # not a mistake of the server
    still_answers(home)


def test_the_error_says_what_was_wrong(home: Wyoming) -> None:
    answer = received(home, BAD["a payload over the limit"]).split(b"\n", 1)
    length = json.loads(answer[0])["data_length"]
    error = json.loads(answer[1][:length])
    assert error["code"] == "bad_event"
    assert "1,048,577" in error["text"]


@pytest.mark.parametrize(
    "sent",
    [b"", b"\n", b'{"type": "desc', line(type="describe", data_length=20) + b"{}"],
    ids=["nothing", "an empty line", "half a line", "half of the data"],
)
def test_whoever_leaves_in_the_middle_of_an_event_is_forgotten(home: Wyoming, sent: bytes) -> None:
    for abruptly in (False, True):
        with socket.create_connection(("127.0.0.1", home.port), timeout=30) as connection:
            connection.sendall(sent)
            if abruptly:  # a reset instead of an end
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    still_answers(home)


def test_unknown_events_and_harmless_oddities_are_passed_over(home: Wyoming) -> None:
    async def conversation(client: AsyncTcpClient) -> str:
        for event in (
            Event("run-pipeline", {"start_stage": "asr"}),
            Event("select-program", {"name": "another"}),
            Event("x" * 10_000),
            Event("audio-chunk", {**FORM, "timestamp": "now", "more": [1]}),
        ):
            await client.write_event(event)
        await client.write_event(Event("ping", {"text": "so"}))
        pong = await client.read_event()
        assert pong is not None
        assert (pong.type, pong.data) == ("pong", {"text": "so"})
        return await transcribe(client, recording("sum"))

    assert home.run(conversation) == QUESTION


def test_data_may_stand_in_the_line_or_behind_it(home: Wyoming) -> None:
    for sent in (
        line(type="ping", data={"text": "so"}),
        line(type="ping", data_length=14) + b'{"text": "so"}',
        line(type="ping", data={"text": "no"}, data_length=14) + b'{"text": "so"}',
        line(type="ping", data=None, data_length=14, payload_length=None) + b'{"text": "so"}',
    ):
        with socket.create_connection(("127.0.0.1", home.port), timeout=30) as connection:
            connection.sendall(sent)
            answer = b""
            while b'"so"' not in answer:
                answer += connection.recv(1000) or pytest.fail(f"no answer: {answer!r}")


@pytest.fixture
def narrow() -> Iterator[Wyoming]:
    """A server with small limits."""
    limits = WyomingLimits(connections=2, idle_s=1, stalled_s=1, ahead_bytes=100_000)
    with wyoming(limits) as home:
        yield home


def test_connections_are_counted(narrow: Wyoming) -> None:
    first = socket.create_connection(("127.0.0.1", narrow.port), timeout=30)
    second = socket.create_connection(("127.0.0.1", narrow.port), timeout=30)
    with first, second:
        for one in (first, second):
            one.sendall(line(type="ping"))
            assert b"pong" in one.recv(1000)
        answer = received(narrow, b"")
        assert b'"busy"' in answer
    # As soon as one leaves there is room again.
    for _ in range(100):
        if b'"busy"' not in received(narrow, line(type="ping")):
            break
    still_answers(narrow)


def test_whoever_says_nothing_is_disconnected(narrow: Wyoming) -> None:
    for sent in (b"", b'{"type": "desc', line(type="audio-start", data=FORM)):
        assert b"nothing came" in received(narrow, sent)  # ends without our doing


def test_whoever_waits_for_an_answer_is_not_disconnected(narrow: Wyoming) -> None:
    # Longer than the silence that is allowed.
    long = "Sun mountain river wood. " * 12
    answer = received(narrow, line(type="synthesize", data={"text": long}))
    assert b'"audio-stop"' in answer
    assert len(answer) > 12 * 48_000


def test_whoever_takes_nothing_is_disconnected(narrow: Wyoming) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", narrow.port))
        connection.sendall(line(type="synthesize", data={"text": "Sun river wood. " * 1200}))
        for _ in range(300):
            time.sleep(0.1)
            if narrow.http.service.state == "ready" and _running(narrow) == 0:
                break
    assert _running(narrow) == 0
    still_answers(narrow)


def test_events_are_not_read_ahead_without_end(narrow: Wyoming) -> None:
    # While the model speaks, sound for a next question comes: 30 MB, of which most has to wait.
    chunk = AudioChunk(**FORM, audio=bytes(50_000)).event()

    async def conversation(client: AsyncTcpClient) -> str:
        written = 0

        async def write() -> None:
            nonlocal written
            for _ in range(600):
                await client.write_event(chunk)
                written += 1
            await client.write_event(Event("audio-stop"))

        await client.write_event(Event("synthesize", {"text": "Sun mountain river wood. " * 4}))
        writing = asyncio.create_task(write())
        await events_until(client, "audio-stop")
        assert written < 600  # what the system's buffers hold is a few MB
        (*_, transcript) = await events_until(client, "transcript")
        await writing
        return str(transcript.data["text"])

    assert narrow.run(conversation) == ""


def _running(home: Wyoming) -> float:
    """Requests that are worked on, as the metrics say."""
    text = home.http.client.get("/metrics").text
    found = [row for row in text.splitlines() if row.startswith("mimo_edge_running_requests")]
    return float(found[0].split()[-1])
