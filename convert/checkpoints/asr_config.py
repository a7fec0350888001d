"""MiMo-V2.5-ASR among the checkpoints: how it is told from MiMo-Audio, and what is assumed of it.

It has MiMo-Audio's layout (tensors, `config.json`, text and audio tokenizer), and was trained to
write down what is said and nothing else. Its own repository could not be read when this was
written. What follows is what its public ports agree on (sglang-omni, vLLM, llama.cpp's draft
#23145, CrispASR, MLX, and logs of programs that read its `config.json`):

- `architectures` is ["MiMoV2ASRForCausalLM"] and `model_type` "qwen2".
- The keys of MiMo-Audio are at the top, and count. Those of the patch encoder are there once more
  in `audio_config`, with some that say how it would be built otherwise: with a part of each head
  rotated, more layers behind it, no norm at its end, or another audio tokenizer.
- Weights are float32 in the released files and bfloat16 in copies; copies may lack
  `local_transformer*` and `hidden_states_downcast`, which only speaking needs.

What contradicts any of it is refused, since the answer would be noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mimo_edge.bundle.manifest import Prompts
from mimo_edge.bundle.untrusted_json import shown

from .config_keys import ConfigKeys

__all__ = ["check_audio_config", "prompts_of"]

_ARCHITECTURE = "MiMoV2ASRForCausalLM"
_NEWER = "this is a newer kind of checkpoint than this mimo_edge converts"
_REPEATED = (
    *("speech_vocab_size", "speech_zeroemb_idx", "group_size", "audio_channels"),
    *("input_local_layers", "input_local_dim", "input_full_attention", "rope_theta"),
)
"""Keys that `audio_config` has once more."""


def prompts_of(raw: Mapping[str, Any]) -> Prompts:
    """Whose prompts a checkpoint with this `config.json` was trained with."""
    names = raw.get("architectures")
    is_asr = isinstance(names, list) and _ARCHITECTURE in names
    return "mimo-v2.5-asr" if is_asr else "mimo-audio"


def check_audio_config(keys: ConfigKeys, *, heads: int, width: int, hidden: int) -> None:
    """Compare what MiMo-V2.5-ASR says of its patch encoder with how one is built here: `heads` of
    attention, embeddings of `width`, and `hidden` numbers that the backbone gets.

    Raises:
        MimoEdgeError: names the first key that asks for something else.
    """
    keys.choice("model_type", "qwen2")
    keys.choice("attention_bias", True)
    keys.choice("add_input_local_transformer", True)
    inner = keys.raw.get("audio_config")
    if inner is None:
        return
    if not isinstance(inner, dict):
        raise keys.fail("audio_config", f"is {shown(inner)}, not a JSON object.")
    wanted: dict[str, Any] = {
        "input_local_attn_heads": heads,
        "input_local_head_dim": width // heads,
        "input_local_intermediate_size": 4 * width,
        "out_hidden_size": hidden,
        "partial_rotary_factor": 1,
        "projection_layers": 1,
        "add_post_norm": True,
        "tokenizer_version": "v1",
        **{key: keys.raw[key] for key in _REPEATED if keys.raw.get(key) is not None},
    }
    for key, value in wanted.items():
        # A dash list of one number may be that number.
        if inner.get(key) is not None and str(inner[key]) != str(value) and inner[key] != value:
            raise keys.fail(
                "audio_config",
                f"has the {key} {shown(inner[key])}; only {shown(value)} is supported: {_NEWER}.",
            )
