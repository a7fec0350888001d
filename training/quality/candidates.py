"""A bundle that takes the exam: one item at a time, each with a seed of its own.

So neither the order nor what runs beside it changes a result, and two runs give the same numbers.
(Several answers at once would be quicker, but not the same: with `w8`, one row of the patch decoder
is rounded otherwise than several.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from mimo_edge.engine import Engine
from mimo_edge.generation.events import TextDelta, TurnEnd
from mimo_edge.model import MimoAudio
from mimo_edge.prompt.positions import Positions
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.tasks import Overrides, Speak, Turn

__all__ = ["Answered", "Candidate", "KvType", "Taker"]

KvType = Literal["f32", "f16", "q8_0"]

_MOST = 120
"""Positions of an answer."""
_SHORTEST = 1000
"""Samples that are worth listening to."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A bundle, and how it is run."""

    bundle: Path
    kv_type: KvType | None = None
    """Number type of the cache; None: what the program takes."""
    drafting: bool = True
    """Whether words are guessed."""

    def options(self) -> RuntimeOptions:
        """One thread: a model of this size gains nothing from a second one."""
        options = RuntimeOptions(threads=1, drafting=self.drafting)
        return options if self.kv_type is None else replace(options, kv_type=self.kv_type)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A spoken answer: its words, and its positions behind those of the prompt."""

    text: str
    prompt: Positions
    answer: Positions


class Taker:
    """A candidate that is loaded."""

    def __init__(self, candidate: Candidate) -> None:
        self.engine = Engine.load(candidate.bundle, candidate.options())
        self._model = MimoAudio(self.engine)

    def transcribe(self, wave: np.ndarray, seed: int) -> str:
        """The words of a recording."""
        if len(wave) < _SHORTEST:
            return ""
        return self._model.transcribe(wave, overrides=_overrides(seed)).text

    def speak(self, text: str, seed: int) -> np.ndarray:
        """A text as sound, float32 at 24 kHz, in the default voice."""
        audio = self._model.speak(text, overrides=_overrides(seed)).audio
        return np.zeros(0, np.float32) if audio is None else audio

    def tokens(self, text: str, seed: int) -> TurnEnd:
        """What is generated to speak a text; its sound is not decoded."""
        *_, end = self._model.stream(Speak(text=text, overrides=_overrides(seed)))
        assert isinstance(end, TurnEnd)
        return end

    def reply(self, wave: np.ndarray, seed: int) -> Answered:
        """The spoken answer to a spoken question; its sound is not decoded."""
        turn = Turn(audio=wave, reply="speech", overrides=_overrides(seed))
        prepared = next(iter(self._model.parts(turn)))
        text, end = "", None
        for event in self._model.stream(prepared):
            if isinstance(event, TextDelta):
                text += event.text
            elif isinstance(event, TurnEnd):
                end = event
        assert end is not None
        return Answered(
            text=text.strip(),
            prompt=self._model.positions(prepared),
            answer=Positions(end.text_ids, end.codes),
        )

    def encode(self, wave: np.ndarray) -> np.ndarray:
        """The codes of a recording, int64 [steps, codebooks]."""
        return self.engine.audio_tokenizer.encode(wave)

    def close(self) -> None:
        """Free the bundle."""
        self._model.close()


def _overrides(seed: int) -> Overrides:
    return Overrides(seed=seed, max_new_tokens=_MOST)
