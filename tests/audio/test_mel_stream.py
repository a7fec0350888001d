"""Listening while somebody speaks: the same frames as from the whole recording."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimo_edge.audio import log_mel, read_audio
from mimo_edge.audio.mel_stream import StreamingLogMel, log_mel_segments
from mimo_edge.engine import Engine
from mimo_edge.errors import MimoEdgeError
from mimo_edge.listener import Listener


@pytest.fixture(scope="module")
def speech(engine: Engine, clips: dict[str, Path]) -> np.ndarray:
    return read_audio(clips["question"], engine.manifest.audio)


def blocks(samples: np.ndarray, rng: np.random.Generator, largest: int) -> list[np.ndarray]:
    """Random cuts, empty pieces among them."""
    cuts: list[int] = []
    while sum(cuts) < len(samples):
        cuts.append(int(rng.integers(0, largest)))
    return np.split(samples, np.cumsum(cuts)[:-1])


@pytest.mark.parametrize("largest", [50, 700, 5000, 100_000])
@pytest.mark.parametrize("length", [481, 482, 960, 4321, 24_000, None])
def test_frames_are_those_of_the_whole(
    engine: Engine, speech: np.ndarray, largest: int, length: int | None
) -> None:
    config, rng = engine.manifest.audio, np.random.default_rng(largest)
    stream, samples = StreamingLogMel(config), speech[:length]
    mel = [stream.push(block) for block in blocks(samples, rng, largest)]
    assert stream.length == len(samples)
    np.testing.assert_array_equal(np.concatenate([*mel, stream.finish()]), log_mel(samples, config))


@pytest.mark.parametrize("length", [600, 24_000, 38_399, 38_400, 38_401, 38_640, 43_000])
def test_segments_are_those_of_the_whole(engine: Engine, speech: np.ndarray, length: int) -> None:
    config, samples = engine.manifest.audio, speech[:length]
    for frames in (50, 160, 6000):
        segments = [*log_mel_segments(samples, config, frames)]
        assert {len(segment) for segment in segments[:-1]} <= {frames}
        assert 0 < len(segments[-1]) <= frames
        np.testing.assert_array_equal(np.concatenate(segments), log_mel(samples, config))


def test_other_windows(engine: Engine, speech: np.ndarray) -> None:
    """A hop that is longer than half a window, and a window that is shorter than the FFT."""
    others: list[dict[str, Any]] = [
        {"hop_length": 600},
        {"window_size": 400},
        {"n_fft": 512, "window_size": 512},
    ]
    for changes in others:
        config = replace(engine.manifest.audio, **changes)
        stream, rng = StreamingLogMel(config), np.random.default_rng(0)
        mel = [stream.push(block) for block in blocks(speech, rng, 1000)]
        np.testing.assert_array_equal(
            np.concatenate([*mel, stream.finish()]), log_mel(speech, config)
        )


def test_a_pause_may_not_be_the_end(engine: Engine, speech: np.ndarray) -> None:
    """`finish` changes nothing: at every pause it gives what a recording that ends there has."""
    config, stream, mel = engine.manifest.audio, StreamingLogMel(engine.manifest.audio), []
    for start in range(0, len(speech), 3333):
        mel.append(stream.push(speech[start : start + 3333]))
        np.testing.assert_array_equal(
            np.concatenate([*mel, stream.finish()]), log_mel(speech[: start + 3333], config)
        )


def test_memory_is_bounded(engine: Engine, speech: np.ndarray) -> None:
    stream = StreamingLogMel(engine.manifest.audio)
    stream.push(speech)
    tracemalloc.start()
    try:
        for _ in range(20):
            stream.push(speech)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # A quarter of a second of float32; not a view, which would hold all that was pushed.
    assert kept < 4 * 6000 + 10_000 < speech.nbytes


def test_patches_are_those_of_the_whole(engine: Engine, speech: np.ndarray) -> None:
    stream = StreamingLogMel(engine.manifest.audio)
    mel = np.concatenate([stream.push(speech[:20_000]), stream.push(speech[20_000:])])
    found = engine.hearing.listen_mel(np.concatenate([mel, stream.finish()]))
    np.testing.assert_array_equal(found, engine.hearing.listen(speech))


def test_what_cannot_be_listened_to(engine: Engine) -> None:
    stream = StreamingLogMel(engine.manifest.audio)
    for wrong in (np.zeros((10, 2), np.float32), np.full(10, np.nan, np.float32)):
        with pytest.raises(MimoEdgeError, match="give one channel"):
            stream.push(wrong)
    assert not len(stream.push(np.zeros(480, np.float32)))
    with pytest.raises(MimoEdgeError, match="holds 20 ms of sound"):
        stream.finish()
    frames = np.zeros((1_000_000, engine.manifest.audio.n_mels), np.float32)
    with pytest.raises(MimoEdgeError, match="10000 s takes"):
        engine.hearing.listen_mel(frames)


def test_a_listener_computes_each_frame_once(
    engine: Engine, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a turn that grows, only what is new; of another one, all."""
    computed: list[int] = []
    push = StreamingLogMel.push

    def counted(self: StreamingLogMel, new: np.ndarray) -> np.ndarray:
        computed.append(len(new))
        return push(self, new)

    monkeypatch.setattr(StreamingLogMel, "push", counted)
    listener = Listener(engine.hearing)
    listener.hear(speech[:10_000])
    listener.hear(speech[:15_000])
    np.testing.assert_array_equal(
        listener.patches(speech[:20_000]), engine.hearing.listen(speech[:20_000])
    )
    np.testing.assert_array_equal(listener.patches(speech), engine.hearing.listen(speech))
    assert sum(computed) == len(speech)
    other = speech[::-1].copy()
    np.testing.assert_array_equal(listener.patches(other), engine.hearing.listen(other))
    assert sum(computed) == 2 * len(speech)
    with pytest.raises(MimoEdgeError, match="nothing to hear"):
        listener.patches(np.zeros(24_000, np.float32))
