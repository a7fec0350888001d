from __future__ import annotations

import httpx


def test_the_server_tells_its_model_and_its_health(client: httpx.Client) -> None:
    models = client.get("/v1/models").json()
    assert models["object"] == "list"
    assert [model["id"] for model in models["data"]] == ["MiMo-Audio-Demo"]
    assert client.get("/v1/audio/models").json() == {"models": [{"id": "MiMo-Audio-Demo"}]}
    assert client.get("/health").json() == {"status": "ready"}


def test_what_is_not_there_is_told_as_openai_does(client: httpx.Client) -> None:
    answer = client.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "/v1/nothing" in answer.json()["error"]["message"]
