"""config.json as transformers 4 and 5 write it, and as nobody should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from convert.checkpoints.configs import AudioTokenizerConfig, LanguageModelConfig
from convert.checkpoints.source import open_source
from mimo_edge.errors import MimoEdgeError
from tests.tools.safetensors_files import (
    AUDIO_TOKENIZER,
    LANGUAGE_MODEL,
    copy_audio_tokenizer,
    copy_language_model,
)

DATA = Path(__file__).parents[2] / "data"
DEMO = Path(__file__).parents[3] / "models" / "demo-checkpoint" / "MiMo-Audio-Demo"
FILE = Path("model/config.json")

CONFIGS = {LanguageModelConfig: LANGUAGE_MODEL, AudioTokenizerConfig: AUDIO_TOKENIZER}
"""Schema → a folder whose config is right."""


def read(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return config


def language(**changes: Any) -> LanguageModelConfig:
    return LanguageModelConfig.parse(read(LANGUAGE_MODEL) | changes, FILE)


def audio(**changes: Any) -> AudioTokenizerConfig:
    return AudioTokenizerConfig.parse(read(AUDIO_TOKENIZER) | changes, FILE)


def complaint(parse: Any, **changes: Any) -> str:
    with pytest.raises(MimoEdgeError) as caught:
        parse(**changes)
    text = str(caught.value)
    assert text.startswith(f"{FILE}: ") and text.endswith(".")
    assert text.isprintable() and len(text) < 300
    return text


def test_a_config_of_transformers_5_says_the_same() -> None:
    path = DATA / "checkpoints" / "config-of-transformers-5.json"
    found = LanguageModelConfig.parse(json.loads(path.read_text("utf-8")), path)
    assert found == LanguageModelConfig.parse(read(DEMO), FILE)


def test_a_checkpoint_of_transformers_5_opens(tmp_path: Path) -> None:
    model, tokenizer = copy_language_model(tmp_path / "m"), copy_audio_tokenizer(tmp_path / "t")
    for folder in (model, tokenizer):
        config = read(folder)
        config["rope_parameters"] = {"rope_theta": config.pop("rope_theta"), "rope_type": "default"}
        config["dtype"] = config.pop("torch_dtype", "float32")
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
    source = open_source(model, tokenizer)
    assert source.language == language()
    assert source.audio == audio()


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_scaling": {"rope_type": "default"}},
        {"rope_scaling": {"type": "default"}},
        {"rope_scaling": {}},
        {"rope_theta": None, "rope_scaling": {"rope_theta": 640000, "rope_type": "default"}},
        {"rope_parameters": {"rope_theta": 640000.0, "partial_rotary_factor": 1.0}},
        {"rope_parameters": None},
        {"layer_types": ["full_attention"] * 2, "sliding_window": 4096, "max_window_layers": 28},
        {"use_sliding_window": None, "dtype": "bfloat16", "quantization_config": None},
    ],
)
def test_other_spellings_of_what_is_computed(changes: dict[str, Any]) -> None:
    assert language(**changes) == language()


def test_a_codebook_size_for_every_quantizer() -> None:
    assert audio(codebook_size=None, num_quantizers=3).codebook_sizes == (1024,) * 3
    assert audio(codebook_size=256, num_quantizers=2).codebook_sizes == (256,) * 2
    assert audio(codebook_size=[512, 128], num_quantizers=4).codebook_sizes == (512, 128, 128, 128)
    assert audio(codebook_size=[512, 128], num_quantizers=1).codebook_sizes == (512,)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "'rope_scaling' is {'rope_type'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "only the type 'default'"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "only the type 'default'"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "the same for all layers"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "rotates a part of each head (0.5)"),
        ({"partial_rotary_factor": 0.5}, "rotates a part of each head (0.5)"),
        ({"rope_parameters": {"rope_theta": 10000.0}}, "'rope_theta' says 640000.0"),
        ({"rope_parameters": [1]}, "not a JSON object"),
        ({"rope_theta": None}, "'rope_theta' is missing"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "has 'sliding_attention'"),
        ({"use_sliding_window": True}, "only False is supported"),
        ({"hidden_act": "gelu"}, "only 'silu' is supported"),
        ({"quantization_config": {"quant_method": "awq"}}, "use the checkpoint in bfloat16"),
    ],
)
def test_what_would_change_the_computation(changes: dict[str, Any], expected: str) -> None:
    assert expected in complaint(language, **changes)


@pytest.mark.parametrize(
    ("parse", "changes", "expected"),
    [
        (language, {"delay_pattern": "0-1-2-3-4-5-6-1000000000"}, "'delay_pattern' has 1000000000"),
        (language, {"delay_pattern": "9" * 5000}, "must be at most 256"),
        (language, {"delay_pattern": -1}, "not numbers joined by dashes"),
        (language, {"group_size": True}, "'group_size' is True, not an integer"),
        (language, {"num_hidden_layers": 10**21}, "must be at most 512"),
        (language, {"hidden_size": "256"}, "'hidden_size' is '256', not an integer"),
        (language, {"hidden_size": [256]}, "'hidden_size' is [256], not an integer"),
        (language, {"hidden_size": 256.0}, "'hidden_size' is 256.0, not an integer"),
        (language, {"rms_norm_eps": float("nan")}, "not a finite number"),
        (language, {"rms_norm_eps": -1e-6}, "must be more than 0"),
        (language, {"rope_theta": float("inf")}, "not a finite number"),
        (language, {"tie_word_embeddings": 0}, "not true or false"),
        (language, {"max_position_embeddings": 1}, "must be at least 16"),
        (language, {"input_local_dim": []}, "'input_local_dim' is [], not an integer"),
        (audio, {"sampling_rate": 1}, "'sampling_rate' is 1, and must be at least 1000"),
        (audio, {"vocoder_attn_window_size": [10**21, 10]}, "has 1000000000000000000000"),
        (audio, {"encoder_attn_window_size": [True, 1]}, "has True, not an integer"),
        (audio, {"decoder_attn_window_size": []}, "not two numbers of at least -1"),
        (audio, {"codebook_size": []}, "'codebook_size'"),
        (audio, {"codebook_size": [1024, "128"]}, "has '128', not an integer"),
        (audio, {"codebook_size": 10**9}, "must be at most"),
        (audio, {"num_quantizers": 10**12}, "'num_quantizers' is 1000000000000, and"),
        (audio, {"encoder_skip_layer_id": 99}, "past the last of 4 layers"),
        (audio, {"encoder_skip_layer_id": -1}, "must be at least 0"),
        (audio, {"decoder_kernel_size": 1}, "is less than decoder_stride_size (2)"),
        (audio, {"window_size": 961}, "is larger than nfft (960)"),
        (audio, {"fmin": 13000}, "must lie above fmin (13000)"),
        (audio, {"fmax": 24000}, "at most at half the sampling_rate"),
        (audio, {"hop_length": 0}, "must be at least 1"),
        (audio, {"rope_type": ["default"]}, "only 'default' is supported"),
    ],
)
def test_a_value_that_no_model_has(parse: Any, changes: dict[str, Any], expected: str) -> None:
    assert expected in complaint(parse, **changes)


@pytest.mark.parametrize("schema", CONFIGS, ids=lambda schema: schema.__name__)
def test_any_value_of_any_key_is_taken_or_refused_in_a_sentence(schema: Any) -> None:
    right = read(CONFIGS[schema])
    values: tuple[object, ...] = (
        0,
        -1,
        1,
        10**9,
        10**21,
        1.5,
        float("nan"),
        True,
        None,
        "",
        "3",
        "\ud800",
        [],
        [1],
        {},
    )
    for key in (*right, "rope_parameters", "rope_scaling", "layer_types"):
        for value in values:
            try:
                schema.parse(right | {key: value}, FILE)
            except MimoEdgeError as error:
                text = str(error)
                assert text.startswith(f"{FILE}: '") and text.endswith(".") and text.isprintable()
