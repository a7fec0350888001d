"""Recordings to text over HTTP: the words, their times, every format, every refusal."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import soundfile

from mimo_edge.server.options import Limits, ServerOptions

from ..running import Running, running

DATA = Path(__file__).parents[2] / "data"
RATE = 24_000
PATH = "/v1/audio/transcriptions"
FIRST, SECOND = "what is seven plus five", "what is your name"


@pytest.fixture
def sdk(server: Running) -> Iterator[openai.OpenAI]:
    """The published client."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def question(name: str = "sum") -> np.ndarray:
    samples: np.ndarray = soundfile.read(DATA / "demo" / f"{name}.flac", dtype="float32")[0]
    return samples


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def encoded(samples: np.ndarray, form: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=form, subtype=subtype)
    return file.getvalue()


TWO = encoded(np.concatenate([silence(2), question(), silence(7), question("name"), silence(4)]))
SECOND_AT = 2 + len(question()) / RATE + 7
"""When the second question of `TWO` begins."""


def post(client: httpx.Client, content: bytes = TWO, **fields: Any) -> httpx.Response:
    return client.post(PATH, files={"file": ("recording.wav", content)}, data=fields)


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert error["message"].endswith(".")
    return answer.status_code, error["param"], error["code"]


def test_every_format_through_the_published_client(sdk: openai.OpenAI) -> None:
    def create(form: Any) -> Any:
        return sdk.audio.transcriptions.create(
            model="whisper-1", file=("two.wav", TWO), response_format=form
        )

    assert create("json").text == f"{FIRST} {SECOND}"
    assert create("text") == f"{FIRST} {SECOND}\n"
    verbose = create("verbose_json")
    assert verbose.text == f"{FIRST} {SECOND}"
    assert [one.text.strip() for one in verbose.segments] == [FIRST, SECOND]
    times = re.findall(r"(\S+) --> (\S+)\n(.+)\n\n", create("srt"))
    assert [text for _, _, text in times] == [FIRST, SECOND]
    assert times[0][0].startswith("00:00:0") and times[0][0][8] == ","
    assert create("vtt").replace(".", ",") == "WEBVTT\n\n" + re.sub(
        r"^\d\n", "", create("srt"), flags=re.MULTILINE
    )


def test_times_are_those_of_the_recording(client: httpx.Client) -> None:
    """Though its long pauses are left out before the model hears it."""
    said = post(client, response_format="verbose_json").json()
    assert said["duration"] == pytest.approx(
        len(soundfile.read(io.BytesIO(TWO))[0]) / RATE, abs=1e-3
    )
    first, second = said["segments"]
    assert first["start"] == pytest.approx(2, abs=0.5)
    assert first["end"] == pytest.approx(2 + len(question()) / RATE, abs=0.6)
    assert second["start"] == pytest.approx(SECOND_AT, abs=0.5)
    assert second["end"] == pytest.approx(SECOND_AT + len(question("name")) / RATE, abs=0.6)


def test_all_fields_of_a_segment_are_numbers(client: httpx.Client) -> None:
    """Some clients (the AI SDK) check the schema and throw away the text if one is not."""
    for segment in post(client, response_format="verbose_json").json()["segments"]:
        assert set(segment) == {
            "id", "seek", "start", "end", "text", "tokens", "temperature",
            "avg_logprob", "compression_ratio", "no_speech_prob",
        }  # fmt: skip
        assert -1 < segment["avg_logprob"] <= 0
        assert 0 <= segment["no_speech_prob"] < 0.2
        assert segment["temperature"] == 0
        assert len(segment["tokens"]) == len(segment["text"].split())
    warm = post(client, response_format="verbose_json", temperature=0.3, seed=1).json()
    assert {segment["temperature"] for segment in warm["segments"]} == {0.3}


def test_streamed_through_the_published_client(sdk: openai.OpenAI) -> None:
    events = sdk.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=("two.wav", TWO), stream=True
    )
    *deltas, done = events
    pieces = [delta.delta for delta in deltas if delta.type == "transcript.text.delta"]
    assert len(pieces) == len(deltas) > 4
    assert done.type == "transcript.text.done"
    assert "".join(pieces) == done.text
    assert done.text == f"{FIRST} {SECOND}"
    assert done.usage is not None and done.usage.output_tokens == 9


def test_usage_is_counted(client: httpx.Client) -> None:
    usage = post(client).json()["usage"]
    details = usage["input_token_details"]
    heard_s = (len(question()) + len(question("name"))) / RATE
    assert heard_s < 0.16 * details["audio_tokens"] < heard_s + 2
    assert usage["input_tokens"] == details["audio_tokens"] + details["text_tokens"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["output_tokens"] == 9


def test_a_long_recording_in_parts(client: httpx.Client) -> None:
    recording = encoded(np.concatenate([question(), silence(5)] * 12), "FLAC")
    said = post(client, recording, response_format="verbose_json").json()
    assert said["text"] == " ".join([FIRST] * 12)
    starts = [segment["start"] for segment in said["segments"]]
    each = len(question()) / RATE + 5
    assert starts == pytest.approx([each * number for number in range(12)], abs=0.5)


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("FLAC", None),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", None),
        ("AIFF", None),
        ("AU", None),
        ("CAF", "ALAC_16"),
        ("W64", None),
        ("RF64", None),
    ],
)
def test_formats_of_recordings(client: httpx.Client, form: str, subtype: str | None) -> None:
    """Whatever the file is called."""
    assert post(client, encoded(question(), form, subtype)).json()["text"] == FIRST


