"""`mimo-edge bench`: times of every stage beside the limit that memory bandwidth sets.

Generating is bound by memory: each step reads all weights of its stage once. `bound` is that
time (bytes ÷ measured bandwidth) over the measured one, 100% being as fast as the memory is.
The values of the weights do not matter, so random ones measure as well as trained ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil

from .bundle_files import load_manifest
from .config import BACKBONE_FILE, Manifest, RuntimeOptions
from .console import print_table
from .engine import Engine
from .options import console_from, find_bundle, output_options
from .patches import Positions
from .sampling import SamplerOptions
from .token_embeddings import row_bytes

__all__ = ["Timing", "bench", "measure_bandwidth", "measure_stages"]

_BANDWIDTH_BYTES = 1 << 29
_CONTEXT = 1024
_PROMPT = 128
"""Positions of the prompt that is evaluated."""
_SPEECH_S = 4.0
"""Seconds of sound that go through the audio tokenizer."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The median of one stage."""

    stage: str
    seconds: float
    unit: str
    """What takes this long."""
    bytes_read: int | None = None
    """Weights that one unit has to read; None where arithmetic is the limit."""
    per_speech_second: float | None = None
    """Seconds of work per second of speech, where that is the question."""


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--threads", default=0, show_default="all cores", help="Processor threads.")
@click.option("--runs", default=5, show_default=True, help="Of every stage; the median counts.")
@click.option(
    "--ctx",
    default=0,
    show_default=f"{_CONTEXT}, or what the model knows",
    help="Positions of a conversation.",
)
@click.option("--repack", is_flag=True, help="Measure with repacked weights.")
@output_options
def bench(
    bundle: Path | None, threads: int, runs: int, ctx: int, repack: bool, **values: Any
) -> None:
    """Measure how fast BUNDLE runs on this machine, and how close to its limit."""
    console = console_from(values)
    folder = find_bundle(bundle)
    manifest = load_manifest(folder)
    ctx = ctx or min(_CONTEXT, manifest.backbone.max_positions)
    options = RuntimeOptions(threads=threads, context=ctx, repack=repack)
    with console.busy("measuring"):
        bandwidth = measure_bandwidth(options.thread_count())
        engine = Engine.load(folder, options, manifest)
        try:
            timings = measure_stages(engine, runs)
            resident = psutil.Process().memory_info().rss
        finally:
            engine.close()
    for timing in timings:
        console.record(**vars(timing), bandwidth=bandwidth)
    if console.as_json:
        return
    columns = ("stage", "ms", "per", "MB read", "bound", "s per s of speech")
    print_table(columns, [_row(timing, bandwidth) for timing in timings])
    click.echo(
        f"{options.thread_count()} threads, {bandwidth / 1e9:.1f} GB/s measured memory "
        f"bandwidth, {resident / 1e9:.2f} GB resident (mapped weights included)"
    )
    speech = sum(timing.per_speech_second or 0.0 for timing in timings)
    click.echo(f"speaking takes {speech:.2f} s per second of speech (below 1: real time)")


def measure_bandwidth(threads: int) -> float:
    """Bytes per second that all threads together read from memory; the best of five."""
    share = _BANDWIDTH_BYTES // threads // 8
    arrays = [np.ones(share, dtype=np.int64) for _ in range(threads)]
    best = 0.0
    for _ in range(5):
        workers = [threading.Thread(target=np.bitwise_or.reduce, args=(a,)) for a in arrays]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        best = max(best, threads * share * 8 / (time.perf_counter() - start))
    return best


def measure_stages(engine: Engine, runs: int) -> list[Timing]:
    """Every stage by itself, as it works while the model listens and speaks."""
    manifest = engine.manifest
    rng = np.random.default_rng(0)
    patch_seconds = (
        manifest.patch.group_size * manifest.audio.samples_per_step / manifest.audio.sample_rate
    )
    samples = (0.1 * rng.standard_normal(int(_SPEECH_S * manifest.audio.sample_rate))).astype(
        np.float32
    )
    codes = engine.audio_tokenizer.encode(samples)[:, : manifest.patch.channels]
    usable = len(codes) // manifest.patch.group_size * manifest.patch.group_size
    patches = codes[:usable].reshape(-1, manifest.patch.group_size, manifest.patch.channels)
    hidden = rng.standard_normal(manifest.backbone.hidden_size).astype(np.float32)
    sampler = SamplerOptions(temperature=0.9, top_p=0.95)
    prefill, step, context = _backbone_times(engine, runs, rng)
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
            bytes_read=_backbone_bytes(manifest, size[BACKBONE_FILE], context),
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


def _backbone_times(
    engine: Engine, runs: int, rng: np.random.Generator
) -> tuple[float, float, int]:
    """(seconds of a prompt, seconds of a step, positions in the cache of that step)."""
    ids = rng.integers(0, 256, _PROMPT)
    prompt = engine.layout.text(ids.tolist())
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


def _backbone_bytes(manifest: Manifest, file_bytes: int, context: int) -> int:
    """Weights and cache that a step reads: all but the rows of the embedding table."""
    backbone = manifest.backbone
    table = backbone.vocab_size * row_bytes(backbone)
    cache = 2 * 2 * backbone.layers * backbone.kv_heads * backbone.head_dim * context
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


def _row(timing: Timing, bandwidth: float) -> tuple[str, ...]:
    bound = read = per_second = ""
    if timing.bytes_read is not None:
        read = f"{timing.bytes_read / 1e6:.1f}"
        bound = f"{timing.bytes_read / bandwidth / timing.seconds:.0%}"
    if timing.per_speech_second is not None:
        per_second = f"{timing.per_speech_second:.3f}"
    milliseconds = f"{1000 * timing.seconds:.2f}"
    return timing.stage, milliseconds, timing.unit, read, bound, per_second
