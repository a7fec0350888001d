"""Clients that vanish in the middle of everything, and very many requests: nothing is left over.

Memory, threads and open files are those of a server in a process of its own.
"""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from ..measured import QUESTIONS, Measured, measured
from ..raw_socket import RawConnection, RawWebsocket
from ..realtime.talker import question, silence, sound_of, talking, words
from ..two_conversations import both, check

LONG = "Sun mountain river wood. " * 40


@pytest.fixture(scope="module")
def server() -> Iterator[Measured]:
    with measured("--conversations", 32, "--queue", 300) as server:
        yield server


def append(socket: RawWebsocket, pcm: np.ndarray) -> None:
    for start in range(0, len(pcm), 4800):
        audio = base64.b64encode(pcm[start : start + 4800].tobytes()).decode()
        socket.send("input_audio_buffer.append", audio=audio)


def speech(url: str) -> RawConnection:
    """Left in the middle of a long speech."""
    connection = RawConnection(url)
    connection.post("/v1/audio/speech", input=LONG, response_format="pcm", voice="alloy")
    connection.read()
    return connection


def upload(url: str) -> RawConnection:
    """Left in the middle of a recording."""
    connection = RawConnection(url)
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n\r\n'
    part = head + (QUESTIONS / "sum.flac").read_bytes()[:2000]
    text = (
        f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {connection.host}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 200000\r\n\r\n"
    )
    connection.socket.sendall(text.encode() + part)
    return connection


def transcription(url: str) -> RawConnection:
    """Left as soon as all of a recording is there."""
    connection = RawConnection(url)
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n\r\n'
    body = head + (QUESTIONS / "sum.flac").read_bytes() + b"\r\n--x--\r\n"
    connection.request(
        "POST", "/v1/audio/transcriptions", body, Content_Type="multipart/form-data; boundary=x"
    )
    return connection


def chat(url: str) -> RawConnection:
    """Left in the middle of a spoken answer."""
    connection = RawConnection(url)
    connection.post(
        "/v1/chat/completions",
        messages=[{"role": "user", "content": "count from one to nine"}],
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "pcm16"},
        stream=True,
    )
    connection.read()
    return connection


def headers(url: str) -> RawConnection:
    """Left in the middle of a request's head."""
    connection = RawConnection(url)
    connection.socket.sendall(b"POST /v1/audio/speech HTTP/1.1\r\nHost: loc")
    return connection


def listening(url: str) -> RawConnection:
    """Left in the middle of a spoken sentence."""
    socket = RawWebsocket(url)
    if socket.status == 101:
        append(socket, question("sum")[:20_000])
    return socket


def answering(url: str) -> RawConnection:
    """Left in the middle of a spoken answer."""
    socket = RawWebsocket(url)
    if socket.status == 101:
        append(socket, np.concatenate([question("count"), silence(1.0)]))
        with contextlib.suppress(ConnectionError):
            socket.until("response.output_audio.delta")
    return socket


def halfway(url: str) -> RawConnection:
    """Left in the middle of a frame."""
    socket = RawWebsocket(url)
    if socket.status == 101:
        socket.socket.sendall(b"\x81\xfe\x40\x00abcd")  # a text of 16 KB, of which nothing comes
    return socket


def quiet(url: str) -> RawConnection:
    """Left before anything was said."""
    return RawWebsocket(url)


LEAVING: tuple[Callable[[str], RawConnection], ...] = (
    speech,
    upload,
    transcription,
    chat,
    headers,
    listening,
    answering,
    halfway,
    quiet,
)


def come_and_go(server: Measured, count: int) -> None:
    """So many clients of all kinds, 24 at a time; every third one is half open for a while."""
    silent: list[RawConnection] = []
    lock = threading.Lock()

    def one(index: int) -> None:
        client = LEAVING[index % len(LEAVING)](server.url)
        if index % 3 == 2:
            client.fall_silent()
            with lock:
                silent.append(client)
                gone = silent.pop(0) if len(silent) > 12 else None
            if gone is not None:
                gone.vanish()
        else:
            client.vanish()

    with ThreadPoolExecutor(24) as pool:
        for done in [pool.submit(one, index) for index in range(count)]:
            done.result()
    for client in silent:
        client.vanish()


