"""Commands about bundles, as a user runs them: convert, info, compare, bench, the demo chat."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest
import soundfile

from convert.recipes import get_recipe, part_sizes
from convert.released import RELEASED_AUDIO, RELEASED_LANGUAGE
from mimo_edge.bundle.files import load_manifest
from tests.golden.folder import Golden

ROOT = Path(__file__).parents[2]


def run(*arguments: object, module: str = "mimo_edge") -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, from the root of the checkout."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("module", ("convert", "mimo_edge"))
def test_convert_prints_files_and_verifies(golden: Golden, tmp_path: Path, module: str) -> None:
    out = tmp_path / "bundle"
    command = ("convert",) if module == "mimo_edge" else ()
    options = ("--model", golden.model, "--tokenizer", golden.tokenizer, "--out", out)
    done = run(*command, *options, "--threads", 1, module=module)
    assert done.returncode == 0, done.stderr
    assert "backbone.gguf" in done.stdout and "q4_k" in done.stdout
    assert "every part loads and runs" in done.stdout
    assert "quantizing the backbone" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]

    again = run(*command, *options, module=module)
    assert again.returncode == 1
    assert again.stderr.startswith("mimo-edge: ") and "--force" in again.stderr
    assert len(again.stderr.splitlines()) == 1


def test_convert_help_lists_sizes_of_the_released_model() -> None:
    text = run("--help", module="convert").stdout
    for recipe in ("reference", "quality", "default", "fast", "small"):
        assert f"\n  {recipe} " in text
    total = sum(part_sizes(get_recipe("default"), RELEASED_LANGUAGE, RELEASED_AUDIO).values())
    assert "q4_k_m" in text and "q3_k" in text and f"{total / 1e9:.2f}" in text


def test_convert_with_other_precisions(golden: Golden, tmp_path: Path) -> None:
    source = ("--model", golden.model, "--tokenizer", golden.tokenizer, "--threads", 1)
    changes = ("--precision", "backbone=q5_k_m", "--precision", "patch_decoder=w8")
    done = run(*source, *changes, "--out", tmp_path / "bundle", module="convert")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["recipe"] == "default, backbone=q5_k_m, patch_decoder=w8"
    assert manifest["precisions"]["backbone"] == "q5_k_m"
    for wrong in ("backbone=q9", "vocoder=q4_0", "backbones=f16", "f16"):
        done = run(*source, "--precision", wrong, "--out", tmp_path / "x", module="convert")
        assert done.returncode == 1 and f"{wrong!r}: " in done.stderr


def test_info(default_bundle: Path) -> None:
    done = run("info", default_bundle, "--verify")
    assert done.returncode == 0, done.stderr
    assert "24000 Hz" in done.stdout and "160 ms" in done.stdout
    assert "every file has the hash" in done.stdout and "this machine" in done.stdout
    record = json.loads(run("info", default_bundle, "--json").stdout)
    assert record["manifest"]["recipe"] == "default"


def test_info_finds_a_changed_byte(default_bundle: Path, tmp_path: Path) -> None:
    """Of a place that the quick check at loading does not look at."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for path in default_bundle.iterdir():
        (bundle / path.name).write_bytes(path.read_bytes())
    data = bundle / "backbone.gguf"
    changed = bytearray(data.read_bytes())
    changed[len(changed) // 2 + 10_000] ^= 1
    data.write_bytes(changed)
    done = run("info", bundle, "--verify")
    assert done.returncode == 1 and "another hash" in done.stderr


def test_compare(reference_bundle: Path, default_bundle: Path, golden: Golden) -> None:
    clip = golden.folder / "audio" / "short.wav"
    done = run(
        *("compare", reference_bundle, default_bundle, "--reference", reference_bundle),
        *("--audio", clip, "--json", "--threads", 1, "--stages-only"),
    )
    assert done.returncode == 0, done.stderr
    exact, quantized = map(json.loads, done.stdout.splitlines())
    assert exact["codes"] == [1.0] * len(exact["codes"])
    assert exact["patch_codes"] == 1.0 and exact["waveform"] == exact["embeddings"] == 0.0
    assert exact["hidden"] < 0.01  # 16-bit KV cache and flash attention, as shipped
    assert exact["hidden"] < quantized["hidden"]
    assert 0 < quantized["waveform"] < 0.1 and 0 < quantized["embeddings"] < 0.2
    assert quantized["megabytes"] < exact["megabytes"]


def test_compare_refuses_another_checkpoint(
    reference_bundle: Path, default_bundle: Path, golden: Golden, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in default_bundle.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    manifest = load_manifest(other)
    source = replace(manifest.source[0], sha256="0" * 64)
    manifest = replace(manifest, source=(source, *manifest.source[1:]))
    (other / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    clip = golden.folder / "audio" / "short.wav"
    done = run("compare", other, "--reference", reference_bundle, "--audio", clip)
    assert done.returncode == 1 and "same checkpoint" in done.stderr


def test_compare_refuses_a_reference_that_is_rounded_itself(
    reference_bundle: Path, default_bundle: Path, golden: Golden
) -> None:
    clip = golden.folder / "audio" / "short.wav"
    done = run("compare", reference_bundle, "--reference", default_bundle, "--audio", clip)
    assert done.returncode == 1
    assert f"{default_bundle} is rounded itself: backbone (q4_k), audio_encoder" in done.stderr
    assert "convert the checkpoint with the recipe 'reference'" in done.stderr


def test_bench(default_bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "bench.png"
    options = ("--runs", 1, "--json", "--threads", 1, "--picture", picture)
    done = run("bench", default_bundle, *options)
    assert done.returncode == 0, done.stderr
    *stages, speaking, totals = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(stages) == 6
    assert speaking["alone"] > 0 and speaking["beside_sound"] > 0
    assert speaking["cores_of_other_programs"] >= 0
    assert set(totals) == {
        *("stage", "gb_per_speech_second", "seconds_per_speech_second", "accepted_tokens_per_read"),
        *("peak_rss_mb", "rss_mb", "anonymous_mb", "load_s", "bandwidth_gb_s", "runs_on"),
    }
    assert set(totals["runs_on"].values()) == {"cpu"}
    read, seconds = totals["gb_per_speech_second"], totals["seconds_per_speech_second"]
    assert read["dialogue"] > read["speak"] > 0
    assert seconds["dialogue"] > 0 and seconds["speak"] > 0
    # Its text comes in runs of five, every one of which is guessed at once.
    assert totals["accepted_tokens_per_read"] == 5
    assert totals["peak_rss_mb"] > 50 and totals["load_s"] > 0 and totals["bandwidth_gb_s"] > 0
    assert totals["peak_rss_mb"] >= totals["rss_mb"] > (totals["anonymous_mb"] or 0)
    assert all(stage["ms"] > 0 for stage in stages)
    backbone = next(stage for stage in stages if stage["stage"].startswith("speak: backbone"))
    assert 0 < backbone["bytes"] < (default_bundle / "backbone.gguf").stat().st_size + 1e6
    assert backbone["bound"] > 0
    with PIL.Image.open(picture) as image:
        assert image.width > 600 and len(image.getcolors(1 << 16) or ()) >= 5


@pytest.mark.parametrize(("patches", "way"), [("onnx", "cpu"), ("gguf", "gguf cpu")])
def test_bench_of_both_forms_of_patches(gguf_bundle: Path, patches: str, way: str) -> None:
    options = ("--runs", 1, "--threads", 1, "--device", "cpu", "--patches", patches)
    done = run("bench", gguf_bundle, *options, "--json")
    assert done.returncode == 0, done.stderr
    *stages, _, totals = [json.loads(line) for line in done.stdout.splitlines()]
    assert totals["runs_on"]["patch_decoder"] == totals["runs_on"]["patch_encoder"] == way
    assert totals["runs_on"]["backbone"] == "cpu"
    encoder = next(stage for stage in stages if stage["stage"] == "speak: patch encoder")
    name = "patch_encoder.gguf" if patches == "gguf" else "patch_encoder.onnx.data"
    assert encoder["bytes"] == (gguf_bundle / name).stat().st_size


def test_bench_of_patches_that_are_not_there(default_bundle: Path) -> None:
    done = run("bench", default_bundle, "--patches", "gguf")
    assert done.returncode == 1 and "this bundle has no GGUF of them" in done.stderr


def test_bench_says_that_the_machine_is_busy(default_bundle: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        done = run("bench", default_bundle, "--runs", 1, "--threads", 1)
        other.kill()
    assert done.returncode == 0, done.stderr
    assert "other programs kept" in done.stderr and "close them" in done.stderr


def test_chat_over_files(default_bundle: Path, golden: Golden, tmp_path: Path) -> None:
    """`python -m mimo_edge.chat`: an answer per question, a transcript, and memory."""
    out = tmp_path / "answers"
    # Random weights do not always speak; six turns practically do.
    clips = [golden.folder / "audio" / f"{name}.wav" for name in ("question", "short")] * 3
    done = run(
        *("--model", default_bundle, *(part for clip in clips for part in ("--input", clip))),
        *("--output", out, "--seed", 7, "--max-new-tokens", 60, "--threads", 1),
        module="mimo_edge.chat",
    )
    assert done.returncode == 0, done.stderr
    turns = [json.loads(line) for line in (out / "transcript.jsonl").read_text().splitlines()]
    assert [turn["turn"] for turn in turns] == [1, 2, 3, 4, 5, 6]
    assert turns[1]["stats"]["cached_positions"] > turns[0]["stats"]["prompt_positions"]
    spoken = [turn for turn in turns if turn["audio"]]
    assert spoken
    for turn in spoken:
        seconds = soundfile.info(out / turn["audio"]).duration
        assert seconds == pytest.approx(turn["stats"]["audio_seconds"])


def test_picture(golden: Golden, tmp_path: Path) -> None:
    """One pixel per 10 ms, one row per recording; what is loud is bright."""
    image = pytest.importorskip("PIL.Image", reason="drawing needs Pillow")
    clips = [golden.folder / "audio" / f"{name}.wav" for name in ("question", "short")]
    done = run("picture", *clips, "-o", tmp_path / "p.png")
    assert done.returncode == 0, done.stderr
    with image.open(tmp_path / "p.png") as picture:
        longest = max(soundfile.info(clip).duration for clip in clips)
        assert picture.width == pytest.approx(100 * longest, abs=3)
        low, high = picture.getextrema()[0]
        assert low < 20 and high > 220
    assert run("picture", clips[0], "-o", tmp_path / "p.jpg").returncode == 1
