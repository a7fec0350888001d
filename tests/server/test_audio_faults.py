"""Faults that others' servers had in public: none of them here."""

from __future__ import annotations

import io
import json
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import soundfile

from mimo_edge.server.options import Limits, ServerOptions

from .running import Running, running

QUESTION = Path(__file__).parent.parent / "data" / "demo" / "sum.flac"
RATE = 24_000
SENTENCES = [
    "seven plus five is twelve",
    "the sky is blue",
    "one two three four five six",
    "the opposite of big is small",
    "nine minus four is five",
    "my name is echo",
]


def pcm(server: Running, text: str) -> np.ndarray:
    asked = {"input": text, "seed": 1, "response_format": "pcm"}
    answer = server.client.post("/v1/audio/speech", json=asked)
    assert answer.status_code == 200
    return np.frombuffer(answer.content, "<i2").astype(np.float32) / 32768


def test_audio_is_neither_dropped_nor_garbled_under_load(server: Running) -> None:
    """What is asked for beside others is the sound that it is alone, and its words are heard."""
    alone = [pcm(server, text) for text in SENTENCES]
    with ThreadPoolExecutor(len(SENTENCES)) as pool:
        beside = list(pool.map(lambda text: pcm(server, text), SENTENCES))
    for text, one, other in zip(SENTENCES, alone, beside, strict=True):
        # In 16 bits; the seventh digit of a sample depends on who is beside.
        np.testing.assert_allclose(other, one, atol=1.5 / 32768, err_msg=text)
        assert server.service.model.transcribe(other).text == text


def test_answers_do_not_leak_into_each_other(server: Running) -> None:
    for text in (*SENTENCES, *SENTENCES[::-1]):
        assert server.service.model.transcribe(pcm(server, text)).text == text


def test_no_click_at_any_seam(server: Running) -> None:
    """Between two samples the sound never jumps more than speech does."""
    samples = pcm(server, ". ".join(SENTENCES))
    inside = np.abs(np.diff(pcm(server, SENTENCES[0]))).max()
    assert np.abs(np.diff(samples)).max() < 2 * inside
    # Nor between chunks of HTTP: nothing is missing and nothing is there twice.
    assert len(samples) > 5 * RATE and np.isfinite(samples).all()


def test_the_last_word_is_not_cut(server: Running) -> None:
    for text in ("one two three", "seven"):
        samples = pcm(server, text)
        assert server.service.model.transcribe(samples).text == text
        assert np.abs(samples[-RATE // 100 :]).max() < 0.05


def test_one_done_for_many_parts(server: Running) -> None:
    """Not one a part."""
    question = soundfile.read(QUESTION, dtype="float32")[0]
    file = io.BytesIO()
    recording = np.concatenate([question, np.zeros(5 * RATE, dtype=np.float32)] * 4)
    soundfile.write(file, recording, RATE, format="FLAC")
    answer = server.client.post(
        "/v1/audio/transcriptions",
        files={"file": ("a.flac", file.getvalue())},
        data={"stream": "true"},
    )
    events = [json.loads(line[6:])["type"] for line in answer.text.splitlines() if line]
    assert events.count("transcript.text.done") == 1
    assert events[-1] == "transcript.text.done"


def vanish(server: Running, request: bytes, wait_for: int) -> None:
    """Send, read so many bytes, and break the connection off without a farewell."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(request)
        if wait_for:
            connection.recv(wait_for)


@pytest.mark.parametrize("wait_for", [0, 1, 60_000])
def test_a_caller_that_vanishes_does_no_harm(server: Running, wait_for: int) -> None:
    """In the middle of an upload, of waiting, of an answer."""
    host = urlsplit(server.url).netloc.encode()
    body = json.dumps({"input": "one two three. " * 200, "response_format": "pcm"}).encode()
    speak = (
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (host, len(body), body)
    )
    upload = (
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: %s\r\nContent-Type: multipart/form-data;"
        b" boundary=x\r\nContent-Length: 100000\r\n\r\n--x\r\nContent-Disposition: form-data; "
        b'name="file"; filename="a.wav"\r\n\r\nRIFF' % host
    )
    for _ in range(6):
        vanish(server, speak, wait_for)
        vanish(server, speak[: len(speak) // 2], 0)
        vanish(server, upload, 0)
    assert server.service.model.transcribe(pcm(server, SENTENCES[0])).text == SENTENCES[0]
    assert server.client.get("/health").json()["status"] in ("ready", "busy")


def test_an_answer_that_breaks_off_does_not_look_complete() -> None:
    """Events end with one that says why; a file's connection is broken off."""
    with running(ServerOptions(port=0, limits=Limits(request_s=5))) as server:
        asked = {"input": "one two three. " * 1300, "response_format": "pcm"}
        answer = server.client.post("/v1/audio/speech", json={**asked, "stream_format": "sse"})
        last = json.loads(answer.text.splitlines()[-2][6:])
        assert (last["type"], last["error"]["code"]) == ("error", "timeout")
        with pytest.raises(httpx.RemoteProtocolError):
            server.client.post("/v1/audio/speech", json=asked)