@pytest.mark.parametrize("name", ["question.m4a", "question.webm"])
def test_what_browsers_record(
    client: httpx.Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (DATA / "sound" / name).read_bytes()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "av", None)
        answer = post(client, content)
        assert refusal(answer) == (415, "file", "missing_package")
        assert "pip install 'mimo-edge[media]'" in answer.json()["error"]["message"]
    pytest.importorskip("av")
    assert post(client, content).json()["text"] == FIRST


@pytest.mark.parametrize("form", ["json", "text", "srt", "vtt", "verbose_json"])
def test_silence_has_no_words(client: httpx.Client, form: str) -> None:
    answer = post(client, encoded(silence(3)), response_format=form)
    assert answer.status_code == 200
    if form == "verbose_json":
        said = answer.json()
        assert (said["text"], said["segments"], said["duration"]) == ("", [], 3)
    elif form == "json":
        assert answer.json()["text"] == ""
    else:
        assert answer.text == {"text": "\n", "srt": "", "vtt": "WEBVTT\n\n"}[form]


def test_silence_streamed(client: httpx.Client) -> None:
    (line,) = post(client, encoded(silence(3)), stream="true").text.split("\n\n")[:-1]
    done = json.loads(line.removeprefix("data: "))
    assert (done["type"], done["text"]) == ("transcript.text.done", "")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, None),
        (b"this is no sound", 415, "unsupported_format"),
        (b"\x00" * 100_000, 415, "unsupported_format"),
        (encoded(silence(0.001)), 400, None),
        (encoded(np.full(RATE, np.nan, dtype=np.float32), "WAV", "FLOAT"), 400, None),
    ],
    ids=["empty", "text", "zeros", "1 ms", "NaN"],
)
def test_what_is_no_recording(
    client: httpx.Client, content: bytes, status: int, code: str | None
) -> None:
    assert refusal(post(client, content)) == (status, "file", code)
    assert refusal(post(client, content, stream="true")) == (status, "file", code)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"response_format": "diarized_json"}, "response_format", "unsupported_parameter"),
        ({"response_format": "xml"}, "response_format", "invalid_value"),
        (
            {"timestamp_granularities[]": ["segment", "word"]},
            "timestamp_granularities",
            "unsupported_parameter",
        ),
        ({"timestamp_granularities": "word"}, "timestamp_granularities", "unsupported_parameter"),
        ({"include[]": "logprobs"}, "include", "unsupported_parameter"),
        ({"known_speaker_names[]": "Ann"}, "known_speaker_names", "unsupported_parameter"),
        ({"stream": "true", "response_format": "srt"}, "stream", "unsupported_parameter"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"temperature": "nan"}, "temperature", "invalid_value"),
        ({"stream": "maybe"}, "stream", "invalid_value"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_name(
    client: httpx.Client, fields: dict[str, Any], param: str, code: str
) -> None:
    assert refusal(post(client, **fields)) == (400, param, code)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "whisper-1", "language": "en"},  # Open WebUI
        {"prompt": "Umm, let me think", "temperature": "0", "stream": "false"},
        {"language": "", "prompt": "", "response_format": ""},
        {"chunking_strategy": "auto", "timestamp_granularities[]": "segment"},
        {"chunking_strategy[type]": "server_vad", "user": "me"},
        {"language": "zh"},
        {"language": "klingon"},
    ],
)
def test_what_clients_send_without_need_is_taken(
    client: httpx.Client, fields: dict[str, Any]
) -> None:
    assert post(client, encoded(question()), **fields).json()["text"] == FIRST


def test_the_file_has_to_be_there(client: httpx.Client) -> None:
    answer = client.post(PATH, data={"model": "x"}, files={"other": ("a.wav", TWO)})
    assert answer.status_code == 400
    answer = client.post(PATH, files={"model": (None, "x")})
    assert refusal(answer) == (400, "file", "missing_parameter")
    assert client.post(PATH, json={"file": "x"}).status_code == 415


def test_language_is_told_as_it_was_given(client: httpx.Client) -> None:
    said = post(client, response_format="verbose_json", language="en").json()
    assert said["language"] == "en"


def test_there_are_no_translations(client: httpx.Client) -> None:
    """The model writes down what is said, in the language in which it is said."""
    answer = client.post("/v1/audio/translations", files={"file": ("a.wav", TWO)})
    assert answer.status_code == 404


def test_limits_and_a_strict_server() -> None:
    limits = Limits(upload_seconds=3, upload_bytes=300_000, running=1)
    with running(ServerOptions(port=0, strict=True, limits=limits)) as server:
        client, short = server.client, encoded(question())
        assert post(client, short, model="x", language="en").json()["text"] == FIRST
        assert refusal(post(client, short, prompt="x"))[1:] == ("prompt", "unknown_parameter")
        long = encoded(np.tile(question(), 2), "FLAC")
        assert refusal(post(client, long))[:2] == (413, "file")
        assert post(client, encoded(silence(60))).status_code == 413


def test_a_caller_that_leaves_ends_the_work() -> None:
    recording = encoded(np.concatenate([question(), silence(0.5)] * 400), "FLAC")
    with running(ServerOptions(port=0, limits=Limits(running=1))) as server:
        with server.client.stream(
            "POST", PATH, files={"file": ("long.flac", recording)}, data={"stream": "true"}
        ) as answer:
            next(answer.iter_raw())
        again = server.client.post(PATH, files={"file": ("a.wav", TWO)})
        assert again.json()["text"] == f"{FIRST} {SECOND}"
        told = server.client.get("/metrics").text
        assert 'mimo_edge_requests_total{kind="transcriptions",outcome="left"} 1.0' in told
