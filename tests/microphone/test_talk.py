"""Conversations through a virtual microphone and speaker with a server's model."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mimo_edge.server.options import ServerOptions
from mimo_edge.tasks import Overrides
from tests.remote.relay import relay
from tests.server.running import Running, running
from tests.tools.exact_demo import load_exact_demo
from tests.tools.sound_server import SoundServer
from tests.tools.talker import Talker, talking
from training.words import word_errors

pytestmark = pytest.mark.microphone

RATE = 24_000
QUESTIONS = Path(__file__).parent.parent / "data" / "demo"
OPTIONS = ServerOptions(port=0, overrides=Overrides(seed=2, max_new_tokens=120))


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running(OPTIONS) as served:
        yield served


@contextlib.contextmanager
def calling(devices: SoundServer, url: str, *options: str | Path) -> Iterator[Talker]:
    with talking(devices, *options, program=("mimo_edge", "talk", url)) as talker:
        yield talker


def ask(devices: SoundServer, name: str) -> None:
    devices.say(QUESTIONS / f"{name}.flac")


def test_a_spoken_question_is_answered_aloud(
    sound_server: SoundServer, served: Running, tmp_path: Path
) -> None:
    record = tmp_path / "recorded"
    options = ("--record", record, "--transcribe")
    with sound_server.capture() as capture, calling(sound_server, served.url, *options) as talker:
        assert "MiMo-Audio" in talker.of("opened")[0]["model"]
        ask(sound_server, "color")
        answer = talker.wait_for("answer")
        report = talker.wait_for("report")
        assert talker.wait_for("said")["text"] == "what color is the sky"
        time.sleep(0.5)
        ask(sound_server, "memory")
        again = talker.wait_for("answer")
        talker.wait_for("report", turn=2)
        assert talker.end() == 0, talker.story()
    assert answer["text"].strip() == "the sky is blue"
    assert again["text"].strip() == "you said what color is the sky"
    assert report["first_sound_seconds"] > 0 and report["real_time_factor"] is None
    lines = [json.loads(line) for line in (record / "transcript.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines if line["turn"] == 2 and line["event"] != "said"] == [
        "question",
        "answer",
        "report",
    ]
    errors, words = word_errors(
        "the sky is blue you said what color is the sky", heard(capture.samples)
    )
    assert errors <= 2, words


def test_barge_in(sound_server: SoundServer, served: Running) -> None:
    with calling(sound_server, served.url, "--barge-in", "headphones") as talker:
        ask(sound_server, "count")
        talker.wait_for("state", state="speaking")
        time.sleep(0.5)
        ask(sound_server, "name")
        cut = talker.wait_for("answer")
        assert cut["interrupted"]
        assert talker.wait_for("answer")["text"].strip() == "my name is echo"
        assert not talker.of("notice"), talker.story()
        assert talker.end() == 0
    assert len(cut["text"].split()) < 5


def test_a_connection_that_is_lost_and_comes_back(
    sound_server: SoundServer, served: Running
) -> None:
    with relay(served.url) as wire, calling(sound_server, wire.url) as talker:
        ask(sound_server, "color")
        talker.wait_for("report")
        wire.cut()
        assert "trying to get it back" in talker.wait_for("notice")["text"]
        assert "is back" in talker.wait_for("notice")["text"]
        ask(sound_server, "memory")
        answer = talker.wait_for("answer", turn=2)
        assert answer["text"].strip() == "you said what color is the sky"
        assert talker.end() == 0


def heard(samples: np.ndarray) -> str:
    """By the model itself, one answer after the other: it was not trained for long pauses."""
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    answers = np.split(loud, np.flatnonzero(np.diff(loud) > RATE) + 1)
    with load_exact_demo() as model:
        texts = []
        for answer in answers:
            part = samples[max(0, answer[0] - RATE // 5) : answer[-1] + RATE // 5]
            texts.append(model.transcribe(part.astype(np.float32)).text)
    return " ".join(texts)
