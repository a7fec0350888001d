"""Bundles whose patch decoder is rounded for speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.bundle import convert as convert_bundle
from convert.calibration.hidden_states import spoken_patches
from convert.calibration.patch_decoder import SpokenPatches
from convert.calibration.speech import SHIPPED, calibration_clips
from convert.checkpoints.source import open_source
from convert.recipes import change_recipe, get_recipe
from mimo_edge.bundle.files import load_manifest
from mimo_edge.engine import Engine
from mimo_edge.stages.machine.placement import Placement
from mimo_edge.stages.patch_decoder import PatchDecoder
from tests.golden.folder import Golden
from tests.tools.command_line import Command
from tests.tools.exact_demo import DEMO_CHECKPOINT, DEMO_TOKENIZER, EXACT_OPTIONS, exact_demo

DATA = Path(__file__).parents[2] / "data"


def convert(command: Command, golden: Golden, out: Path, *more: object) -> Path:
    done = command(
        *("convert", "--model", golden.model, "--tokenizer", golden.tokenizer, "--out", out),
        *("--precision", "backbone=f16", *more),
    )
    assert done.status == 0, done.err
    return out


def test_only_bytes_are_told_as_bytes(command: Command, golden: Golden, tmp_path: Path) -> None:
    """Speech is counted in positions, which as megabytes would be 0.0."""
    done = command(
        *("convert", "--model", golden.model, "--tokenizer", golden.tokenizer),
        *("--out", tmp_path / "bundle", "--without-speech"),
    )
    assert done.status == 0, done.err
    told = dict(line.split(": ") for line in done.err.splitlines() if line.endswith(" s"))
    for stage in ("hearing speech", "measuring the backbone", "verifying"):
        assert "MB" not in told[stage]
    for stage in ("writing the backbone", "quantizing the backbone", "hashing"):
        assert " MB in " in told[stage]


def logits_along(bundle: Path, spoken: SpokenPatches) -> list[NDArray[np.float64]]:
    """Log-probabilities of every code."""
    manifest = load_manifest(bundle)
    decoder = PatchDecoder.load(bundle, manifest, Placement(threads=1))
    found = [
        _log_softmax(logits)
        for hidden, codes in zip(spoken.hidden, spoken.codes, strict=True)
        for logits in decoder.logits_along(hidden, codes)
    ]
    decoder.close()
    return found


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


@pytest.mark.slow
def test_nearer_to_the_original_and_smaller(tmp_path: Path) -> None:
    """Than four bits rounded to the nearest: trained weights, along speech that is not the one
    that they were rounded for."""
    engine = Engine.load(exact_demo(), EXACT_OPTIONS)
    spoken = spoken_patches(engine, calibration_clips(DATA / "demo"), 60, lambda *_: None)
    engine.close()
    source = open_source(DEMO_CHECKPOINT, DEMO_TOKENIZER)
    logits = {}
    for precision in ("fp32", "w4", "w4c"):
        recipe = change_recipe(get_recipe("reference"), [f"patch_decoder={precision}"])
        convert_bundle(source, tmp_path / precision, recipe, name="demo", threads=1)
        logits[precision] = logits_along(tmp_path / precision, spoken)

    def divergence(precision: str) -> float:
        pairs = zip(logits["fp32"], logits[precision], strict=True)
        return float(np.mean([(np.exp(p) * (p - q)).sum() for p, q in pairs]))

    assert divergence("w4c") < 0.75 * divergence("w4")


def test_a_folder_of_recordings(command: Command, golden: Golden, tmp_path: Path) -> None:
    """The same folder gives the same bundle, another one another; what is no sound is left out."""
    folder = tmp_path / "speech"
    folder.mkdir()
    (folder / "notes.txt").write_text("no sound")
    (folder / "deep").mkdir()
    (folder / "deep" / "sum.flac").write_bytes((DATA / "demo" / "sum.flac").read_bytes())
    made = [
        convert(command, golden, tmp_path / name, "--precision", "patch_decoder=w4c", *more)
        for name, more in (
            ("one", ["--calibrate", folder]),
            ("same", ["--calibrate", folder]),
            ("shipped", []),
        )
    ]
    one, same, shipped = ((out / "patch_decoder.onnx.data").read_bytes() for out in made)
    assert one == same
    assert one != shipped


@pytest.mark.parametrize("what", ["missing", "empty", "no sound"])
def test_folders_without_speech(
    what: str, command: Command, golden: Golden, tmp_path: Path
) -> None:
    folder = tmp_path / "speech"
    if what != "missing":
        folder.mkdir()
    if what == "no sound":
        (folder / "notes.txt").write_text("no sound")
    done = command(
        *("convert", "--model", golden.model, "--tokenizer", golden.tokenizer),
        *("--out", tmp_path / "out", "--precision", "patch_decoder=w4c", "--calibrate", folder),
    )
    assert done.status == 1
    assert str(folder) in done.err.splitlines()[-1]
    assert "Traceback" not in done.err
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_only_the_patch_decoder_is_calibrated(
    command: Command, golden: Golden, tmp_path: Path
) -> None:
    done = command(
        *("convert", "--model", golden.model, "--tokenizer", golden.tokenizer),
        *("--out", tmp_path / "out", "--precision", "vocoder=w4c"),
    )
    assert done.status == 1 and "vocoder is stored as one of" in done.err


def test_what_ships_is_whole_and_small() -> None:
    clips = calibration_clips(None)
    assert all(clip.path.is_file() and clip.text for clip in clips)
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 1_000_000
    assert (SHIPPED / "LICENSE").is_file()
