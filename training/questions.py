"""The recorded questions of the tests and of `make demo`: `python -m training.questions FOLDER`.

Rendered once and kept in the repository, so that nobody needs a synthesizer. The word
sequences among them are held out of the training, and so are the renderings: their speed,
silence and noise occur nowhere else.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from training.augment import Condition, augment
from training.data import SAMPLE_RATE, describe, render

QUESTIONS = {
    "sum": ("what is seven plus five", "rms"),
    "difference": ("what is nine minus four", "slt"),
    "color": ("what color is the sky", "slt"),
    "opposite": ("what is the opposite of hot", "awb"),
    "count": ("count from two to six", "kal16"),
    "name": ("what is your name", "rms"),
    "repeat": ("please say flower river mountain", "awb"),
    "memory": ("what did i just say", "rms"),
    "words": ("sun mountain river wood", "slt"),
    "voice-rms": ("music fine music", "rms"),
    "voice-slt": ("eleven hard green", "slt"),
}
SPEED = 0.97
HEARD = Condition(lead=0.213, gain_db=-3.0, snr_db=32.0, color=0.7)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(2026)
    for name, (text, voice) in QUESTIONS.items():
        entry = {**describe("exam", text, voice), "speed": SPEED}
        with tempfile.TemporaryDirectory() as scratch:
            wave, entry["phones"] = render(entry, Path(scratch) / "x.wav")
        heard, _, _ = augment(wave, entry, HEARD, noise)
        soundfile.write(folder / f"{name}.flac", heard, SAMPLE_RATE, subtype="PCM_16")
    index = {name: {"text": text, "voice": voice} for name, (text, voice) in QUESTIONS.items()}
    (folder / "questions.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
