"""Silence and noise around a question change no word of what is heard and answered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.model import MimoAudio
from mimo_edge.tasks import Overrides
from tests.tools.exact_demo import exact_demo

from .conftest import Question

BEHIND = Path(__file__).parent.parent / "data" / "sound" / "silence-behind.flac"
SEEDED = Overrides(seed=1, max_new_tokens=120)
RATE = 24_000


@pytest.mark.parametrize("name", ["sum", "color", "count", "words"])
def test_transcribed(exact: MimoAudio, questions: dict[str, Question], name: str) -> None:
    samples, _ = soundfile.read(questions[name].path, dtype="float32")
    rng = np.random.default_rng(0)
    for seconds, level in ((3, 0), (12, 0), (6, 0.001)):
        rest = np.zeros(seconds * RATE, dtype=np.float32)
        for whole in (
            np.concatenate([samples, rest]),
            np.concatenate([rest, samples, rest]),
        ):
            noisy = whole + level * rng.standard_normal(len(whole)).astype(np.float32)
            assert exact.transcribe(noisy, overrides=SEEDED).text == questions[name].text


def test_asked_in_a_conversation(exact: MimoAudio) -> None:
    with exact.session(overrides=SEEDED) as session:
        assert session.ask(BEHIND).text == "seven plus five is twelve"


def test_heard_by_a_key_that_was_held_too_long(exact: MimoAudio) -> None:
    """A turn of the microphone, by push to talk."""
    samples, rate = soundfile.read(BEHIND, dtype="float32")
    assert rate == 16_000
    whole = np.interp(
        np.arange(0, len(samples) * 1.5) / 1.5, np.arange(len(samples)), samples
    ).astype(np.float32)
    listener = exact.listener()
    listener.hear(whole[: 2 * RATE])
    with exact.session(overrides=SEEDED) as session:
        assert session.ask(listener.patches(whole)).text == "seven plus five is twelve"


def test_recorded_chat(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mimo_edge", "chat", "--input", str(BEHIND), "--transcribe"),
            *("--output", str(tmp_path), "--seed", "1", "--model", str(exact_demo())),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "transcript.jsonl").read_text().splitlines()[0])
    assert record["question"] == "what is seven plus five"
    assert record["text"] == "seven plus five is twelve"


def test_codes_keep_the_length_of_the_file(exact: MimoAudio) -> None:
    assert len(exact.encode(BEHIND)) == pytest.approx(25 * 10.05, abs=1)
