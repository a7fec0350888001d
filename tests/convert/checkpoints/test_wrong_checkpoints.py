"""Checkpoints that cannot be converted: one sentence each, before anything is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.checkpoints.source import open_source
from convert.recipes import get_recipe
from mimo_edge.errors import MimoEdgeError
from tests.tools.random_checkpoint import Checkpoint, make_checkpoint
from tests.tools.safetensors_files import (
    AUDIO_TOKENIZER,
    LANGUAGE_MODEL,
    read_tensors,
    write_safetensors,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LANGUAGE_MODEL, tmp_path / "model", copy_function=shutil.copyfile))


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(AUDIO_TOKENIZER, tmp_path / "tokenizer", copy_function=shutil.copyfile)
    )


def complaint(model: Path, tokenizer: Path) -> str:
    """What opening says: one sentence for a person, naming one of the folders."""
    with pytest.raises(MimoEdgeError) as caught:
        open_source(model, tokenizer)
    text = str(caught.value)
    assert str(model) in text or str(tokenizer) in text
    assert text.endswith(".") and "\n" not in text and len(text) < 400
    return text


def configure(folder: Path, **changes: Any) -> None:
    """Change keys of config.json; None removes one."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8")) | changes
    kept = {key: value for key, value in config.items() if value is not None}
    path.write_text(json.dumps(kept), "utf-8")


def test_the_golden_checkpoints_are_right(model: Path, tokenizer: Path) -> None:
    source = open_source(model, tokenizer)
    assert source.language.audio_channels == 8
    assert source.audio.num_quantizers == 20


def test_swapped(model: Path, tokenizer: Path) -> None:
    assert f"{tokenizer}" in complaint(tokenizer, model)
    assert "this is not a MiMo-Audio checkpoint" in complaint(tokenizer, model)


def test_the_same_folder_twice(model: Path, tokenizer: Path) -> None:
    assert "config.json: 'sampling_rate' is missing" in complaint(model, model)
    assert "is missing: this is not a MiMo-Audio checkpoint" in complaint(tokenizer, tokenizer)


def test_no_folder_and_no_checkpoint(model: Path, tokenizer: Path, tmp_path: Path) -> None:
    assert "is not a folder" in complaint(tmp_path / "nowhere", tokenizer)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no config.json" in complaint(model, empty)
    assert "holds no config.json" in complaint(empty, tokenizer)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"delay_pattern": "0-1-2"}, "'delay_pattern' has 3 entries"),
        ({"speech_vocab_size": "1025-1025"}, "'speech_vocab_size' has 2 entries"),
        ({"speech_zeroemb_idx": "1-2-3-4-5-6-7-8-9"}, "'speech_zeroemb_idx' has 9 entries"),
        ({"audio_channels": 7}, "but audio_channels is 7"),
        ({"delay_pattern": "0-1-x-3-4-5-6-7"}, "not numbers joined by dashes"),
        ({"delay_pattern": None}, "'delay_pattern' is missing"),
        ({"group_size": None}, "'group_size' is missing: this is not a MiMo-Audio checkpoint"),
        ({"group_size": 0}, "'group_size' is 0, and must be at least 1"),
        ({"hidden_size": "256"}, "'hidden_size' is '256', not an integer"),
        ({"hidden_size": 128}, "config and weights are not of the same checkpoint"),
        ({"num_hidden_layers": 3}, "has no tensor 'model.layers.2."),
        ({"rope_scaling": {"type": "yarn"}}, "'rope_scaling'"),
        ({"hidden_act": "gelu"}, "only 'silu' is supported"),
        ({"speech_zeroemb_idx": "0"}, "they are not made for each other"),
        ({"speech_zeroemb_idx": "2000"}, "outside a vocabulary of 1025"),
        ({"group_size": 5}, "config and weights are not of the same checkpoint"),
        ({"vocab_size": 8}, "has shape"),
    ],
)
def test_a_language_model_that_does_not_fit_its_config(
    model: Path, tokenizer: Path, changes: dict[str, Any], expected: str
) -> None:
    configure(model, **changes)
    text = complaint(model, tokenizer)
    assert expected in text
    assert str(model) in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"d_model": None}, "'d_model' is missing"),
        ({"d_model": 62}, "is not a multiple of"),
        ({"d_model": 128}, "config and weights are not of the same checkpoint"),
        ({"encoder_layers": 9}, "has no tensor"),
        ({"num_quantizers": 24}, "has no tensor"),
        ({"num_quantizers": 4}, "uses 8 codebooks and"),
        ({"codebook_size": [1024, 512, 128]}, "has shape"),
        ({"codebook_size": "1024"}, "'codebook_size' is '1024'"),
        ({"ln_type": "RMSNorm"}, "only 'LayerNorm' is supported"),
        ({"activation_function": "relu"}, "only 'gelu' is supported"),
        ({"vocoder_attn_window_size": [40]}, "not two numbers of at least -1"),
        ({"decoder_causal": False}, "'decoder_causal' is False; only True is supported"),
        ({"nfft": 961}, "'nfft' (961) and hop_length"),
    ],
)
def test_an_audio_tokenizer_that_does_not_fit_its_config(
    model: Path, tokenizer: Path, changes: dict[str, Any], expected: str
) -> None:
    configure(tokenizer, **changes)
    text = complaint(model, tokenizer)
    assert expected in text
    assert str(tokenizer) in text


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("model", "model.layers.1.self_attn.q_proj.bias"),
        ("model", "lm_head.weight"),
        ("model", "speech_embeddings.7.weight"),
        ("model", "local_transformer_lm_heads.3.weight"),
        ("model", "hidden_states_downcast.weight"),
        ("tokenizer", "encoder.quantizer.vq.layers.5._codebook.embed"),
        ("tokenizer", "decoder.vocoder.head.out.bias"),
        ("tokenizer", "encoder.down_sample_layer.0.weight"),
    ],
)
def test_a_tensor_that_is_missing_misshapen_or_of_another_type(
    model: Path, tokenizer: Path, part: str, name: str
) -> None:
    path = {"model": model, "tokenizer": tokenizer}[part] / "model.safetensors"
    tensors = read_tensors(path)
    dtype, values = tensors.pop(name)
    write_safetensors(path, tensors)
    assert f"has no tensor {name!r}" in complaint(model, tokenizer)
    write_safetensors(path, tensors | {name: (dtype, values[..., :-1].copy())})
    assert f"{name!r} has shape" in complaint(model, tokenizer)
    write_safetensors(path, tensors | {name: ("I64", values.astype(np.int64))})
    assert f"{name!r} is stored as I64" in complaint(model, tokenizer)


