"""The backbone's GGUF: loads in llama.cpp, computes what the reference computes."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import pytest

from convert.backbone.matrix_types import BACKBONE_TYPES
from convert.backbone.quantize import quantize_gguf
from convert.backbone.writing import backbone_bytes, expected_backbone_tensors, write_backbone
from convert.checkpoints.checkpoint import Checkpoint
from convert.checkpoints.configs import LanguageModelConfig
from convert.checkpoints.text_tokenizer import TextTokenizer, read_text_tokenizer
from mimo_edge.errors import MimoEdgeError
from tests.tools.imatrix_files import random_sums, write_imatrix
from tests.tools.llama import Llama, llama
from tests.tools.safetensors_files import (
    GOLDEN,
    LANGUAGE_MODEL,
    bfloat16_bits,
    copy_language_model,
    read_tensors,
    write_checkpoint,
    write_safetensors,
)

Inputs = tuple[Checkpoint, LanguageModelConfig, TextTokenizer]


def read_inputs(folder: Path) -> Inputs:
    checkpoint = Checkpoint.open(folder)
    config = LanguageModelConfig.parse(checkpoint.config, folder / "config.json")
    return checkpoint, config, read_text_tokenizer(folder, vocab_size=config.vocab_size)


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return read_inputs(LANGUAGE_MODEL)


@pytest.fixture(scope="module")
def float_gguf(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gguf") / "backbone.gguf"
    write_backbone(*inputs, out, type="f32", name="tiny")
    return out


@pytest.fixture(scope="module")
def model(float_gguf: Path) -> Iterator[Llama]:
    with llama(float_gguf) as opened:
        yield opened


def random_model(folder: Path, dtype: str = "BF16", scale: float = 0.02, **changes: Any) -> Path:
    """A random backbone beside the golden tokenizer; `changes` go into the config."""
    copy_language_model(folder, weights=False)
    raw = json.loads((folder / "config.json").read_text()) | changes
    config = LanguageModelConfig.parse(raw, folder / "config.json")
    casts: dict[str, Callable[..., Any]] = {
        "BF16": bfloat16_bits,
        "F16": np.float16,
        "F32": np.float32,
    }
    generator = np.random.default_rng(0)
    tensors = {}
    for name, shape in expected_backbone_tensors(config).items():
        values = scale * generator.standard_normal(shape, dtype=np.float32)
        tensors[name] = (dtype, casts[dtype](values))
    return write_checkpoint(folder, tensors, config=raw)


def gguf_tensors(config: LanguageModelConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name in a GGUF → (name in the checkpoint, shape), as llama.cpp's own converter names them."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    return {
        str(names.get_name(name, try_suffixes=(".weight", ".bias"))): (name, shape)
        for name, shape in expected_backbone_tensors(config).items()
    }


def tensors_of(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


@pytest.mark.parametrize("type", BACKBONE_TYPES)
def test_every_type_converts_and_loads(inputs: Inputs, tmp_path: Path, type: str) -> None:
    told: list[tuple[str, int, int]] = []
    out = tmp_path / "backbone.gguf"
    write_backbone(
        *inputs, out, type=type, name="tiny", threads=1, progress=lambda *a: told.append(a)
    )
    assert list(tmp_path.iterdir()) == [out]
    fields = gguf.GGUFReader(out).fields
    assert fields["general.file_type"].contents() == BACKBONE_TYPES[type].file_type
    assert fields["general.name"].contents() == "tiny"
    assert "tokenizer.chat_template" not in fields
    for stage in {stage for stage, _, _ in told}:
        steps = [(done, total) for name, done, total in told if name == stage]
        assert steps == sorted(steps) and steps[-1][0] == steps[-1][1]
    with llama(out) as loaded:
        assert (loaded.n_vocab, loaded.n_embd) == (768, 256)
        hidden, logits = loaded.evaluate(np.load(GOLDEN / "golden.npz")["embeds/asr"])
        assert np.isfinite(hidden).all() and np.isfinite(logits).all()
    sizes = {name: tensor.n_bytes for name, tensor in tensors_of(out).items()}
    assert sizes == backbone_bytes(inputs[1], type)


@pytest.mark.parametrize("type", ["q6_k", "q5_k_m", "q4_k_m", "q4_0", "q8_0"])
def test_types_of_llama_cpp_are_stored_as_it_would(
    inputs: Inputs, tmp_path: Path, type: str
) -> None:
    write_backbone(*inputs, tmp_path / "ours.gguf", type=type, name="tiny", threads=1)
    write_backbone(*inputs, tmp_path / "source.gguf", type="bf16", name="tiny")
    theirs = tmp_path / "theirs.gguf"
    quantize_gguf(
        tmp_path / "source.gguf",
        theirs,
        file_type=BACKBONE_TYPES[type].file_type,
        tensor_types={},
        tensor_bytes={},
        imatrix=None,
        threads=1,
        progress=lambda done, total: None,
    )
    ours = {name: t.tensor_type for name, t in tensors_of(tmp_path / "ours.gguf").items()}
    assert ours == {name: t.tensor_type for name, t in tensors_of(theirs).items()}


def test_float32_is_the_checkpoint_bit_for_bit(inputs: Inputs, float_gguf: Path) -> None:
    tensors = tensors_of(float_gguf)
    names = gguf_tensors(inputs[1])
    assert tensors.keys() == names.keys()
    for name, (upstream, shape) in names.items():
        assert tensors[name].data.dtype == np.float32
        np.testing.assert_array_equal(
            tensors[name].data.reshape(shape), inputs[0].array(upstream), name
        )


def test_bfloat16_is_copied_and_float16_rounded(inputs: Inputs, tmp_path: Path) -> None:
    upstream = "model.layers.0.mlp.up_proj.weight"
    for type in ("bf16", "f16"):
        write_backbone(*inputs, tmp_path / type, type=type, name="tiny")
    bits = tensors_of(tmp_path / "bf16")["blk.0.ffn_up.weight"].data.view(np.uint16)
    np.testing.assert_array_equal(bits.reshape(512, 256), inputs[0].raw(upstream))
    half = tensors_of(tmp_path / "f16")["blk.0.ffn_up.weight"].data
    np.testing.assert_array_equal(half, inputs[0].array(upstream).astype(np.float16))
    assert tensors_of(tmp_path / "bf16")["blk.0.attn_norm.weight"].data.dtype == np.float32


@pytest.mark.parametrize("name", ["asr", "tts_en", "dialogue", "dialogue_multi"])
def test_hidden_state_and_logits_are_the_references(model: Llama, name: str) -> None:
    golden = np.load(GOLDEN / "golden.npz")
    hidden, logits = model.evaluate(golden[f"embeds/{name}"])
    for ours, theirs in ((hidden, golden[f"hidden/{name}"]), (logits, golden[f"logits/{name}"])):
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def prompts_without_interleaving() -> dict[str, list[Any]]:
    prompts = json.loads((GOLDEN / "golden.json").read_text(encoding="utf-8"))["prompts"]
    return {
        name: prompt["pieces"]
        for name, prompt in prompts.items()
        if not any("interleaved" in piece for piece in prompt["pieces"])
    }


@pytest.mark.parametrize("name", prompts_without_interleaving())
def test_text_becomes_the_references_ids(model: Llama, inputs: Inputs, name: str) -> None:
    special = inputs[2].special_tokens
    pattern = re.compile("(" + "|".join(map(re.escape, special)) + ")")
    ids: list[int] = []
    for piece in prompts_without_interleaving()[name]:
        if isinstance(piece, dict):
            empty = [special["<|empty|>"]] * piece["audio_patches"]
            ids += [special["<|sosp|>"], *empty, special["<|eosp|>"]]
            continue
        for part in filter(None, pattern.split(piece)):
            ids += [special[part]] if part in special else model.tokenize(part)
    golden = np.load(GOLDEN / "golden.npz")[f"prompt/{name}"][0, ::4]
    assert ids == golden.tolist()


def test_text_from_users_never_becomes_a_control_token(
    inputs: Inputs, tmp_path: Path, model: Llama
) -> None:
    special = inputs[2].special_tokens
    for text, id_ in special.items():
        ids = model.tokenize(f"a{text}b {text}")
        assert not set(ids) & set(special.values())
        assert model.tokenize(text, special=True) == [id_]
    folder = copy_language_model(tmp_path / "m")
    raw = json.loads((folder / "tokenizer.json").read_text())
    raw["added_tokens"].append({"id": 730, "content": "<think>", "special": False})
    (folder / "tokenizer.json").write_text(json.dumps(raw))
    write_backbone(*read_inputs(folder), tmp_path / "think.gguf", type="bf16", name="tiny")
    with llama(tmp_path / "think.gguf", vocab_only=True) as loaded:
        assert 730 not in loaded.tokenize("<think>\n")
        assert loaded.tokenize("[PAD731]", special=True) != [731]


def test_tied_embeddings_and_other_widths(tmp_path: Path) -> None:
    folder = random_model(
        tmp_path / "m", hidden_size=96, num_attention_heads=3, head_dim=32, intermediate_size=160,
        tie_word_embeddings=True,
    )  # fmt: skip
    inputs = read_inputs(folder)
    for type in ("f32", "q4_k_m", "q8_0"):
        write_backbone(*inputs, tmp_path / type, type=type, name="tiny", threads=1)
        assert "output.weight" not in tensors_of(tmp_path / type)
        with llama(tmp_path / type) as loaded:
            _, logits = loaded.evaluate(np.ones((3, 96), np.float32))
            assert np.isfinite(logits).all()


@pytest.mark.parametrize("dtype", ["F16", "F32"])
def test_other_source_dtypes(tmp_path: Path, dtype: str) -> None:
    inputs = read_inputs(random_model(tmp_path / "m", dtype))
    exact = inputs[0].array("lm_head.weight")
    for type in ("f32", "bf16", "q4_0"):
        write_backbone(*inputs, tmp_path / type, type=type, name="tiny", threads=1)
    np.testing.assert_array_equal(tensors_of(tmp_path / "f32")["output.weight"].data, exact)
    bits = tensors_of(tmp_path / "bf16")["output.weight"].data.view(np.uint16)
    expected = exact.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(bits.reshape(expected.shape), expected)


def imatrix_names(config: LanguageModelConfig) -> dict[str, int]:
    return {
        name: shape[-1]
        for name, (_, shape) in gguf_tensors(config).items()
        if name.startswith("blk.") and len(shape) == 2
    }


def test_importance_matrix_changes_the_weights(inputs: Inputs, tmp_path: Path) -> None:
    names = imatrix_names(inputs[1])
    written = []
    for file, legacy in (("none", None), ("m.dat", True), ("m.gguf", False)):
        imatrix = None
        if legacy is not None:
            imatrix = tmp_path / file
            write_imatrix(imatrix, random_sums(names), legacy=legacy)
        out = tmp_path / f"{file}.out"
        write_backbone(*inputs, out, type="q4_0", imatrix=imatrix, name="tiny", threads=1)
        written.append(tensors_of(out)["blk.0.ffn_up.weight"].data.copy())
    plain, from_dat, from_gguf = written
    assert (plain != from_dat).any()
    np.testing.assert_array_equal(from_dat, from_gguf)


def test_importance_matrix_of_another_model(inputs: Inputs, tmp_path: Path) -> None:
    names = imatrix_names(inputs[1])
    path = tmp_path / "imatrix.gguf"

    def message() -> str:
        with pytest.raises(MimoEdgeError) as caught:
            write_backbone(*inputs, tmp_path / "o", type="q4_0", imatrix=path, name="x", threads=1)
        assert not (tmp_path / "o").exists()
        return str(caught.value)

    assert "is not a file" in message()
    write_imatrix(path, random_sums(names | {"blk.7.ffn_up.weight": 256}), legacy=False)
    assert "'blk.7.ffn_up.weight', which this model lacks" in message()
    write_imatrix(path, random_sums(names | {"blk.0.ffn_up.weight": 64}), legacy=False)
    assert "has 64 values and the model 256 columns" in message()
    write_imatrix(path, random_sums({"blk.0.ffn_up.weight": 256}), legacy=False)
    assert "lacks 'blk.0.attn_q.weight'" in message()
    for garbage in (b"", b"hello world, not a matrix", b"GGUF but no more", bytes(400)):
        path.write_bytes(garbage)
        assert "is not an importance matrix" in message()


def test_what_does_not_fit(inputs: Inputs, tmp_path: Path) -> None:
    checkpoint, config, tokenizer = inputs
    out = tmp_path / "o"

    def message(config: LanguageModelConfig, tokenizer: TextTokenizer, type: str) -> str:
        with pytest.raises(MimoEdgeError) as caught:
            write_backbone(checkpoint, config, tokenizer, out, type=type, name="x")
        assert not list(tmp_path.iterdir())
        return str(caught.value)

    assert "no backbone type 'q2_z'" in message(config, tokenizer, "q2_z")
    assert "has 768 entries" in message(replace(config, vocab_size=760), tokenizer, "f32")
    assert "2 heads of 64 and a hidden size of 256" in message(
        replace(config, head_dim=64), tokenizer, "f32"
    )
    assert "no tensor 'model.layers.2.input_layernorm.weight'" in message(
        replace(config, num_hidden_layers=3), tokenizer, "f32"
    )
    assert "'model.layers.0.mlp.gate_proj.weight' has shape" in message(
        replace(config, intermediate_size=500), tokenizer, "f32"
    )


def test_widths_and_values_a_type_cannot_hold(tmp_path: Path) -> None:
    folder = random_model(tmp_path / "m", hidden_size=40, head_dim=20, intermediate_size=48)
    with pytest.raises(MimoEdgeError, match=r"token_embd\.weight has rows of 40"):
        write_backbone(*read_inputs(folder), tmp_path / "o", type="q4_k_m", name="x")
    folder = random_model(tmp_path / "big", scale=1e6)
    with pytest.raises(MimoEdgeError, match="which F16 cannot hold"):
        write_backbone(*read_inputs(folder), tmp_path / "o", type="f16", name="x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big", "m"]


@pytest.mark.parametrize("type", ["bf16", "f32", "q8_0"])
def test_values_that_are_no_numbers(tmp_path: Path, type: str) -> None:
    folder = copy_language_model(tmp_path / "m")
    path = folder / "model.safetensors"
    name = "model.layers.1.mlp.up_proj.weight"
    tensors = read_tensors(path)
    values = tensors[name][1].copy()
    values[3, 5] = 0x7FC0  # NaN as bfloat16
    write_safetensors(path, tensors | {name: ("BF16", values)})
    with pytest.raises(MimoEdgeError, match=rf"{name}' holds .* the weights are damaged"):
        write_backbone(*read_inputs(folder), tmp_path / "out.gguf", type=type, name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
