"""What cannot be answered is refused by its name, what does not matter is not."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from mimo_edge.server.options import Limits, ServerOptions

from ..running import running

DEMO = Path(__file__).parents[2] / "data" / "demo"
SUM = base64.b64encode((DEMO / "sum.flac").read_bytes()).decode()
SOUND = {"type": "input_audio", "input_audio": {"data": SUM, "format": "wav"}}
PLAIN = [{"role": "user", "content": "what is seven plus five"}]


def post(client: httpx.Client, **given: Any) -> httpx.Response:
    return client.post("/v1/chat/completions", json={"messages": PLAIN, "temperature": 0, **given})


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"50": 1}}, "logit_bias"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"tool_choice": "required", "tools": []}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"stop": "x", "modalities": ["text", "audio"]}, "stop"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"modalities": ["video"]}, "modalities.0"),
        ({"audio": {"format": "aac"}}, "audio.format"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "system", "content": "a"}]}, "messages.0.role"),
        ({"messages": [*PLAIN, {"role": "assistant", "content": "a"}]}, "messages.1.role"),
        ({"messages": [*PLAIN, {"role": "assistant", "content": None}]}, "messages.1.content"),
        ({"messages": [{"role": "tool", "content": "a", "tool_call_id": "x"}]}, "messages.0.role"),
        (
            {"messages": [*PLAIN, {"role": "assistant", "tool_calls": [{"id": "x"}]}]},
            "messages.1.tool_calls",
        ),
        ({"messages": user("")}, "messages.0.content"),
        ({"messages": ["hello"]}, "messages.0"),
        ({"messages": user(5)}, "messages.0.content"),
        ({"messages": user(["hello"])}, "messages.0.content.0"),
        ({"messages": user([{"text": "hello"}])}, "messages.0.content.0.type"),
        ({"messages": user([{"type": "text"}])}, "messages.0.content.0.text"),
        ({"messages": user([{"type": "text", "text": 5}])}, "messages.0.content.0.text"),
        ({"messages": user([{"type": "speech"}])}, "messages.0.content.0"),
        ({"messages": user([{"type": "input_audio"}])}, "messages.0.content.0.input_audio"),
        (
            {"messages": user([{"type": "input_audio", "input_audio": {}}])},
            "messages.0.content.0.input_audio.data",
        ),
        ({"stop": 5}, "stop"),
        ({"audio": {"voice": 5}}, "audio.voice"),
        ({"audio": 5}, "audio"),
        ({"messages": user([])}, "messages.0.content"),
        ({"messages": user(None)}, "messages.0.content"),
        ({"messages": user([{"type": "text", "text": " "}])}, "messages.0.content"),
        (
            {"messages": user([{"type": "image_url", "image_url": {"url": "http://x"}}])},
            "messages.0.content.0",
        ),
        ({"messages": user([SOUND, {"type": "file", "file": {}}])}, "messages.0.content.1"),
        ({"messages": user([SOUND, SOUND])}, "messages.0.content.1"),
        (
            {"messages": [{"role": "system", "content": [SOUND]}, *PLAIN]},
            "messages.0.content.0",
        ),
    ],
)
def test_what_would_mislead_is_refused_by_its_name(
    client: httpx.Client, given: dict[str, Any], param: str
) -> None:
    answer = post(client, **given)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error" and error["param"] == param
    assert error["message"].startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("%%%", 400),
        ("", 400),
        (base64.b64encode(b"not a sound file at all").decode(), 415),
        ("/etc/passwd", 400),
        ("data:audio/wav;base64,AAAA", 415),
        ("data:audio/wav,AAAA", 400),
    ],
)
def test_a_recording_that_is_none_is_named(client: httpx.Client, data: str, status: int) -> None:
    part = {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    answer = post(client, messages=user([{"type": "text", "text": "what is this"}, part]))
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == "messages.0.content.1.input_audio"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.wav", "file:///etc/passwd", "", "/a.wav"])
def test_no_url_is_opened(client: httpx.Client, url: str) -> None:
    answer = post(client, messages=user([{"type": "audio_url", "audio_url": {"url": url}}]))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == "messages.0.content.0.audio_url.url"


def test_what_does_not_matter_is_accepted_but_by_a_strict_server(client: httpx.Client) -> None:
    harmless = {
        "model": "gpt-4o-audio-preview",
        "n": 1,
        "logprobs": False,
        "top_logprobs": None,
        "response_format": {"type": "text"},
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "logit_bias": {},
        "user": "me",
        "store": False,
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "stream": None,
        "stop": None,
        "verbosity": "low",
    }
    answer = post(client, **harmless)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "seven plus five is twelve"
    with running(ServerOptions(port=0, strict=True)) as server:
        assert post(server.client, n=1, tool_choice="auto").status_code == 200
        for name in ("tools", "user", "presence_penalty"):
            refused = post(server.client, **{name: harmless[name]})
            assert refused.status_code == 400 and refused.json()["error"]["param"] == name


def test_what_is_too_long_is_refused(client: httpx.Client) -> None:
    answer = post(client, messages=user("word " * 30_000))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    answer = post(client, messages=user("word " * 60_000))
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "text_too_long"
    spoken = {"role": "assistant", "audio": {"id": "gone", "transcript": "word " * 60_000}}
    answer = post(client, messages=[*PLAIN, spoken, *PLAIN])
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "text_too_long"
    with running(ServerOptions(port=0, limits=Limits(upload_seconds=1))) as server:
        answer = post(server.client, messages=user([SOUND]))
        assert answer.status_code == 413, answer.text
        assert answer.json()["error"]["code"] == "audio_too_long"


def test_an_error_before_the_first_word_has_a_status_of_its_own(client: httpx.Client) -> None:
    for modalities in (["text"], ["text", "audio"]):
        answer = post(client, messages=user([]), stream=True, modalities=modalities)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/json"
