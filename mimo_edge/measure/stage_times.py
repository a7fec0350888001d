"""How long every stage takes, and what it has to read: the measurements of `mimo-edge bench`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bundle.manifest import BACKBONE_FILE, Manifest
from ..bundle.number_types import row_bytes
from ..engine import Engine
from ..generation.sound import SoundOptions, SoundThread
from ..prompt.positions import Positions
from ..stages.sampling import SamplerOptions

__all__ = ["Timing", "backbone_bytes", "measure_speaking", "measure_stages"]

_PROMPT = 128
"""Positions of the prompt that is evaluated."""
_QUICK = 0.2
"""Seconds per second of speech below which speaking is measured more often."""
_SPEECH_S = 4.0
"""Seconds of sound that go through the audio tokenizer and that are spoken."""
_LOOKAHEAD = 32
"""Of the sound that is decoded meanwhile: what a conversation uses."""


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


def measure_stages(engine: Engine, runs: int, *, backbone_on_gpu: bool = False) -> list[Timing]:
    """Every stage by itself, as it works while the model listens and speaks.

    What a backbone on a GPU reads is not counted: the processor's memory does not limit it.
    """
    manifest = engine.manifest
    rng = np.random.default_rng(0)
    patch_seconds = _patch_seconds(manifest)
    samples = (0.1 * rng.standard_normal(int(_SPEECH_S * manifest.audio.sample_rate))).astype(
        np.float32
    )
    codes = engine.audio_tokenizer.encode(samples)[:, : manifest.patch.channels]
    usable = len(codes) // manifest.patch.group_size * manifest.patch.group_size
    patches = codes[:usable].reshape(-1, manifest.patch.group_size, manifest.patch.channels)
    hidden = rng.standard_normal(manifest.backbone.hidden_size).astype(np.float32)
    sampler = SamplerOptions(temperature=0.9, top_p=0.95)
    prefill, step, context = _backbone_times(engine, runs)
    decode_patch = _median(lambda: engine.patch_decoder.decode(hidden, sampler, rng), runs)
    encode_patch = _median(lambda: engine.patch_encoder.encode(patches[:1]), runs)
    listen = _median(lambda: engine.audio_tokenizer.encode(samples), runs) / _SPEECH_S
    sound = _median(lambda: engine.audio_tokenizer.decode(codes), runs) / _SPEECH_S
    size = {file.name: file.size for file in manifest.files}
    return [
        Timing(stage="hear: audio encoder", seconds=listen, unit="second of sound"),
        Timing(stage="hear: prompt", seconds=prefill / _PROMPT, unit="position"),
        Timing(
            stage=f"speak: backbone, {context} positions back",
            seconds=step,
            unit="token or patch",
            bytes_read=None
            if backbone_on_gpu
            else backbone_bytes(manifest, size[BACKBONE_FILE], context),
            per_speech_second=step / patch_seconds,
        ),
        Timing(
            stage="speak: patch decoder",
            seconds=decode_patch,
            unit="patch",
            bytes_read=size["patch_decoder.onnx.data"] * manifest.patch.decode_steps,
            per_speech_second=decode_patch / patch_seconds,
        ),
        Timing(
            stage="speak: patch encoder",
            seconds=encode_patch,
            unit="patch",
            bytes_read=size["patch_encoder.onnx.data"],
            per_speech_second=encode_patch / patch_seconds,
        ),
        Timing(
            stage="speak: audio decoder and vocoder",
            seconds=sound,
            unit="second of speech",
            per_speech_second=sound,
        ),
    ]


def measure_speaking(engine: Engine, runs: int) -> tuple[float, float]:
    """Seconds per second of speech that generating takes (alone, while its sound is decoded)."""
    warm = max(_speak(engine, decode_sound=sound) for sound in (False, True))
    pairs = min(runs, 3)
    if warm < _QUICK:  # then single ones differ by a third
        pairs *= 10
    took: dict[bool, list[float]] = {False: [], True: []}
    for run in range(2 * pairs):  # by turns: a machine's speed drifts
        took[run % 2 == 1].append(_speak(engine, decode_sound=run % 2 == 1))
    return float(np.median(took[False])), float(np.median(took[True]))


def _speak(engine: Engine, *, decode_sound: bool) -> float:
    """Speak like a model that only speaks: its text would depend on the weights."""
    manifest, rng = engine.manifest, np.random.default_rng(0)
    sampler = SamplerOptions(temperature=0.9, top_p=0.95)
    patches = round(_SPEECH_S / _patch_seconds(manifest))
    cache = engine.new_cache()
    with contextlib.ExitStack() as opened:
        opened.callback(cache.close)
        output, _ = cache.prefill(_prompt(engine))
        assert output is not None
        sound = None
        if decode_sound:
            decoder = engine.audio_tokenizer.stream(_LOOKAHEAD)
            sound = SoundThread(decoder, manifest.patch.group_size, SoundOptions())
            opened.callback(sound.close)
        start = time.perf_counter()
        for _ in range(patches):
            patch = engine.patch_decoder.decode(output.hidden, sampler, rng)
            if sound is not None:
                sound.push(patch)
            output = cache.append(engine.layout.audio(patch[None]))
        return (time.perf_counter() - start) / _SPEECH_S


def _patch_seconds(manifest: Manifest) -> float:
    steps = manifest.patch.group_size * manifest.audio.samples_per_step
    return steps / manifest.audio.sample_rate


def _prompt(engine: Engine) -> Positions:
    ids = np.random.default_rng(0).integers(0, 256, _PROMPT)
    return engine.layout.text(ids.tolist())


def _backbone_times(engine: Engine, runs: int) -> tuple[float, float, int]:
    """(seconds of a prompt, seconds of a step, positions in the cache of that step)."""
    prompt = _prompt(engine)
    cache = engine.new_cache()
    try:
        prefill = _median(lambda: _restart(cache.prefill, engine, prompt), min(runs, 3))
        step = _median(lambda: cache.append(prompt[:1]), 2 * runs)
        return prefill, step, len(cache.positions)
    finally:
        cache.close()


def _restart(prefill: Callable[[Positions], Any], engine: Engine, prompt: Positions) -> None:
    """Evaluate the prompt from nothing: what was cached before is cut off by another start."""
    first = int(prompt.text_ids[0])
    prefill(engine.layout.text([first + 1]))
    prefill(prompt)


def backbone_bytes(manifest: Manifest, file_bytes: int, context: int) -> int:
    """Weights and cache that a step reads: all but the rows of the embedding table."""
    backbone = manifest.backbone
    table = backbone.vocab_size * row_bytes(backbone)
    cache = 2 * backbone.cached_values * context  # float16
    return int(file_bytes - table + cache)


def _median(run: Callable[[], Any], runs: int) -> float:
    """Seconds; one more run goes first and does not count."""
    run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))
