"""Requests of so many values that reading them would stop everybody else for seconds."""

from __future__ import annotations

import httpx
import pytest

from mimo_edge.server.realtime.client_events import read_json
from mimo_edge.server.requests.api_errors import ApiError


@pytest.mark.parametrize("value", ["[]", "0", "{}"])
def test_json_of_a_great_many_values_is_refused_before_it_is_read(
    client: httpx.Client, value: str
) -> None:
    text = '{"messages": [' + f"{value}," * 400_000 + "0]}"
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/chat/completions", content=text, headers=headers)
    assert answer.status_code == 413
    assert "values" in answer.json()["error"]["message"]
    with pytest.raises(ApiError, match="values"):
        read_json(text)


def test_megabytes_of_sound_and_a_long_history_are_no_great_many_values(
    client: httpx.Client,
) -> None:
    audio = "A" * 15_000_000
    assert read_json('{"audio": "' + audio + '"}') == {"audio": audio}
    message = {"role": "user", "content": "well, " * 3000}
    answer = client.post("/v1/chat/completions", json={"messages": [message] * 30})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "text_too_long"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"modalities": [0] * 200_000}, "modalities.0"),
        (
            {"messages": [{"role": "user", "content": [{}] * 60}] * 1900},
            "messages.0.content.0.type",
        ),
    ],
)
def test_of_a_great_many_mistakes_the_first_is_told(
    client: httpx.Client, given: dict[str, object], param: str
) -> None:
    message = {"role": "user", "content": "Hello."}
    answer = client.post("/v1/chat/completions", json={"messages": [message], **given})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
