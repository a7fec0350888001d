"""Dimensions of the released checkpoints, for the sizes that `--help` prints."""

from __future__ import annotations

from pathlib import Path

from .checkpoints.configs import AudioTokenizerConfig, LanguageModelConfig

__all__ = ["RELEASED_AUDIO", "RELEASED_LANGUAGE"]

RELEASED_LANGUAGE = LanguageModelConfig.parse(
    {
        "hidden_size": 4096,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 11008,
        "vocab_size": 151680,
        "rope_theta": 640000,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 8192,
        "group_size": 4,
        "audio_channels": 8,
        "delay_pattern": "0-1-2-3-4-5-6-7",
        "speech_vocab_size": "1025-1025-129-129-129-129-129-129",
        "speech_zeroemb_idx": "1024-1024-128-128-128-128-128-128",
        "local_dim": 1024,
        "local_layers": 16,
        "local_attn_heads": 64,
        "local_ffn_dim": 4096,
        "input_local_dim": 1024,
        "input_local_layers": 6,
        "input_full_attention": True,
    },
    Path("MiMo-Audio-7B-Instruct/config.json"),
)

RELEASED_AUDIO = AudioTokenizerConfig.parse(
    {
        "sampling_rate": 24000,
        "nfft": 960,
        "window_size": 960,
        "hop_length": 240,
        "n_mels": 128,
        "kernel_size": 3,
        "stride_size": 2,
        "avg_pooler": 2,
        "d_model": 1280,
        "encoder_layers": 32,
        "encoder_attention_heads": 20,
        "encoder_ffn_dim": 5120,
        "encoder_skip_layer_id": 3,
        "decoder_layers": 32,
        "decoder_attention_heads": 20,
        "decoder_ffn_dim": 5120,
        "num_quantizers": 20,
        "codebook_size": [1024, 1024, 128],
        "vocoder_dim": 256,
        "vocoder_num_layers": 16,
        "vocoder_attention_heads": 16,
        "vocoder_intermediate_dim": 1024,
        "vocoder_attn_window_size": [40, 10],
    },
    Path("MiMo-Audio-Tokenizer/config.json"),
)
