"""What a second of speech reads and takes, as `bench`, `info` and the README tell it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.measure.speech_cost import (
    POSITIONS,
    RIGHT_GUESSES,
    ReadBytes,
    Ways,
    read_bytes_of_bundle,
    seconds_of_speech,
    speech_bytes,
    steps_of_a_second,
)

READ = ReadBytes(
    blocks=10**9,
    head=10**8,
    cached_values=1000,
    patch_decoder=2 * 10**9,
    patch_encoder=10**8,
    patches_per_second=6.25,
    weights=2 * 10**9,
)
PLAIN = Ways()
SOUND = 0.35 / 8
"""Of eight threads."""


def test_a_dialogue_reads_the_backbone_for_every_token_and_patch() -> None:
    """Ten positions a second: 6.25 patches and 3.75 tokens."""
    assert speech_bytes(READ, "dialogue", PLAIN) == pytest.approx(
        {
            "backbone": 10 * 10**9,
            "text head": 10 * 10**8,
            "cache": 10 * 2 * 1000 * POSITIONS,
            "patch decoder": 6.25 * 2 * 10**9,
            "patch encoder": 6.25 * 10**8,
        }
    )


def test_the_head_is_read_for_text_only_where_it_can_be_left_out() -> None:
    skips = speech_bytes(READ, "dialogue", Ways(skips_head=True))
    assert skips["text head"] == pytest.approx(3.75 * 10**8)
    assert skips["backbone"] == pytest.approx(10 * 10**9)


def test_guessed_words_cost_no_reading_of_their_own() -> None:
    ways = Ways(skips_head=True, drafts=True)
    wrong = 3.75 * (1 - RIGHT_GUESSES)
    steps = steps_of_a_second("speak", 6.25, ways)
    assert steps.readings == pytest.approx(6.25 + wrong)
    assert steps.heads == pytest.approx(0.75 + wrong)  # one for each run of five
    assert steps_of_a_second("dialogue", 6.25, ways).readings == pytest.approx(10)


def test_a_backbone_on_a_gpu_is_not_read_from_this_memory() -> None:
    read = speech_bytes(READ, "dialogue", Ways(backbone_on_gpu=True))
    assert set(read) == {"patch decoder", "patch encoder"}
    everything = Ways(backbone_on_gpu=True, patches_on_gpu=True)
    assert not speech_bytes(READ, "dialogue", everything)
    assert seconds_of_speech(READ, "dialogue", everything, 1e9, threads=2) is None


def test_seconds_add_up() -> None:
    """The backbone at 90% of the memory's speed and patches at 75%, and the sound by all cores."""
    read = replace(READ, head=0, cached_values=0)
    patches = 6.25 * 2.1 / 0.75
    assert _seconds(read) == pytest.approx(10 / 0.9 + patches + SOUND)
    slowed = _seconds(read, patch_bandwidth=5e8)
    assert slowed == pytest.approx(10 / 0.9 + 2 * patches + SOUND)
    on_gpu = _seconds(read, Ways(backbone_on_gpu=True))
    assert on_gpu == pytest.approx(patches + SOUND)


def test_guesses_cost_arithmetic_that_cores_share() -> None:
    ways = Ways(skips_head=True, drafts=True)
    few, many = (
        seconds_of_speech(READ, "speak", ways, 1e9, threads=threads) for threads in (2, 64)
    )
    alone = seconds_of_speech(READ, "dialogue", ways, 1e9, threads=2)
    assert few is not None and many is not None and alone is not None
    assert many < few < alone


def test_few_cores_multiply_more_slowly_than_memory_is_read() -> None:
    read = replace(READ, head=0, cached_values=0, patch_decoder=0, patch_encoder=0)
    for threads, step in ((1, 2 / 29), (2, 1 / 29), (8, 1 / 36)):
        seconds = seconds_of_speech(read, "dialogue", PLAIN, 40e9, threads=threads)
        assert seconds == pytest.approx(10 * step + 0.35 / threads)


def test_of_a_small_model_memory_says_nothing() -> None:
    small = replace(READ, blocks=10**6, patch_decoder=10**6)
    assert seconds_of_speech(small, "dialogue", PLAIN, 1e9, threads=2) is None


def test_the_bytes_of_a_bundle_are_those_of_its_tensors(default_bundle: Path) -> None:
    manifest = load_manifest(default_bundle)
    read = read_bytes_of_bundle(default_bundle, manifest)
    sizes = {
        tensor.name: int(tensor.n_bytes)
        for tensor in gguf.GGUFReader(default_bundle / "backbone.gguf").tensors
    }
    head = sizes.pop("output.weight")
    sizes.pop("token_embd.weight")  # single rows of it are read
    assert (read.head, read.blocks) == (head, sum(sizes.values()))
    assert read.blocks < read.weights  # 4 bits each, and a little
    weights = (default_bundle / "patch_decoder.onnx.data").stat().st_size
    assert read.patch_decoder == manifest.patch.decode_steps * weights


def _seconds(read: ReadBytes, ways: Ways = PLAIN, patch_bandwidth: float | None = None) -> float:
    seconds = seconds_of_speech(
        read, "dialogue", ways, 1e9, patch_bandwidth=patch_bandwidth, threads=8
    )
    assert seconds is not None
    return seconds
