"""This engine against the reference's arithmetic on the same cores: PyTorch, bfloat16.

    python -m training.reference_speed BUNDLE [--torch-python PATH] [--rounds 5]

By turns, so that a machine whose speed drifts, or that others use too, favours neither: the
reference's products run in a process of their own (`training.reference_products`), this engine in
this one, and whichever does not run waits. Ratios are those of neighbouring measurements. What
the reference computes besides products is left out: it takes longer than these figures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from mimo_edge.bundle.gguf_header import read_header
from mimo_edge.bundle.manifest import BACKBONE_FILE, Manifest
from mimo_edge.engine import Engine
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.stages.sampling import SamplerOptions
from mimo_edge.system.cores import fast_cores

_LOGGER = logging.getLogger(__name__)
_PROMPT = 188
"""Positions: 30 s of sound."""
_PAUSE_S = 1.0
"""Seconds before each measurement. Without it a prompt takes a tenth longer, and the reference's
step a third."""
_LOCAL_FFN = 4
"""Times the width of the patch encoder and decoder, in the released model."""
_ENCODER_LAYERS = 6
"""Of the patch encoder in the released model: a manifest does not tell."""
_STAGES = ("prompt", "step", "patch decoder", "patch encoder")
_PATCH = _STAGES[1:]
"""What one patch of speech takes."""

Times = Mapping[str, list[float]]


def shapes(manifest: Manifest, ffn: int) -> str:
    """`reference_products.Shapes` of a bundle, as JSON."""
    backbone, patch = manifest.backbone, manifest.patch
    return json.dumps(
        {
            "hidden": backbone.hidden_size,
            "layers": backbone.layers,
            "keys": backbone.kv_heads * backbone.head_dim,
            "ffn": ffn,
            "vocabulary": backbone.vocab_size,
            "local_hidden": patch.local_dim,
            "local_ffn": _LOCAL_FFN * patch.local_dim,
            "decoder_layers": patch.local_layers,
            "encoder_layers": _ENCODER_LAYERS,
            "group": patch.group_size,
            "codes": patch.vocab_sizes,
            "delays": patch.delays,
            "prompt": _PROMPT,
        }
    )


@contextlib.contextmanager
def reference(python: str, wanted: str, threads: int) -> Iterator[Callable[[str], float]]:
    """A process with PyTorch; what it measures, in seconds, by the name of the stage."""
    process = subprocess.Popen(
        [python, "-W", "ignore", "-m", "training.reference_products", wanted, str(threads)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    asked, answers = process.stdin, process.stdout

    def measure(stage: str) -> float:
        asked.write(stage + "\n")
        asked.flush()
        answer = answers.readline()
        if not answer:
            raise SystemExit(f"{python} has ended: see above, or give one with --torch-python.")
        return float(answer)

    try:
        yield measure
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def ours(engine: Engine) -> Iterator[Callable[[str], float]]:
    """The same of this engine, whole stages with all that belongs to them."""
    rng = np.random.default_rng(0)
    manifest = engine.manifest
    positions = engine.layout.text(rng.integers(0, 256, _PROMPT).tolist())
    hidden = rng.standard_normal(manifest.backbone.hidden_size).astype(np.float32)
    patch = rng.integers(0, 100, (1, manifest.patch.group_size, manifest.patch.channels))
    sampler = SamplerOptions(temperature=0.9, top_p=0.95)
    cache = engine.new_cache()

    def prompt() -> None:
        cache.cut(0)
        engine.scheduler.evaluate(cache, positions)

    runs: dict[str, Callable[[], object]] = {
        "prompt": prompt,
        "step": lambda: cache.append(positions[:1]),
        "patch decoder": lambda: engine.patch_decoder.decode(hidden, sampler, rng),
        "patch encoder": lambda: engine.patch_encoder.encode(patch),
    }

    def measure(stage: str) -> float:
        start = time.perf_counter()
        runs[stage]()
        return time.perf_counter() - start

    try:
        yield measure
    finally:
        cache.close()


def _rested(measure: Callable[[str], float], stage: str) -> float:
    """Measure when the threads of whoever came before have stopped waiting for more to do."""
    time.sleep(_PAUSE_S)
    return measure(stage)


def by_turns(
    reference: Callable[[str], float], ours: Callable[[str], float], rounds: int
) -> tuple[Times, Times]:
    """Seconds of every stage, of the reference and of this engine; round 0 does not count."""
    theirs: dict[str, list[float]] = {stage: [] for stage in _STAGES}
    mine: dict[str, list[float]] = {stage: [] for stage in _STAGES}
    for number in range(rounds + 1):
        for stage in _STAGES:
            pair = tuple(_rested(measure, stage) for measure in (reference, ours))
            if number:
                theirs[stage].append(pair[0])
                mine[stage].append(pair[1])
            _LOGGER.info("%s %s: %.3f s, %.3f s", number or "warming up", stage, *pair)
    for times in (theirs, mine):
        times["patch"] = [sum(parts) for parts in zip(*(times[s] for s in _PATCH), strict=True)]
    return theirs, mine


def report(theirs: Times, mine: Times) -> str:
    """A table in Markdown: medians, and the median and the range of the ratios."""
    lines = [
        "| | PyTorch bfloat16, products | this engine | times as fast |",
        "| --- | --- | --- | --- |",
    ]
    for stage in (*_STAGES, "patch"):
        ratios = [a / b for a, b in zip(theirs[stage], mine[stage], strict=True)]
        a, b = statistics.median(theirs[stage]), statistics.median(mine[stage])
        unit = "ms"
        if stage == "prompt":
            a, b, unit = a / _PROMPT, b / _PROMPT, "ms a position"
        lines.append(
            f"| {stage} | {1e3 * a:.1f} {unit} | {1e3 * b:.1f} {unit} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--torch-python", default=sys.executable, help="a Python with PyTorch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=fast_cores(), help="of both")
    parser.add_argument("--repack", action="store_true", help="as a server may do")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = RuntimeOptions(
        threads=given.threads, context=2 * _PROMPT, device="cpu", repack=given.repack
    )
    header = read_header(given.bundle / BACKBONE_FILE)
    ffn = int(header.values["qwen2.feed_forward_length"].value)
    with contextlib.closing(Engine.load(given.bundle, options)) as engine:
        wanted = shapes(engine.manifest, ffn)
        with (
            reference(given.torch_python, wanted, given.threads) as theirs,
            ours(engine) as mine,
        ):
            times = by_turns(theirs, mine, given.rounds)
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    sys.stdout.write(f"{report(*times)}\n\n{given.threads} threads; load {load}\n")


if __name__ == "__main__":
    main()