def check_it_works(server: Measured) -> None:
    """It hears, speaks and converses as before."""
    assert server.transcribe() == "what is seven plus five"
    with talking(server.url) as talker:
        assert words(talker.ask("sum")) == "seven plus five is twelve"
        assert len(sound_of(talker.events)) > 24_000


@pytest.mark.parametrize("leave", LEAVING, ids=[leave.__name__ for leave in LEAVING])
@pytest.mark.parametrize("silent", [False, True], ids=["reset", "half open"])
def test_a_client_that_vanishes_leaves_nothing_behind(
    server: Measured, leave: Callable[[str], RawConnection], silent: bool
) -> None:
    client = leave(server.url)
    if silent:
        client.fall_silent()
        client.rest()  # the server ends it, whatever it was about to send
        client.socket.close()
    else:
        client.vanish()
    server.wait_until_idle()
    assert server.transcribe() == "what is seven plus five"


@pytest.mark.slow
def test_two_hundred_clients_that_vanish_leave_nothing_behind(server: Measured) -> None:
    check_it_works(server)
    come_and_go(server, 72)  # as many threads and buffers as there will ever be
    check_it_works(server)
    before = server.figures()
    come_and_go(server, 200)
    check_it_works(server)
    server.figures().check_no_more_than(before, mb=60)


@pytest.mark.slow
def test_a_thousand_requests_leave_nothing_behind(server: Measured) -> None:
    client = server.client

    def right(index: int) -> bool:
        """Whether one more request, of ten kinds in turn, is answered as it should be.

        Of those that compute much, every second one asks for the health instead.
        """
        kind = index % 10
        if index % 20 == 0:
            return server.transcribe() == "what is seven plus five"
        if index % 20 == 1:
            body = {"input": "The sky is blue.", "response_format": "pcm", "voice": "alloy"}
            return len(client.post("/v1/audio/speech", json=body).content) > 24_000
        if index % 20 == 2:
            said = {"messages": [{"role": "user", "content": "what is seven plus five"}]}
            answer = client.post("/v1/chat/completions", json=said).json()
            text = answer["choices"][0]["message"]["content"]
            return bool(text == "seven plus five is twelve")
        if kind == 3 and index % 100 == 3:
            with talking(server.url) as talker:
                return words(talker.ask("sum")) == "seven plus five is twelve"
        status = {
            4: lambda: client.get("/v1/models"),
            5: lambda: client.get("/v1/audio/voices"),
            6: lambda: client.get("/nothing"),
            7: lambda: client.post("/v1/audio/speech", json={"input": ""}),
            8: lambda: client.post("/v1/audio/transcriptions", files={"file": b"no sound"}),
            9: lambda: client.post("/v1/chat/completions", content=b"{"),
        }.get(kind, lambda: client.get("/health"))()
        expected = {6: {404}, 7: {400}, 8: {400, 415}, 9: {400}}.get(kind, {200})
        return status.status_code in expected

    before = None
    for index in range(1000):
        assert right(index), index
        if index == 200:
            before = server.figures()
    assert before is not None
    server.figures().check_no_more_than(before, mb=40)


@pytest.mark.slow
def test_two_conversations_go_on_and_on() -> None:
    """`python -m tests.server.two_conversations` does it for half an hour."""
    with measured("--conversations", 2) as server:
        check(both(server, 6, pace=0.05))
        before = server.figures()
        check(both(server, 18, pace=0.05))
        server.figures().check_no_more_than(before, mb=40)


