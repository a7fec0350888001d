from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from mimo_edge.server.options import ServerOptions

from ..running import Running, running

DEMO = Path(__file__).parents[2] / "data" / "demo"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("voices")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    """A server with a voice library of its own."""
    with running(ServerOptions(port=0, voices=folder)) as server:
        yield server


def upload(
    client: httpx.Client, name: str = "x", sound: bytes | None = None, **fields: str
) -> httpx.Response:
    content = sound if sound is not None else (DEMO / "voice-slt.flac").read_bytes()
    return client.post(
        "/v1/audio/voices",
        data={"name": name, "consent": "yes", **fields},
        files={"audio_sample": ("me.flac", content)},
    )


def test_a_voice_comes_and_goes_through_the_published_client(
    server: Running, client: httpx.Client, folder: Path
) -> None:
    openai = OpenAI(base_url=f"{server.url}/v1", api_key="none")
    with (DEMO / "voice-slt.flac").open("rb") as sound:
        voice = openai.audio.voices.create(audio_sample=sound, name="Zoë", consent="cons_1234")
    assert voice.object == "audio.voice" and voice.name == "Zoë" and voice.type == "audio_sample"
    listed = client.get("/v1/audio/voices").json()["voices"]
    assert [(item["id"], item["name"]) for item in listed] == [
        ("default", "Default"),
        (voice.id, "Zoë"),
    ]
    assert client.get(f"/v1/audio/voices/{voice.id}").json() == listed[1]
    again = upload(client, "Zoë")
    assert again.status_code == 409 and "Zoë" in again.json()["error"]["message"]
    assert client.delete(f"/v1/audio/voices/{voice.id}").json() == {
        "object": "audio.voice.deleted",
        "id": voice.id,
        "deleted": True,
    }
    assert client.delete(f"/v1/audio/voices/{voice.id}").status_code == 404
    assert client.get(f"/v1/audio/voices/{voice.id}").status_code == 404
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "status", "param"),
    [
        ({"name": " "}, 400, "name"),
        ({"consent": ""}, 400, "consent"),
        ({"prompt": "a warm voice"}, 400, "prompt"),
        ({"type": "prompt"}, 400, "type"),
        ({"sound": b"not a sound"}, 415, "audio_sample"),
        ({"sound": b""}, 400, "audio_sample"),
    ],
)
def test_what_is_wrong_with_an_upload_is_said_by_its_name(
    client: httpx.Client, wrong: dict[str, str], status: int, param: str
) -> None:
    answer = upload(client, **wrong)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == param
    assert len(client.get("/v1/audio/voices").json()["voices"]) == 1


def test_an_upload_without_its_parts_is_refused(client: httpx.Client) -> None:
    sound = {"audio_sample": ("me.flac", (DEMO / "voice-slt.flac").read_bytes())}
    for data, files, param in (
        ({"name": "x", "consent": "yes"}, {"other": ("x", b"")}, "other"),
        ({"name": "x", "consent": "yes", "audio_sample": "/etc/passwd"}, None, None),
        ({"name": "x"}, sound, "consent"),
        ({"consent": "yes"}, sound, "name"),
    ):
        answer = client.post("/v1/audio/voices", data=data, files=files)
        assert answer.status_code in (400, 415), answer.text
        assert answer.json()["error"]["param"] == param
    assert client.post("/v1/audio/voices", json={"name": "x"}).status_code == 415


@pytest.mark.parametrize(
    "identifier", ["..%2F..%2Fetc%2Fpasswd", "%00", "voice_x", "%ff", "default"]
)
def test_no_identifier_is_a_path(client: httpx.Client, identifier: str) -> None:
    for method in ("GET", "DELETE"):
        answer = client.request(method, f"/v1/audio/voices/{identifier}")
        assert answer.status_code == 404, answer.text
        assert "error" in json.loads(answer.text)


def test_the_list_needs_no_key_and_the_rest_does(tmp_path: Path) -> None:
    with running(ServerOptions(port=0, voices=tmp_path, api_key="k" * 20)) as server:
        with httpx.Client(base_url=server.url) as nobody:
            assert nobody.get("/v1/audio/voices").status_code == 200
            assert upload(nobody).status_code == 401
            assert nobody.delete("/v1/audio/voices/voice_x").status_code == 401
            assert nobody.get("/v1/audio/voices/voice_x").status_code == 401
        assert upload(server.client).status_code == 200
