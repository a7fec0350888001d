"""What is offered depends on what the bundle can do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wyoming.client import AsyncTcpClient
from wyoming.tts import Synthesize, SynthesizeVoice

from mimo_edge.bundle.manifest import (
    CHECKSUM_KEY,
    MANIFEST_FILE,
    PART_FILES,
    SPEAKING_PARTS,
    checksum,
)
from mimo_edge.model import MimoAudio
from tests.tools.exact_demo import exact_demo

from .home_assistant import (
    OPTIONS,
    QUESTIONS,
    converse,
    describe,
    events_until,
    recording,
    speak,
    transcribe,
    wyoming,
)

Change = Callable[[Callable[[dict[str, Any]], None]], Path]


@pytest.fixture
def changed(tmp_path: Path) -> Change:
    """Makes a copy of the demo model with another manifest."""

    def copy(change: Callable[[dict[str, Any]], None]) -> Path:
        folder = Path(shutil.copytree(exact_demo(), tmp_path / "bundle"))
        manifest = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
        del manifest[CHECKSUM_KEY]
        change(manifest)
        text = json.dumps({**manifest, CHECKSUM_KEY: checksum(manifest)})
        (folder / MANIFEST_FILE).write_text(text, "utf-8")
        return folder

    return copy


async def refused(client: AsyncTcpClient, text: str, voice: str | None = None) -> str:
    """The code of the error that comes instead of a sound."""
    wanted = SynthesizeVoice(name=voice) if voice else None
    await client.write_event(Synthesize(text=text, voice=wanted).event())
    (error,) = await events_until(client, "error")
    return str(error.data["code"])


def test_a_voice_of_the_library_is_offered_and_used(changed: Change, tmp_path: Path) -> None:
    folder = changed(lambda manifest: manifest.update(name="Somebody's checkpoint"))
    options = replace(OPTIONS, voices=tmp_path / "voices")
    with wyoming(options=options, load=lambda: MimoAudio.load(folder)) as home:
        service = home.http.service
        service.voices.add(service.model, QUESTIONS / "voice-slt.flac", name="Mara", consent="yes")
        (tts,) = home.run(describe).tts
        # Home Assistant asks only for voices that are installed, in a language that it may use.
        assert [(voice.name, voice.languages, voice.installed) for voice in tts.voices] == [
            ("default", ["en", "zh"], True),
            ("Mara", ["en", "zh"], True),
        ]
        assert home.run(lambda client: speak(client, "The sky is blue."))
        # This checkpoint was in truth not trained for voices: with one in the prompt it answers
        # in writing. So the voice did reach it.
        told = home.run(lambda client: refused(client, "The sky is blue.", voice="Mara"))
        assert told == "no_speech"


def test_a_bundle_that_only_listens_offers_no_speech(changed: Change) -> None:
    gone = {name for part in SPEAKING_PARTS for name in PART_FILES[part]}

    def listen_only(manifest: dict[str, Any]) -> None:
        for part in SPEAKING_PARTS:
            del manifest["precisions"][part]
        manifest["files"] = [file for file in manifest["files"] if file["name"] not in gone]

    folder = changed(listen_only)
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    with wyoming(load=lambda: MimoAudio.load(folder)) as home:
        info = home.run(describe)
        assert not info.tts
        assert info.asr
        assert info.handle
        question = home.run(lambda client: transcribe(client, recording("sum")))
        answer = home.run(lambda client: converse(client, question, "one"))
        assert answer.text == "seven plus five is twelve"
        assert home.run(lambda client: refused(client, "The sky is blue.")) == "cannot_speak"
