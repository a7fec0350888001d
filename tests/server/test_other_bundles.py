"""Speech and transcription with bundles other than the demo model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from convert.bundle import convert
from convert.checkpoints.source import open_source
from convert.recipes import get_recipe, without_speech
from mimo_edge.model import MimoAudio
from mimo_edge.server.options import ServerOptions
from mimo_edge.tasks import Overrides
from tests.tools.exact_demo import DEMO_CHECKPOINT, DEMO_TOKENIZER

from .running import Running, running

DEMO = Path(__file__).parent.parent / "data" / "demo"


def served(bundle: Path, options: ServerOptions) -> Iterator[Running]:
    with running(options, load=lambda: MimoAudio.load(bundle)) as server:
        yield server


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The demo model without its speaking half."""
    bundle = tmp_path_factory.mktemp("listening") / "bundle"
    recipe = without_speech(get_recipe("reference"))
    source = open_source(DEMO_CHECKPOINT, DEMO_TOKENIZER, speaks=False)
    convert(source, bundle, recipe, name="MiMo-Audio-Demo", threads=1)
    yield from served(bundle, ServerOptions(port=0))


@pytest.fixture(scope="module")
def unknown(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A checkpoint of random weights: nobody knows what it was trained for, so all is tried."""
    voices = tmp_path_factory.mktemp("voices")
    overrides = Overrides(max_new_tokens=40)
    yield from served(default_bundle, ServerOptions(port=0, voices=voices, overrides=overrides))


@pytest.mark.parametrize(
    "given",
    [{}, {"stream_format": "sse"}, {"input": "…"}, {"voice": "alloy", "response_format": "pcm"}],
)
def test_a_bundle_that_only_listens_does_not_speak(
    listening: Running, given: dict[str, Any]
) -> None:
    answer = listening.client.post("/v1/audio/speech", json={"input": "one", **given})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "cannot_speak"
    assert "this bundle only listens" in error["message"]


def test_a_bundle_that_only_listens_writes_down(listening: Running) -> None:
    file = ("sum.flac", (DEMO / "sum.flac").read_bytes())
    answer = listening.client.post("/v1/audio/transcriptions", files={"file": file})
    assert answer.json()["text"] == "what is seven plus five"


def test_a_bundle_that_only_listens_answers_in_text_only(listening: Running) -> None:
    body = {"messages": [{"role": "user", "content": "what is seven plus five"}], "temperature": 0}
    asked = listening.client.post("/v1/chat/completions", json=body).json()
    assert asked["choices"][0]["message"]["content"] == "seven plus five is twelve"
    for stream in (False, True):
        spoken = {**body, "modalities": ["text", "audio"], "stream": stream}
        refused = listening.client.post("/v1/chat/completions", json=spoken)
        assert refused.status_code == 400, refused.text
        assert refused.json()["error"]["code"] == "cannot_speak"


def given_to_the_model(server: Running, **given: Any) -> float:
    """How many positions the prompt had. Random weights may say nothing to it: no matter."""

    def count() -> float:
        told = server.client.get("/metrics").text
        found = re.search(r"^mimo_edge_prompt_positions_total (\S+)$", told, re.MULTILINE)
        assert found is not None
        return float(found[1])

    before = count()
    answer = server.client.post("/v1/audio/speech", json={"input": "Hello.", "seed": 1, **given})
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (500, "no_speech")
    return count() - before


def test_instructions_and_voice_reach_the_model(unknown: Running) -> None:
    uploaded = unknown.client.post(
        "/v1/audio/voices",
        data={"name": "Ada", "consent": "yes"},
        files={"audio_sample": ("ada.flac", (DEMO / "voice-slt.flac").read_bytes())},
    )
    assert uploaded.status_code == 200
    plain = given_to_the_model(unknown)
    assert plain > 5
    assert given_to_the_model(unknown, voice="alloy", instructions=" ") == plain
    assert given_to_the_model(unknown, instructions="Speak sadly.") > plain + 5
    # Patches of 160 ms.
    ada = given_to_the_model(unknown, voice="Ada")
    assert ada > plain + uploaded.json()["seconds"] / 0.16
    assert given_to_the_model(unknown, voice={"id": uploaded.json()["id"]}) == ada


def test_the_demo_model_does_not_pretend_to_have_a_voice(tmp_path: Path) -> None:
    with running(ServerOptions(port=0, voices=tmp_path)) as server:
        client: httpx.Client = server.client
        client.post(
            "/v1/audio/voices",
            data={"name": "Ada", "consent": "yes"},
            files={"audio_sample": ("ada.flac", (DEMO / "voice-slt.flac").read_bytes())},
        )
        refused = client.post("/v1/audio/speech", json={"input": "one", "voice": "Ada"})
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert (error["param"], error["code"]) == ("voice", "not_trained")
        spoken = client.post("/v1/audio/speech", json={"input": "one", "voice": "nobody"})
        assert spoken.status_code == 200
