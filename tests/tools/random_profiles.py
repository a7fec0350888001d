"""What the random checkpoints are like: named profiles over the golden checkpoint's configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a random checkpoint is like; config keys not named are the golden checkpoint's."""

    language: Mapping[str, Any] = field(default_factory=dict)
    audio: Mapping[str, Any] = field(default_factory=dict)
    language_dtype: str = "BF16"
    audio_dtype: str = "F32"
    shard_bytes: int | None = None
    """Of the language model; None: one file."""
    text_entries: int = 700
    """Entries of the text vocabulary before its control tokens."""
    dropped_tokens: tuple[str, ...] = ()
    fast_tokenizer: bool = True
    merges_as_text: bool = False
    louder: Mapping[str, float] = field(default_factory=dict)
    """Control token → factor on its row of the text head: how easily it wins."""
    repeated_noise: bool = False


LOUDER = {"<|empty|>": 4.8, "<|im_end|>": 1.7, "<|eostm|>": 1.7}
"""As in the golden checkpoint: speech in every few steps, and a stop now and then."""

SECOND = Profile(
    language=dict(
        hidden_size=192,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=416,
        vocab_size=800,
        rope_theta=500000.0,
        rms_norm_eps=1e-5,
        max_position_embeddings=2048,
        group_size=2,
        audio_channels=4,
        speech_vocab_size=257,
        speech_zeroemb_idx="256",
        delay_pattern="0-1-1-3",
        local_dim=96,
        local_layers=3,
        local_attn_heads=4,
        local_ffn_dim=160,
        input_local_dim=64,
        input_local_layers=1,
    ),
    audio=dict(
        sampling_rate=16000,
        nfft=800,
        window_size=640,
        hop_length=200,
        n_mels=80,
        fmin=20,
        fmax=7600,
        d_model=96,
        encoder_layers=3,
        encoder_skip_layer_id=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=160,
        encoder_attn_window_size=[20, 6],
        decoder_layers=2,
        decoder_attention_heads=6,
        decoder_ffn_dim=224,
        decoder_attn_window_size=[24, -1],
        vocoder_dim=64,
        vocoder_num_layers=3,
        vocoder_attention_heads=2,
        vocoder_intermediate_dim=96,
        vocoder_attn_window_size=[12, 5],
        num_quantizers=7,
        codebook_size=[256, 256, 256, 256, 64],
        rope_theta=20000,
    ),
    audio_dtype="BF16",
    shard_bytes=1_000_000,
    dropped_tokens=("<|sostm|>", "<|eot|>"),
    merges_as_text=True,
    louder=LOUDER,
)
"""Differs from the released model wherever the config allows it."""

BARE = Profile(
    language=dict(
        group_size=3,
        audio_channels=2,
        speech_vocab_size="129",
        speech_zeroemb_idx=128,
        delay_pattern="1",
        input_full_attention=False,
        vocab_size=736,
    ),
    audio=dict(
        avg_pooler=1,
        encoder_skip_layer_id=None,
        encoder_causal=True,
        encoder_attn_window_size=[16, 4],
        decoder_attn_window_size=[-1, 0],
        vocoder_attn_window_size=[-1, 3],
        num_quantizers=3,
        codebook_size=[128],
    ),
    language_dtype="F32",
    fast_tokenizer=False,
    louder=LOUDER,
)
"""What the released model has and a config may go without: pooling, skip layer, tokenizer.json."""

SMALL = Profile(
    language=dict(
        hidden_size=1024,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        intermediate_size=2816,
        vocab_size=32000,
        local_dim=512,
        local_layers=4,
        local_attn_heads=16,
        local_ffn_dim=1024,
        input_local_dim=512,
        input_local_layers=2,
    ),
    audio=dict(
        d_model=512,
        encoder_layers=6,
        encoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_layers=6,
        decoder_attention_heads=8,
        decoder_ffn_dim=2048,
        vocoder_dim=128,
        vocoder_num_layers=4,
        vocoder_attention_heads=8,
        vocoder_intermediate_dim=512,
    ),
    shard_bytes=100_000_000,
    text_entries=31_960,
    repeated_noise=True,
)
"""About 540 MB, for tests of memory and time."""

FULL = Profile(
    language=dict(
        hidden_size=4096,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        intermediate_size=11008,
        vocab_size=151680,
        local_dim=1024,
        local_layers=16,
        local_attn_heads=64,
        local_ffn_dim=4096,
        input_local_dim=1024,
        input_local_layers=6,
    ),
    audio=dict(
        d_model=1280,
        encoder_layers=32,
        encoder_attention_heads=20,
        encoder_ffn_dim=5120,
        decoder_layers=32,
        decoder_attention_heads=20,
        decoder_ffn_dim=5120,
        vocoder_dim=256,
        vocoder_num_layers=16,
        vocoder_attention_heads=16,
        vocoder_intermediate_dim=1024,
    ),
    shard_bytes=4_000_000_000,
    text_entries=151_643,
    repeated_noise=True,
)
"""The released model's dimensions, about 21 GB."""

ASR = Profile(
    language=dict(
        architectures=["MiMoV2ASRForCausalLM"],
        attention_bias=True,
        add_input_local_transformer=True,
        add_speech_sosp_eosp=False,
        n_rvq=20,
    ),
    language_dtype="F32",
    shard_bytes=1_000_000,
    louder=LOUDER,
)
"""MiMo-V2.5-ASR in the golden checkpoint's dimensions; `tests.tools.asr_checkpoint` adds to it."""

PROFILES: Mapping[str, Profile] = {
    "tiny": Profile(louder=LOUDER),
    "second": SECOND,
    "bare": BARE,
    "small": SMALL,
    "full": FULL,
    "asr": ASR,
}
