"""A MiMo-Audio checkpoint in the layout of MiMo-V2.5-ASR, as its public ports describe that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .safetensors_files import Tensors, read_tensors, write_safetensors

__all__ = ["repackaged"]

_SPEAKING = ("local_transformer", "hidden_states_downcast", "speech_embeddings_to_local")
_REPEATED = (
    *("speech_vocab_size", "speech_zeroemb_idx", "group_size", "audio_channels"),
    *("input_local_layers", "input_local_dim", "input_full_attention", "rope_theta"),
)


def repackaged(
    model: Path,
    tokenizer: Path,
    out: Path,
    *,
    speaks: bool = False,
    dtype: str = "F32",
    inner: Mapping[str, Any] | None = None,
    **changes: Any,
) -> tuple[Path, Path]:
    """Folders (model, audio tokenizer) under `out`.

    With `speaks` the tensors that only speaking needs are there. `inner` are other values in
    `audio_config`, `changes` at the top of `config.json`.
    """
    folders = out / "MiMo-V2.5-ASR", out / "MiMo-Audio-Tokenizer"
    shutil.copytree(model, folders[0], ignore=shutil.ignore_patterns("*.safetensors*"))
    _write_config(folders[0] / "config.json", inner or {}, changes)
    tensors: Tensors = {}
    for path in sorted(model.glob("*.safetensors")):
        tensors |= read_tensors(path)
    kept = {
        name: _as(dtype, tensor)
        for name, tensor in tensors.items()
        if speaks or not name.startswith(_SPEAKING)
    }
    write_safetensors(folders[0] / "model.safetensors", kept)
    shutil.copytree(tokenizer, folders[1])
    return folders


def _write_config(path: Path, inner: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    config = json.loads(path.read_text("utf-8"))
    heads, width = config["local_attn_heads"], config["input_local_dim"]
    config |= {
        "architectures": ["MiMoV2ASRForCausalLM"],
        "model_type": "qwen2",
        "attention_bias": True,
        "add_input_local_transformer": True,
        "add_speech_sosp_eosp": False,
        "n_rvq": 20,
        "audio_config": {
            **{key: config[key] for key in _REPEATED},
            "tokenizer_version": "v1",
            "input_local_attn_heads": heads,
            "input_local_head_dim": width // heads,
            "input_local_intermediate_size": 4 * width,
            "input_local_hidden_dropout": 0.1,
            "out_hidden_size": config["hidden_size"],
            "partial_rotary_factor": 1.0,
            "projection_layers": 1,
            "add_post_norm": True,
            "audio_segment_size": 6000,
            **inner,
        },
        **changes,
    }
    path.write_text(json.dumps(config), "utf-8")


def _as(dtype: str, tensor: tuple[str, np.ndarray]) -> tuple[str, np.ndarray]:
    stored, values = tensor
    if dtype == stored:
        return tensor
    assert (stored, dtype) == ("BF16", "F32")
    return dtype, (values.astype(np.uint32) << 16).view(np.float32)
