"""Models of noise: written without a checkpoint, loaded and run like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from convert.backbone.matrix_types import BACKBONE_TYPES
from convert.checkpoints.configs import AudioTokenizerConfig, LanguageModelConfig
from convert.released import RELEASED_AUDIO, RELEASED_LANGUAGE
from convert.synthetic import synthetic_bundle
from mimo_edge import MimoAudio, Overrides, Speak
from mimo_edge.bundle.manifest import BACKBONE_FILE
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from tests.tools.command_line import Command

Q4, Q6 = gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q6_K


def small_language() -> LanguageModelConfig:
    """As released, but small; rows stay multiples of a block of 256."""
    return replace(
        RELEASED_LANGUAGE,
        hidden_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=128,
        intermediate_size=256,
        vocab_size=512,
        local_dim=64,
        local_layers=1,
        local_attn_heads=2,
        local_ffn_dim=64,
        input_local_dim=64,
        input_local_layers=1,
    )


def small_audio() -> AudioTokenizerConfig:
    return replace(
        RELEASED_AUDIO,
        d_model=64,
        encoder_layers=4,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        vocoder_dim=32,
        vocoder_num_layers=1,
        vocoder_attention_heads=2,
        vocoder_intermediate_dim=64,
    )


def test_it_hears_and_speaks(tmp_path: Path) -> None:
    out = tmp_path / "noise"
    synthetic_bundle(out, lambda *_: None, language=small_language(), audio=small_audio())
    with MimoAudio.load(out, RuntimeOptions(context=256, device="cpu")) as model:
        noise = np.random.default_rng(0).standard_normal(24_000).astype(np.float32) / 10
        short = Overrides(max_new_tokens=40, seed=1)
        assert model.transcribe(noise, overrides=short).stats.text_tokens > 0
        speech = model.run(Speak(text="Hello, you.", overrides=short))
        codes = model.encode(noise)
    assert speech.stats.text_tokens + speech.stats.patches > 0
    assert len(np.unique(codes)) > 10  # no weight is so large or small that all sound is one


def test_blocks_spread_as_weights_do(tmp_path: Path) -> None:
    """Around zero, and so that activations keep their scale."""
    out = tmp_path / "noise"
    synthetic_bundle(out, lambda *_: None, language=small_language(), audio=small_audio())
    for tensor in gguf.GGUFReader(out / BACKBONE_FILE).tensors:
        if len(tensor.shape) > 1:
            values = gguf.dequantize(tensor.data, tensor.tensor_type)
            assert abs(values.mean()) < 0.02 and 0.06 < values.std() < 0.065, tensor.name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("output.weight", Q6),
        ("token_embd.weight", Q4),
        ("blk.3.attn_v.weight", Q6),
        ("blk.4.attn_v.weight", Q4),
        ("blk.6.ffn_down.weight", Q6),
        ("blk.31.ffn_down.weight", Q6),
        ("blk.29.ffn_down.weight", Q4),
        ("blk.0.ffn_up.weight", Q4),
    ],
)
def test_types_are_those_that_llama_cpp_chooses(
    name: str, expected: gguf.GGMLQuantizationType
) -> None:
    """Of 36 layers, as its quantizer stored them from random weights of the released size."""
    assert BACKBONE_TYPES["q4_k_m"].of(name, 36) == expected


def test_the_flag_that_removes_them(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path)
    (tmp_path / "synthetic-7b").mkdir()
    (tmp_path / "synthetic-7b" / "manifest.json").write_text("{}")
    assert "synthetic-7b was removed" in command("bench", "--remove-synthetic").err
    assert not (tmp_path / "synthetic-7b").exists()
    refused = command("bench", str(tmp_path), "--synthetic", "7b")
    assert "not both" in refused.err
