"""Peak memory of a conversion: it follows the largest tensor, not the checkpoint."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mimo_edge.bundle.files import load_manifest
from tests.tools.memory import peak_anonymous
from tests.tools.random_checkpoint import PROFILES, Checkpoint, make_checkpoint

ROOT = Path(__file__).parents[2]
MEGABYTE = 1_000_000

CONVERT = """
import sys
from pathlib import Path
from tests.tools.bundles import convert_checkpoint
if len(sys.argv) > 1:
    model, tokenizer, out = map(Path, sys.argv[1:4])
    convert_checkpoint(model, tokenizer, out, sys.argv[4])
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/status").exists(), reason="reads RssAnon, which only Linux tells"
    ),
]


def peak(*arguments: object) -> int:
    """Peak anonymous memory in bytes of the process and its children; file-backed pages of
    mapped weights do not count, the system takes them back when it needs them."""
    command = [sys.executable, "-c", CONVERT, *map(str, arguments)]
    status, found = peak_anonymous(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    assert status == 0
    return found


def size(checkpoint: Checkpoint) -> int:
    return sum(path.stat().st_size for folder in checkpoint for path in folder.iterdir())


@pytest.fixture(scope="module")
def imports() -> int:
    """What Python and the converter's libraries take before anything is done."""
    return peak()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """540 MB: 360 MB of language model in bfloat16, 180 MB of audio tokenizer in float32."""
    return make_checkpoint(tmp_path_factory.mktemp("whole"), "small")


@pytest.mark.parametrize("recipe", ["quality", "reference"])
def test_the_checkpoint_is_not_read_into_memory(
    whole: Checkpoint, imports: int, tmp_path: Path, recipe: str
) -> None:
    """Measured: 205 MB above the imports with `quality`, 47 MB with `reference`.

    The largest tensor is 131 MB as float32; the checkpoint would be 900 MB of it. A recipe that is
    calibrated has the parts that listen in memory besides, mapped from the disk.
    """
    assert size(whole) > 500 * MEGABYTE
    found = peak(*whole, tmp_path / "bundle", recipe) - imports
    assert load_manifest(tmp_path / "bundle").recipe == recipe
    assert found < 300 * MEGABYTE


def test_memory_does_not_grow_with_the_number_of_layers(whole: Checkpoint, tmp_path: Path) -> None:
    few = make_checkpoint(tmp_path / "few", "small", layers=2)
    assert size(whole) - size(few) > 200 * MEGABYTE
    peaks = [
        peak(*checkpoint, tmp_path / "bundle" / str(size(checkpoint)), "quality")
        for checkpoint in (few, whole)
    ]
    assert peaks[1] - peaks[0] < 60 * MEGABYTE


@pytest.mark.parametrize("recipe", ["quality", "reference"])
def test_float32_takes_no_more_than_bfloat16(tmp_path: Path, recipe: str) -> None:
    """As MiMo-V2.5-ASR is published: twice the bytes, neither of them in memory.

    Measured above the imports, bfloat16 and float32: 211 and 210 MB with `quality`, 47 and 30 MB
    with `reference`.
    """
    peaks, sizes = [], []
    for dtype in ("BF16", "F32"):
        profile = replace(
            PROFILES["small"],
            language_dtype=dtype,
            language={
                **PROFILES["small"].language,
                "architectures": ["MiMoV2ASRForCausalLM"],
            },
        )
        checkpoint = make_checkpoint(tmp_path / dtype, profile)
        peaks.append(peak(*checkpoint, tmp_path / f"{dtype} bundle", recipe))
        assert not load_manifest(tmp_path / f"{dtype} bundle").speaks
        sizes.append(size(checkpoint))
    assert sizes[1] - sizes[0] > 300 * MEGABYTE
    assert peaks[1] - peaks[0] < 30 * MEGABYTE