def frame(first: int, payload: bytes = b"", *, masked: bool = True, claim: int = 0) -> bytes:
    """A frame as a websocket has it; `claim` is a length that is not its own."""
    length = claim or len(payload)
    mask = 0x80 if masked else 0
    if length < 126:
        head = bytes([first, mask | length])
    elif length < 65536:
        head = bytes([first, mask | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, mask | 127]) + length.to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + payload


TEXT, BINARY, MORE, CLOSE, PING = 0x81, 0x82, 0x80, 0x88, 0x89
FRAMES = {
    "a frame without a mask": (frame(TEXT, b"{}", masked=False), {1002}),
    "a reserved bit": (frame(0xC1, b"{}"), {1002}),
    "an unknown kind": (frame(0x83, b"{}"), {1002}),
    "a long ping": (frame(PING, bytes(200)), {1002}),
    "a ping in pieces": (frame(0x09, b"so"), {1002}),
    "a continuation of nothing": (frame(MORE, b"{}"), {1002}),
    "a text within a text": (frame(0x01, b"{") + frame(TEXT, b"{}"), {1002}),
    "half a character": (frame(TEXT, b"\xc3"), {1007}),
    "a close of one byte": (frame(CLOSE, b"\x03"), {1002}),
    "a close with a code that is none": (frame(CLOSE, (999).to_bytes(2, "big")), {1002}),
    "a close": (frame(CLOSE, (1000).to_bytes(2, "big")), {1000}),
    "a text of 4 exabytes": (frame(TEXT, b"", claim=2**62), {1009}),
    "a text of more than there may be": (frame(TEXT, b"", claim=17 * 2**20), {1009}),
    "noise": (bytes(range(256)) * 40, {1002}),
    "a request": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", {1002}),
}


@pytest.mark.parametrize(("sent", "codes"), FRAMES.values(), ids=FRAMES.keys())
def test_a_frame_that_is_none_ends_its_connection_alone(
    server: Measured, sent: bytes, codes: set[int]
) -> None:
    other = RawWebsocket(server.url)
    other.until("session.created")
    socket = RawWebsocket(server.url)
    socket.until("session.created")
    socket.socket.sendall(sent)
    for _ in socket.events():
        pass
    assert socket.close_code in codes
    other.send("session.update", session={"type": "realtime", "instructions": "so"})
    assert other.until("session.updated")["session"]["instructions"] == "so"
    other.vanish()
    server.wait_until_idle()


def test_a_text_of_more_than_there_may_be_in_many_pieces_ends_the_connection(
    server: Measured,
) -> None:
    socket = RawWebsocket(server.url)
    piece = frame(0x00, bytes(2**20))
    with contextlib.suppress(OSError):
        socket.socket.sendall(frame(0x01, b"{"))
        for _ in range(20):
            socket.socket.sendall(piece)
    for _ in socket.events():
        pass
    assert socket.close_code in (1009, 1006)  # a reset may overtake the close
    server.wait_until_idle()


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b'"so"', b'{"type": 5}', b'{"type": "so"}', b"[" * 100_000],
    ids=["empty", "half", "list", "null", "text", "number", "unknown", "deep"],
)
def test_a_text_that_is_no_event_is_an_error_and_the_session_lives(
    server: Measured, text: bytes
) -> None:
    socket = RawWebsocket(server.url)
    socket.socket.sendall(frame(TEXT, text))
    assert socket.until("error")["error"]["type"] == "invalid_request_error"
    socket.send("session.update", session={"type": "realtime", "instructions": "so"})
    assert socket.until("session.updated")["session"]["instructions"] == "so"
    socket.vanish()


def test_health_is_answered_while_clients_come_and_go(server: Measured) -> None:
    going = threading.Thread(target=come_and_go, args=(server, 18))
    going.start()
    try:
        while going.is_alive():
            assert httpx.get(server.url + "/health", timeout=60).status_code == 200
            going.join(0.05)
    finally:
        going.join()
    server.wait_until_idle()
