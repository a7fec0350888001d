"""Both checkpoints of a model, opened and checked against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mimo_edge.errors import MimoEdgeError

from .backbone import expected_backbone_tensors
from .checkpoint import Checkpoint
from .configs import AudioTokenizerConfig, LanguageModelConfig
from .tensors import audio_tensors, patch_tensors
from .text_tokenizer import TextTokenizer, read_text_tokenizer

__all__ = ["Source", "open_source"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Both checkpoints, opened and checked against each other."""

    language_checkpoint: Checkpoint
    audio_checkpoint: Checkpoint
    language: LanguageModelConfig
    audio: AudioTokenizerConfig
    text: TextTokenizer


def open_source(model: Path, tokenizer: Path) -> Source:
    """Open the two checkpoint folders and check that everything needed is there.

    Raises:
        MimoEdgeError: what is missing, misshapen, or does not belong together.
    """
    language_checkpoint, audio_checkpoint = Checkpoint.open(model), Checkpoint.open(tokenizer)
    language = LanguageModelConfig.parse(language_checkpoint.config, model / "config.json")
    audio = AudioTokenizerConfig.parse(audio_checkpoint.config, tokenizer / "config.json")
    language_checkpoint.check(expected_backbone_tensors(language) | patch_tensors(language))
    audio_checkpoint.check(audio_tensors(audio))
    if language.audio_channels > audio.num_quantizers:
        raise MimoEdgeError(
            f"{model} uses {language.audio_channels} codebooks and {tokenizer} has "
            f"{audio.num_quantizers}; they are not made for each other."
        )
    for channel in range(language.audio_channels):
        size, empty = audio.codebook_sizes[channel], language.speech_empty_ids[channel]
        if size > language.speech_vocab_sizes[channel] or empty < size:
            raise MimoEdgeError(
                f"codebook {channel} of {tokenizer} has {size} entries, but {model} knows "
                f"{language.speech_vocab_sizes[channel]} codes with {empty} as the empty one; "
                "they are not made for each other."
            )
    text = read_text_tokenizer(model, vocab_size=language.vocab_size)
    return Source(
        language_checkpoint=language_checkpoint,
        audio_checkpoint=audio_checkpoint,
        language=language,
        audio=audio,
        text=text,
    )
