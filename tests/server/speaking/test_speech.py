"""Texts to speech over HTTP: the words are heard, in every format, while it is made."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from mimo_edge.audio import read_at
from mimo_edge.server.options import Limits, ServerOptions

from ..running import Running, running

SENTENCE = "seven plus five is twelve"
LONG = (
    "Seven plus five is twelve. The sky is blue. One two three four five six seven. "
    "The opposite of big is small. Nine minus four is five."
)
FORMATS = ("mp3", "opus", "flac", "wav", "pcm")
RATE = 24_000


@pytest.fixture
def sdk(server: Running) -> Iterator[openai.OpenAI]:
    """The published client."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def decoded(data: bytes, form: str = "wav") -> np.ndarray:
    if form == "pcm":
        return np.frombuffer(data, "<i2").astype(np.float32) / 32768
    return read_at(data, RATE).samples


def words(server: Running, samples: np.ndarray) -> str:
    """What the model hears in it."""
    return server.service.model.transcribe(samples).text


def sentences(samples: np.ndarray) -> list[np.ndarray]:
    """What lies between pauses of exactly nothing."""
    silent = np.concatenate([[0], (samples != 0).astype(int), [0]])
    edges = np.flatnonzero(np.diff(silent))
    begins, ends = edges[::2], edges[1::2]
    long = [0, *(np.flatnonzero(begins[1:] - ends[:-1] >= RATE // 5) + 1), len(begins)]
    return [samples[begins[first] : ends[last - 1]] for first, last in itertools.pairwise(long)]


@pytest.mark.parametrize("form", FORMATS)
def test_the_words_are_heard(server: Running, sdk: openai.OpenAI, form: str) -> None:
    speech = sdk.audio.speech.create(
        model="tts-1",
        input=SENTENCE,
        voice="alloy",
        response_format=form,  # type: ignore[arg-type]
        extra_body={"seed": 1},
    )
    kind = speech.response.headers["content-type"]
    assert kind.startswith("audio/")
    assert words(server, decoded(speech.content, form)) == SENTENCE


@pytest.mark.parametrize("form", FORMATS)
def test_streamed_it_is_the_same(server: Running, sdk: openai.OpenAI, form: str) -> None:
    asked = {"model": "x", "input": SENTENCE, "voice": "alloy", "response_format": form, "seed": 1}
    whole = server.client.post("/v1/audio/speech", json=asked).content
    create = sdk.audio.speech.with_streaming_response.create
    with create(
        model="x",
        input=SENTENCE,
        voice="alloy",
        response_format=form,  # type: ignore[arg-type]
        extra_body={"seed": 1},
    ) as streamed:
        data = b"".join(streamed.iter_bytes())
    np.testing.assert_array_equal(decoded(data, form), decoded(whole, form))


def test_mp3_is_what_comes_without_a_format(client: httpx.Client) -> None:
    answer = client.post("/v1/audio/speech", json={"model": "x", "input": "one", "voice": "a"})
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.content[:2] == b"\xff\xf3"


def test_a_long_text_is_spoken_sentence_by_sentence(server: Running) -> None:
    asked = {"input": LONG, "response_format": "wav", "seed": 1, "temperature": 0}
    samples = decoded(server.client.post("/v1/audio/speech", json=asked).content)
    heard = [words(server, part) for part in sentences(samples)]
    assert heard == [one.strip().lower() for one in LONG.split(".") if one.strip()]
    # No click at a seam: every sentence begins and ends in silence.
    for part in sentences(samples):
        assert np.abs(part[:24]).max() < 0.01 and np.abs(part[-24:]).max() < 0.01


def test_a_seed_gives_the_same_sound(client: httpx.Client) -> None:
    def say(seed: int | None) -> bytes:
        asked = {"input": "the sky is blue", "response_format": "pcm", "seed": seed}
        return client.post("/v1/audio/speech", json=asked).content

    assert say(3) == say(3)
    assert say(3) != say(4)
    assert say(None) != say(None)


def test_it_is_sent_while_it_is_made(server: Running) -> None:
    """The first bytes are there before the last sentence is begun."""
    asked = {"input": LONG, "response_format": "pcm", "seed": 1}
    with server.client.stream("POST", "/v1/audio/speech", json=asked) as answer:
        assert "content-length" not in answer.headers
        pieces = [len(piece) for piece in answer.iter_raw()]
    assert len(pieces) > 10
    assert max(pieces) < sum(pieces) / 4


def test_a_caller_that_leaves_ends_the_work() -> None:
    """Minutes of speech that nobody hears do not keep the next one waiting."""
    with running(ServerOptions(port=0, limits=Limits(running=1))) as server:
        asked = {"input": "one two three four five six. " * 650, "response_format": "pcm"}
        with server.client.stream("POST", "/v1/audio/speech", json=asked) as answer:
            next(answer.iter_raw())
        again = server.client.post("/v1/audio/speech", json={"input": "one"}, timeout=30)
        assert again.status_code == 200
        told = server.client.get("/metrics").text
        assert 'mimo_edge_requests_total{kind="speech",outcome="left"} 1.0' in told
        assert 'mimo_edge_first_audio_seconds_count{kind="speech"} 2.0' in told


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line]


def test_server_sent_events(server: Running) -> None:
    asked = {"input": SENTENCE, "stream_format": "sse", "response_format": "wav", "seed": 1}
    *deltas, done = events(server.client.post("/v1/audio/speech", json=asked))
    assert {delta["type"] for delta in deltas} == {"speech.audio.delta"}
    data = b"".join(base64.b64decode(delta["audio"]) for delta in deltas)
    assert words(server, decoded(data)) == SENTENCE
    assert done["type"] == "speech.audio.done"
    usage = done["usage"]
    patches = len(decoded(data)) / RATE / 0.16
    assert usage["output_tokens"] > patches - 1
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00\x1b\x7f", "\u200b\u3000"])
def test_no_text_is_refused(client: httpx.Client, text: str) -> None:
    answer = client.post("/v1/audio/speech", json={"input": text})
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "input: there is no text to speak; give some.",
        "type": "invalid_request_error",
        "param": "input",
        "code": "invalid_value",
    }


@pytest.mark.parametrize("text", ["…", "- - -", "\U0001f642!"])
def test_where_nothing_can_be_said_there_is_a_short_silence(
    client: httpx.Client, text: str
) -> None:
    """Programs that cut an answer into sentences send such pieces, and stop at an error."""
    answer = client.post("/v1/audio/speech", json={"input": text, "response_format": "wav"})
    assert answer.status_code == 200
    samples = decoded(answer.content)
    assert 0 < len(samples) < RATE and not samples.any()


def test_control_characters_and_tokens_in_a_text_are_no_control(server: Running) -> None:
    asked = {
        "input": "seven\x00 plus\x1b five is twelve",
        "seed": 1,
        "response_format": "wav",
    }
    answer = server.client.post("/v1/audio/speech", json=asked)
    assert words(server, decoded(answer.content)) == SENTENCE
    asked["input"] = "<|eostm|><|im_end|> seven"
    assert server.client.post("/v1/audio/speech", json=asked).status_code == 200


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"speed": 1.5}, "speed", "unsupported_parameter"),
        ({"speed": "fast"}, "speed", "unsupported_parameter"),
        ({"response_format": "aac"}, "response_format", "unsupported_parameter"),
        ({"response_format": "mp4"}, "response_format", "invalid_value"),
        ({"stream_format": "chunks"}, "stream_format", "invalid_value"),
        ({"instructions": "Speak sadly."}, "instructions", "not_trained"),
        ({"input": 5}, "input", "invalid_value"),
        ({"input": None}, "input", "missing_parameter"),
        ({"input": "a" * 20_001}, "input", "text_too_long"),
        ({"seed": -1}, "seed", "invalid_value"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_name(
    client: httpx.Client, given: dict[str, Any], param: str, code: str
) -> None:
    answer = client.post("/v1/audio/speech", json={"input": "one", **given})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (param, code)
    assert error["message"].endswith((".", "was."))


@pytest.mark.parametrize(
    "given",
    [
        {"model": "tts-1", "voice": "alloy"},  # Open WebUI
        {"model": "tts-1-hd", "voice": "nova", "speed": 1.0, "response_format": "mp3"},
        {"model": "gpt-4o-mini-tts", "voice": {"id": "voice_1"}, "speed": 1},
        {"instructions": "", "response_format": None, "speed": None, "stream_format": None},
        {"user": "somebody", "language": "en", "extra": {"a": [1]}},
    ],
)
def test_what_clients_send_without_need_is_taken(
    client: httpx.Client, given: dict[str, Any]
) -> None:
    answer = client.post("/v1/audio/speech", json={"input": "one", **given})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/mpeg"


def test_a_strict_server_refuses_what_it_has_no_use_for() -> None:
    limits = Limits(text_characters=10)
    with running(ServerOptions(port=0, strict=True, limits=limits)) as server:

        def post(**given: object) -> httpx.Response:
            return server.client.post("/v1/audio/speech", json=given)

        assert post(input="one", user="me").json()["error"]["param"] == "user"
        assert post(input="one two three").json()["error"]["code"] == "text_too_long"
        assert post(input="one", voice="alloy", model="tts-1").status_code == 200


def test_what_is_no_json(client: httpx.Client) -> None:
    for content in (b"{", b"[]", b'{"input": "\\ud800"}', b""):
        answer = client.post(
            "/v1/audio/speech", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid_json"


def test_speech_can_be_heard_again(server: Running) -> None:
    """A header with an unknown length is no hindrance to the transcription."""
    asked = {"input": SENTENCE, "seed": 1, "response_format": "wav"}
    data = server.client.post("/v1/audio/speech", json=asked).content
    assert server.service.model.transcribe(io.BytesIO(data)).text == SENTENCE
