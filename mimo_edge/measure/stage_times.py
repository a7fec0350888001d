"""How long every stage takes, and what it has to read: the measurements of `mimo-edge bench`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bundle.manifest import Manifest
from ..engine import Engine
from ..generation.position_cache import New, PositionCache
from ..prompt.positions import Positions
from ..stages.sampling import SamplerOptions
from .speech_cost import ReadBytes, Ways

__all__ = ["Timing", "measure_stages", "median_seconds"]

_PROMPT = 128
"""Positions of the prompt that is evaluated."""
_SOUND_S = 4.0
"""Seconds of sound that go through the audio tokenizer."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one stage takes: the median of its runs."""

    stage: str
    seconds: float
    unit: str
    """What it does in that time, for example "patch"."""
    bytes_read: int | None = None
    """Weights that one unit has to read; None where arithmetic is the limit."""
    per_speech_second: float | None = None
    """Seconds of work per second of speech, where that is the question."""


def measure_stages(
    engine: Engine, runs: int, *, read: ReadBytes, ways: Ways, positions: int
) -> list[Timing]:
    """Every stage by itself, as it works while the model listens and speaks.

    Tokens and patches come behind so many positions. What is read on a GPU is not
    counted: the processor's memory does not limit it.
    """
    return [
        *_hearing(engine, runs),
        *_backbone(engine, runs, read, ways, positions),
        *_patches(engine, runs, read, ways),
        _sound(engine, runs),
    ]


def _hearing(engine: Engine, runs: int) -> list[Timing]:
    samples = _noise(engine.manifest)
    listen = median_seconds(lambda: engine.audio_tokenizer.encode(samples), runs) / _SOUND_S
    prompt = _text(engine, _PROMPT)
    with contextlib.closing(engine.new_cache()) as cache:
        prefill = median_seconds(lambda: _restart(cache, engine, prompt), min(runs, 3))
    return [
        Timing(stage="hear: audio encoder", seconds=listen, unit="second of sound"),
        Timing(stage="hear: prompt", seconds=prefill / _PROMPT, unit="position"),
    ]


def _backbone(
    engine: Engine, runs: int, read: ReadBytes, ways: Ways, positions: int
) -> list[Timing]:
    """A token, behind which the next text id is chosen, and a patch, behind which it is certain."""
    text = _text(engine, positions + 1)
    took = {}
    with contextlib.closing(engine.new_cache()) as cache:
        cache.prefill(text[:positions])

        def step(*, logits: bool) -> None:
            cache.cut(positions)
            engine.caches.make_room(cache, 1)
            engine.caches.evaluate([New(cache, text[positions:], outputs=1, logits=logits)])

        took["token"] = median_seconds(lambda: step(logits=True), 2 * runs)
        if ways.skips_head:
            took["patch"] = median_seconds(lambda: step(logits=False), 2 * runs)
    size = read.blocks + positions * round(read.cached_values * ways.cache_bytes)
    names = {"token": "token" if ways.skips_head else "token or patch", "patch": "patch"}
    return [
        Timing(
            stage=f"speak: backbone, {positions} positions back",
            seconds=seconds,
            unit=names[kind],
            bytes_read=None
            if ways.backbone_on_gpu
            else size + (read.head if kind == "token" else 0),
            per_speech_second=seconds * read.patches_per_second
            if kind == "patch" or not ways.skips_head
            else None,
        )
        for kind, seconds in took.items()
    ]


def _patches(engine: Engine, runs: int, read: ReadBytes, ways: Ways) -> list[Timing]:
    manifest, rng = engine.manifest, np.random.default_rng(0)
    patch = manifest.patch
    codes = rng.integers(0, np.array(patch.empty_ids), (1, patch.group_size, patch.channels))
    hidden = rng.standard_normal(manifest.backbone.hidden_size).astype(np.float32)
    sampler = SamplerOptions(temperature=0.9, top_p=0.95)
    decode = median_seconds(lambda: engine.patch_decoder.decode(hidden, sampler, rng), runs)
    encode = median_seconds(lambda: engine.patch_encoder.encode(codes), runs)
    return [
        Timing(
            stage=f"speak: {name}",
            seconds=seconds,
            unit="patch",
            bytes_read=None if ways.patches_on_gpu else size,
            per_speech_second=seconds * read.patches_per_second,
        )
        for name, seconds, size in (
            ("patch decoder", decode, read.patch_decoder),
            ("patch encoder", encode, read.patch_encoder),
        )
    ]


def _sound(engine: Engine, runs: int) -> Timing:
    channels = engine.manifest.patch.channels
    codes = engine.audio_tokenizer.encode(_noise(engine.manifest))[:, :channels]
    sound = median_seconds(lambda: engine.audio_tokenizer.decode(codes), runs) / _SOUND_S
    return Timing(
        stage="speak: audio decoder and vocoder",
        seconds=sound,
        unit="second of speech",
        per_speech_second=sound,
    )


def _noise(manifest: Manifest) -> np.ndarray:
    count = int(_SOUND_S * manifest.audio.sample_rate)
    return (0.1 * np.random.default_rng(0).standard_normal(count)).astype(np.float32)


def _text(engine: Engine, positions: int) -> Positions:
    ids = np.random.default_rng(0).integers(0, 256, positions)
    return engine.layout.text(ids.tolist())


def _restart(cache: PositionCache, engine: Engine, prompt: Positions) -> None:
    """Evaluate the prompt from nothing: what was cached before is cut off by another start."""
    first = int(prompt.text_ids[0])
    cache.prefill(engine.layout.text([first + 1]))
    cache.prefill(prompt)


def median_seconds(run: Callable[[], Any], runs: int) -> float:
    """Seconds that `run` takes: the median of so many; one more goes first and does not count."""
    run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))
