"""Forms of asking that several benchmarks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import Manifest
from ..generation.answer import GenerationOptions
from ..measure.word_errors import Language
from ..prompt.positions import Piece, TextPiece
from ..prompt.text_tokenizer import Template
from ..stages.sampling import GREEDY, SamplerOptions
from ..tasks import Overrides, PreparedTask, transcription
from ..trained_tasks import transcribes_by

__all__ = [
    "LONGEST_SPEECH",
    "LONGEST_TEXT",
    "THINK_BRIEFLY",
    "continuation",
    "question_task",
    "transcript_task",
]

LONGEST_TEXT, LONGEST_SPEECH = 10, 25
"""Positions of an answer of SpeechMMLU, "Option A", in the modality that it is given in."""
_TRANSCRIBE: dict[Language, str] = {
    "en": "Transcribe the following voice message.",
    "zh": "请将这段语音转换为文字.",
}
"""What the public toolkit asks for; the inference code of the release asks in other words."""

THINK_BRIEFLY = "You can think about the question briefly and then answer it."
"""What the public toolkit adds to a question that is to be thought about."""

_CODES = SamplerOptions(temperature=0.9, top_p=0.95)
_USER = Template("<|im_start|>user\n")
_END = Template("<|im_end|>\n")
_ASSISTANT = Template("<|im_start|>assistant\n")


def continuation(
    pieces: Sequence[Piece],
    *,
    stops: tuple[str, ...],
    speaks: bool,
    overrides: Overrides,
    longest: int | None = None,
) -> PreparedTask:
    """What comes behind these pieces, the likeliest text, as the base model is asked."""
    options = GenerationOptions(text=GREEDY, codes=_CODES, stops=stops)
    if longest is not None:
        options = replace(options, max_new_tokens=longest)
    return PreparedTask(
        name="continuation", pieces=pieces, options=overrides.apply(options), speaks=speaks
    )


def transcript_task(
    manifest: Manifest,
    patches: NDArray[np.int64],
    language: Language,
    *,
    instruction: str | None,
    overrides: Overrides,
) -> PreparedTask:
    """What is said in a recording, asked in the public toolkit's words; MiMo-V2.5-ASR and a
    checkpoint that knows only one way of asking are asked in theirs.

    Raises:
        MimoEdgeError: the checkpoint does not know the language.
    """
    if instruction is None and manifest.prompts != "mimo-v2.5-asr":
        instruction = transcribes_by(manifest) or _TRANSCRIBE[language]
    return transcription(
        manifest, patches, instruction=instruction, language=language, overrides=overrides
    )


def question_task(
    pieces: Sequence[Piece], *, thinking: bool, overrides: Overrides, adds_sentence: bool = True
) -> PreparedTask:
    """A user's turn of these pieces, answered in text, sampled as questions about recordings are.

    Each piece is tokenized by itself, as in the public toolkit. `adds_sentence`: with `thinking`,
    `THINK_BRIEFLY` is a piece of its own behind them.
    """
    options = GenerationOptions(
        text=SamplerOptions(temperature=0.3, top_p=0.95),
        codes=_CODES,
        stops=("<|endoftext|>", "<|im_end|>"),
    )
    more = (TextPiece((THINK_BRIEFLY,)),) if thinking and adds_sentence else ()
    opening = Template("<think>\n" if thinking else "<think>\n\n</think>\n")
    return PreparedTask(
        name="understand",
        pieces=[
            TextPiece((_USER,)),
            *pieces,
            *more,
            TextPiece((_END,)),
            TextPiece((_ASSISTANT,)),
            TextPiece((opening,)),
        ],
        options=overrides.apply(options),
        speaks=False,
    )
