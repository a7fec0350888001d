"""Long recordings of the demo model's words, and what is said in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

QUESTIONS = Path(__file__).parents[1] / "data" / "demo"
RATE = 24_000


@dataclass(frozen=True)
class Said:
    """One sentence of a recording."""

    text: str
    begin_s: float
    end_s: float


def write_recording(path: Path, seconds: float, *, seed: int = 0) -> list[Said]:
    """A recording of about this length in a quiet room; a sentence every few seconds."""
    rng = np.random.default_rng(seed)
    texts = {name: entry["text"] for name, entry in _questions().items()}
    clips = {n: soundfile.read(QUESTIONS / f"{n}.flac", dtype="float32")[0] for n in texts}
    said, at = [], 0

    def room(samples: int) -> np.ndarray:
        noise: np.ndarray = 10**-3.1 * rng.standard_normal(samples)
        return noise.astype(np.float32)

    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        while at < seconds * RATE:
            pause = int(rng.uniform(1.2, 5) * RATE)
            name = str(rng.choice(list(texts)))
            clip = np.float32(10 ** rng.uniform(-0.3, 0)) * clips[name]
            file.write(room(pause))
            file.write(clip + room(len(clip)))
            begin, at = at + pause, at + pause + len(clip)
            said.append(Said(texts[name], begin / RATE, at / RATE))
    return said


def word_errors(said: list[Said], found: str) -> tuple[int, int]:
    """(words that are wrong, missing or too many; words that were said)."""
    expected, words = " ".join(one.text for one in said).split(), found.split()
    row = list(range(len(words) + 1))
    for count, word in enumerate(expected, 1):
        before, row = row, [count]
        for index, other in enumerate(words):
            row.append(min(before[index + 1] + 1, row[-1] + 1, before[index] + (word != other)))
    return row[-1], len(expected)


def _questions() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((QUESTIONS / "questions.json").read_text("utf-8"))
    return found
