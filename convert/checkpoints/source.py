"""Both checkpoints of a model, opened and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimo_edge.bundle.untrusted_json import shown
from mimo_edge.errors import BadBundleError

from ..backbone.writing import expected_backbone_tensors
from ..memory import memory_explained
from .checkpoint import Checkpoint
from .configs import AudioTokenizerConfig, LanguageModelConfig
from .origin import Origin
from .tensors import SPEAKING_TENSORS, audio_tensors, patch_tensors, unread_tensors
from .text_tokenizer import TextTokenizer, read_text_tokenizer

__all__ = ["Source", "open_source"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Both checkpoints, opened and checked against each other."""

    language_origin: Origin
    audio_origin: Origin
    language_checkpoint: Checkpoint
    audio_checkpoint: Checkpoint
    language: LanguageModelConfig
    audio: AudioTokenizerConfig
    text: TextTokenizer


def open_source(model: Path | Origin, tokenizer: Path | Origin, *, speaks: bool = True) -> Source:
    """Open the two checkpoints (a folder each) and check that everything needed is there.

    Unless a bundle is made that `speaks`, the weights of the speaking half may be missing, as in
    any case where the model was never trained to speak.

    Raises:
        MimoEdgeError: what is missing, misshapen, or does not belong together.
    """
    with memory_explained():
        return _open_source(
            *(
                origin if isinstance(origin, Origin) else Origin.of_folder(origin)
                for origin in (model, tokenizer)
            ),
            speaks=speaks,
        )


def _open_source(language_origin: Origin, audio_origin: Origin, *, speaks: bool) -> Source:
    model, tokenizer = language_origin.folder, audio_origin.folder
    language_checkpoint, audio_checkpoint = Checkpoint.open(model), Checkpoint.open(tokenizer)
    language = LanguageModelConfig.parse(language_checkpoint.config, model / "config.json")
    audio = AudioTokenizerConfig.parse(audio_checkpoint.config, tokenizer / "config.json")
    _check_pair(language, model, audio, tokenizer)
    not_needed = () if speaks and not language.listens_only else SPEAKING_TENSORS
    _check_tensors(
        language_checkpoint,
        expected_backbone_tensors(language) | patch_tensors(language),
        not_needed,
        # A tied head is the embedding table, whether it is stored once more or not.
        ("lm_head.weight",) if language.tie_word_embeddings else (),
    )
    _check_tensors(audio_checkpoint, audio_tensors(audio), not_needed)
    text = read_text_tokenizer(model, vocab_size=language.vocab_size)
    return Source(
        language_origin=language_origin,
        audio_origin=audio_origin,
        language_checkpoint=language_checkpoint,
        audio_checkpoint=audio_checkpoint,
        language=language,
        audio=audio,
        text=text,
    )


def _check_pair(
    language: LanguageModelConfig, model: Path, audio: AudioTokenizerConfig, tokenizer: Path
) -> None:
    """The language model knows the codes that the audio tokenizer makes."""
    if language.audio_channels > audio.num_quantizers:
        raise BadBundleError(
            f"{model} uses {language.audio_channels} codebooks and {tokenizer} has "
            f"{audio.num_quantizers}; they are not made for each other."
        )
    for channel in range(language.audio_channels):
        size, empty = audio.codebook_sizes[channel], language.speech_empty_ids[channel]
        if size > language.speech_vocab_sizes[channel] or empty < size:
            raise BadBundleError(
                f"codebook {channel} of {tokenizer} has {size} entries, but {model} knows "
                f"{language.speech_vocab_sizes[channel]} codes with {empty} as the empty one; "
                "they are not made for each other."
            )


def _check_tensors(
    checkpoint: Checkpoint,
    expected: Mapping[str, tuple[int, ...]],
    not_needed: tuple[str, ...],
    repeated: Sequence[str] = (),
) -> None:
    """Everything expected is there, and nothing is that would be left out of the answers.

    Expected tensors whose names begin with one of `not_needed` may be missing.
    """
    checkpoint.check(
        {name: shape for name, shape in expected.items() if not name.startswith(not_needed)}
    )
    unread = unread_tensors(checkpoint.names(), (*expected, *repeated))
    if unread:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        raise BadBundleError(
            f"{checkpoint.folder} has the tensor {shown(unread[0])}{more}, which a model as its "
            "config.json describes it does not use; config and weights are not of the same "
            "checkpoint, or it is of a newer kind than this mimo_edge converts."
        )