@pytest.mark.parametrize("part", ["model", "tokenizer"])
def test_a_truncated_file(model: Path, tokenizer: Path, part: str) -> None:
    path = {"model": model, "tokenizer": tokenizer}[part] / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert f"{path} is truncated: it has" in complaint(model, tokenizer)
    path.write_bytes(b"")
    assert str(path) in complaint(model, tokenizer)
    path.unlink()
    assert "holds no model.safetensors" in complaint(model, tokenizer)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return make_checkpoint(tmp_path_factory.mktemp("sharded"), "second")


def test_a_missing_shard(sharded: Checkpoint, tmp_path: Path) -> None:
    model = Path(shutil.copytree(sharded.model, tmp_path / "model"))
    shard = min(model.glob("model-*.safetensors"))
    shard.unlink()
    text = complaint(model, sharded.tokenizer)
    assert text.startswith(f"{shard} is missing, though model.safetensors.index.json lists it")


def test_checkpoints_that_are_not_made_for_each_other(
    sharded: Checkpoint, model: Path, tokenizer: Path
) -> None:
    assert "they are not made for each other" in complaint(model, sharded.tokenizer)
    assert "they are not made for each other" in complaint(sharded.model, tokenizer)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("merges.txt", "merges.txt"),
        ("vocab.json", "vocab.json"),
        ("tokenizer_config.json", "lacks the token <|endoftext|>"),
    ],
)
def test_a_text_tokenizer_with_a_part_missing(
    model: Path, tokenizer: Path, name: str, expected: str
) -> None:
    """Without tokenizer.json, which holds all of it, every other file is needed."""
    (model / "tokenizer.json").unlink()
    (model / name).unlink()
    assert expected in complaint(model, tokenizer)


def test_a_text_tokenizer_without_merges(model: Path, tokenizer: Path) -> None:
    path = model / "tokenizer.json"
    raw = json.loads(path.read_text("utf-8"))
    raw["model"]["merges"] = []
    path.write_text(json.dumps(raw), "utf-8")
    assert "merges" in complaint(model, tokenizer)


def test_an_unknown_recipe() -> None:
    with pytest.raises(MimoEdgeError, match=r"there is no recipe 'tiny'; choose one of reference"):
        get_recipe("tiny")
