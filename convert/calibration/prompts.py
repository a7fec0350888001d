"""Recordings laid out as the tasks lay them out: sound and text as the model really gets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimo_edge.bundle.manifest import Prompts
from mimo_edge.prompt import prompts
from mimo_edge.prompt.positions import (
    InterleavedPiece,
    Layout,
    Piece,
    Positions,
    RawPiece,
    TextPiece,
    concatenate,
)
from mimo_edge.prompt.prompts import Exchange, Language

__all__ = ["Utterance", "calibration_prompts", "equal_shares"]

_SYSTEM = "You are a helpful assistant. Answer in short sentences."
_LANGUAGES: tuple[Language, ...] = ("auto", "en", "zh")
_QUESTIONS = (
    "What is said in this recording?",
    "Who is speaking, and in which mood?",
    "请总结这段录音的内容。",
)
_SPOKEN = (
    ("今天天气很好，我们去公园走走吧。", "用欢快的语气"),
    ("The train to the coast leaves at half past seven.", "calm and slow"),
)
"""Text and style of requests to speak that nothing answers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Utterance:
    """A recording as the model hears it."""

    patches: NDArray[np.int64]
    """[patches, group, channels]."""
    text: str | None
    """Its words, where they are known."""


def calibration_prompts(
    layout: Layout,
    utterances: Sequence[Utterance],
    *,
    longest: int,
    whose: Prompts = "mimo-audio",
) -> list[Positions]:
    """Prompts and answers of all tasks over these utterances, at most `longest` positions each.

    A model that only transcribes gets nothing else, with and without the name of the language.
    All others:

    Each utterance is transcribed, asked about, spoken from its words, and answered by another
    one in a conversation, in English and in Chinese by turns.
    """
    positions = []
    for index, utterance in enumerate(utterances):
        other = utterances[(index + 1) % len(utterances)]
        if whose == "mimo-v2.5-asr":
            tasks = _transcriptions(index, utterance)
        else:
            tasks = _tasks(layout, index, utterance, other)
        for pieces in tasks:
            positions.append(layout.positions(pieces)[:longest])
    return positions


def _transcriptions(index: int, heard: Utterance) -> Iterator[list[Piece]]:
    language = ("auto", "en")[index % 2] if heard.text is not None else _LANGUAGES[index % 3]
    asked = prompts.transcribe(heard.patches, language=language, tagged=True)
    yield [*asked, *_text(heard.text)]


def _tasks(layout: Layout, index: int, heard: Utterance, other: Utterance) -> Iterator[list[Piece]]:
    question = _QUESTIONS[index % len(_QUESTIONS)]
    asked = prompts.transcribe(heard.patches, language="zh" if index % 2 else "auto")
    yield [*asked, *_text(heard.text)]
    turns = [Exchange(request=heard.patches, answer=_spoken(other))]
    if index % 2:
        yield prompts.conversation(
            [*turns, Exchange(request=heard.patches)], "speech", voice=other.patches[:12]
        )
        yield prompts.understand(heard.patches, question, thinking=index % 4 == 1)
        return
    yield prompts.conversation(turns, "speech", system=_SYSTEM)
    if heard.text is None:
        text, style = _SPOKEN[index // 2 % len(_SPOKEN)]
        yield prompts.speak(text, style=style)
        return
    # Both open the speech: the answer's own marker is left out.
    answer = layout.positions([InterleavedPiece(heard.text, heard.patches)])[1:]
    yield [*prompts.speak(heard.text), RawPiece(answer)]


def _text(text: str | None) -> list[Piece]:
    return [] if text is None else [TextPiece((text,))]


def _spoken(answer: Utterance) -> InterleavedPiece:
    return InterleavedPiece(answer.text or "", answer.patches)


def equal_shares(runs: Sequence[Positions], empty_id: int) -> list[NDArray[np.float32]]:
    """How much each position of these runs counts, so that text and patches count alike.

    All weights together are 1. Text is rarer in a prompt than sound, but each of its tokens
    decides a word.
    """
    is_patch = concatenate(runs).text_ids == empty_id
    shares = np.where(is_patch, 0.5 / max(is_patch.sum(), 1), 0.5 / max((~is_patch).sum(), 1))
    ends = np.cumsum([len(run) for run in runs])[:-1]
    return np.split((shares / shares.sum()).astype(np.float32), ends)
