"""How long a second of speech takes, made as in use: text, patches, and their sound."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..engine import Engine
from ..generation.position_cache import PositionCache
from ..generation.sound import SoundOptions, SoundThread
from ..prompt.positions import Positions
from .forced_answer import ForcedAnswer, speech_prompt, spoken_ids
from .speech_cost import TOKENS_PER_PATCH

__all__ = ["SpeakingTimes", "measure_speaking"]

_Run = Literal["patches alone", "patches", "dialogue", "speak"]
_RUNS: tuple[_Run, ...] = ("patches alone", "patches", "dialogue", "speak")
_PATCHES = 25
"""Four seconds of the released model's speech."""
_QUICK = 0.2
"""Seconds per second of speech below which speaking is measured more often."""
_LOOKAHEAD = 32
"""Of the sound that is decoded meanwhile: what a conversation uses."""


@dataclass(frozen=True, kw_only=True)
class SpeakingTimes:
    """Seconds of work for a second of speech; medians."""

    alone: float
    """Patches only, without decoding their sound."""
    beside_sound: float
    """Patches only, while their sound is decoded."""
    dialogue: float
    """With the text between the patches, while the sound is decoded."""
    speak: float
    """The same where the text was given and is said word for word, so that it can be guessed."""
    accepted_per_reading: float
    """Text tokens that each reading of the weights with guesses in it gave; 0 without guesses."""


def measure_speaking(engine: Engine, runs: int, positions: int) -> SpeakingTimes:
    """Speak behind so many positions, in each of the ways by turns: a machine's speed drifts."""
    took: dict[_Run, list[float]] = {run: [] for run in _RUNS}
    accepted = 0.0
    prompt = speech_prompt(engine, positions)
    with contextlib.closing(engine.new_cache()) as cache:
        warm, _ = _speak(engine, cache, prompt, "dialogue")
        turns = min(runs, 3)
        if warm < _QUICK:  # then single ones differ by a third
            turns *= 10
        for _ in range(turns):
            for run in _RUNS:
                seconds, answer = _speak(engine, cache, prompt, run)
                took[run].append(seconds)
                if run == "speak":
                    accepted = answer.readings.accepted / max(1, answer.readings.guessing)
    medians = {run: float(np.median(seconds)) for run, seconds in took.items()}
    return SpeakingTimes(
        alone=medians["patches alone"],
        beside_sound=medians["patches"],
        dialogue=medians["dialogue"],
        speak=medians["speak"],
        accepted_per_reading=accepted,
    )


def _speak(
    engine: Engine, cache: PositionCache, prompt: Positions, run: _Run
) -> tuple[float, ForcedAnswer]:
    """(seconds per second of speech, the answer) behind a prompt that is in the cache, all of it
    but its last position, or that is evaluated first.
    """
    text_ids = [engine.layout.empty_id] * _PATCHES
    if run in ("dialogue", "speak"):
        text_ids = spoken_ids(engine, round(TOKENS_PER_PATCH * _PATCHES), _PATCHES)
    cache.prefill(prompt[:-1])
    with contextlib.ExitStack() as opened:
        answer = ForcedAnswer(engine, cache, prompt, text_ids, known=run == "speak")
        sound = None
        if run != "patches alone":
            decoder = engine.audio_tokenizer.stream(_LOOKAHEAD)
            sound = SoundThread(decoder, engine.manifest.patch.group_size, SoundOptions())
            opened.callback(sound.close)
        opened.enter_context(engine.scheduler.running(answer))
        start = time.perf_counter()
        steps = engine.scheduler.read(answer)
        for _ in text_ids:
            patch = next(steps).patch
            if sound is not None and patch is not None:
                sound.push(patch)
        seconds = time.perf_counter() - start
    return seconds / (_PATCHES * engine.layout.group_size * _step_seconds(engine)), answer


def _step_seconds(engine: Engine) -> float:
    """Seconds of sound that a code step stands for."""
    audio = engine.manifest.audio
    return audio.samples_per_step / audio.sample_rate
