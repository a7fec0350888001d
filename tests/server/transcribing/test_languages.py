"""The language that clients name reaches a model that knows it; others are not disturbed by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import openai
import pytest

from mimo_edge import MimoAudio
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import CHECKSUM_KEY, MANIFEST_FILE, checksum
from mimo_edge.installation import DEMO_MODEL
from mimo_edge.trained_tasks import hinted_language
from tests.server.realtime.talker import base64_of, question
from tests.server.wyoming.home_assistant import (
    OPTIONS,
    Wyoming,
    describe,
    recording,
    transcribe,
    wyoming,
)

CLIP = Path(__file__).parents[2] / "data" / "demo" / "sum.flac"
WORDS = "what is seven plus five"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wyoming]:
    """The demo model, asked as MiMo-V2.5-ASR. It was not trained with tags behind the empty thought
    and writes nothing where there is one: so one can tell."""
    folder = Path(shutil.copytree(DEMO_MODEL, tmp_path_factory.mktemp("asr") / "bundle"))
    manifest = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    del manifest[CHECKSUM_KEY]
    manifest["prompts"] = "mimo-v2.5-asr"
    text = json.dumps({**manifest, CHECKSUM_KEY: checksum(manifest)})
    (folder / MANIFEST_FILE).write_text(text, "utf-8")
    with wyoming(options=OPTIONS, load=lambda: MimoAudio.load(folder)) as home:
        yield home


def test_through_the_published_client(home: Wyoming) -> None:
    with openai.OpenAI(base_url=f"{home.http.url}/v1", api_key="none", max_retries=0) as client:

        def text(**language: str) -> str:
            with CLIP.open("rb") as file:
                create = client.audio.transcriptions.create
                return create(model="x", file=file, **language).text  # type: ignore[call-overload, no-any-return]

        assert text() == text(language="fr") == text(language="auto") == WORDS
        assert text(language="en") != WORDS and text(language="zh-CN") != WORDS
        with CLIP.open("rb") as file:
            verbose = client.audio.transcriptions.create(
                model="x", file=file, response_format="verbose_json"
            )
        assert verbose.language == "unknown"  # the demo model writes no tag by itself


def test_through_wyoming(home: Wyoming) -> None:
    def text(language: str) -> str:
        return str(home.run(lambda client: transcribe(client, recording("sum"), language)))

    assert text("fr") == WORDS
    assert text("en") != WORDS
    assert text("fr") == WORDS  # a language is of one recording


def test_through_the_realtime_api(home: Wyoming) -> None:
    def text(language: str | None) -> str:
        session = {
            "type": "realtime",
            "output_modalities": ["text"],
            "audio": {
                "input": {
                    "turn_detection": None,
                    "transcription": {"model": "x", "language": language},
                }
            },
        }
        with (
            openai.OpenAI(base_url=f"{home.http.url}/v1", api_key="none") as client,
            client.realtime.connect(model="x") as connection,
        ):
            connection.session.update(session=session)  # type: ignore[arg-type]
            connection.input_audio_buffer.append(audio=base64_of(question("sum")))
            connection.input_audio_buffer.commit()
            for event in connection:
                assert event.type != "error", event
                if event.type == "conversation.item.input_audio_transcription.completed":
                    return event.transcript
        raise AssertionError("the connection ended")

    assert text(None) == text("fr") == WORDS
    assert text("en") != WORDS


def test_it_offers_no_answers(home: Wyoming) -> None:
    info = home.run(describe)
    assert info.asr and not info.handle


def test_codes_and_names() -> None:
    demo = load_manifest(DEMO_MODEL)
    for code in ("zh", "zh-CN", "ZH_tw", "yue", "Chinese", "en", None, "fr", ""):
        assert hinted_language(code, demo) == ("en" if code == "en" else "auto")
    asr = replace(demo, prompts="mimo-v2.5-asr")
    for code, language in (
        ("zh", "zh"), ("zh-CN", "zh"), ("yue_HK", "zh"), (" Mandarin ", "zh"),
        ("en", "en"), ("en-US", "en"), ("English", "en"), ("eng", "en"),
        ("de", "auto"), ("auto", "auto"), ("", "auto"), (None, "auto"), ("enx", "auto"),
    ):  # fmt: skip
        assert hinted_language(code, asr) == language
