"""What every recipe is asked: sentences and spoken questions, rendered once and kept."""

from __future__ import annotations

import json
import logging
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mimo_edge.atomic import atomic_output
from training import domain
from training.augment import Condition, augment
from training.data import VOICES, Utterance, describe, render

__all__ = ["Exam", "Spoken", "kept_exam", "load_exam"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A text and somebody who says it: float32 samples at 24 kHz."""

    text: str
    wave: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Exam:
    """What is transcribed and spoken, and what is asked."""

    sentences: list[Spoken]
    """Sequences of words that the model was not trained on."""
    questions: list[Spoken]
    """Questions with one right answer."""


def kept_exam(path: Path, sentences: int, questions: int, seed: int) -> Exam:
    """The exam of these numbers and this seed, from `path` if it is there, else made and kept."""
    wanted = {"sentences": sentences, "questions": questions, "seed": seed}
    if path.exists():
        with np.load(path) as kept:
            if json.loads(str(kept["made_with"])) == wanted:
                return load_exam(path)
    log.info("rendering %d sentences and %d questions", sentences, questions)
    rng = random.Random(seed)
    texts = _new_sequences(rng, sentences)
    texts += rng.sample(sorted(domain.FACTS), questions)
    conditions = [_draw(rng, text) for text in texts]
    numbered = [(seed, number, *drawn) for number, drawn in enumerate(conditions)]
    with ThreadPoolExecutor(2) as pool:  # flite is a process of its own
        waves = list(pool.map(lambda drawn: _say(*drawn), numbered))
    ends = np.cumsum([len(wave) for wave in waves])
    with atomic_output(path) as file:
        np.savez(
            file,
            made_with=json.dumps(wanted),
            texts=json.dumps(texts),
            ends=ends,
            samples=np.concatenate(waves),
        )
    return load_exam(path)


def load_exam(path: Path) -> Exam:
    """An exam that was kept."""
    with np.load(path) as kept:
        count = json.loads(str(kept["made_with"]))["sentences"]
        texts = json.loads(str(kept["texts"]))
        waves = np.split(kept["samples"], kept["ends"][:-1])
    spoken = [Spoken(text=text, wave=wave) for text, wave in zip(texts, waves, strict=True)]
    return Exam(sentences=spoken[:count], questions=spoken[count:])


def _new_sequences(rng: random.Random, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        text = domain.sequence(rng, 1, 6)
        if domain.held_out_sequence(text):
            found.append(text)
    return found


def _draw(rng: random.Random, text: str) -> tuple[Utterance, Condition]:
    """Who says it, how fast, and how it is recorded."""
    entry = {**describe("exam", text, rng.choice(VOICES)), "speed": rng.uniform(0.88, 1.15)}
    return entry, Condition(snr_db=rng.uniform(20, 40), lead=rng.uniform(0, 0.3))


def _say(seed: int, number: int, entry: Utterance, condition: Condition) -> np.ndarray:
    with tempfile.TemporaryDirectory() as scratch:
        wave, phones = render(entry, Path(scratch) / "x.wav")
    noise = np.random.default_rng([seed, number])  # its own, whatever is rendered beside it
    return augment(wave, {**entry, "phones": phones}, condition, noise)[0].astype(np.float32)
