"""A small SpeechMMLU of the demo model's words: `python -m training.benchmark tests/data/eval`.

Questions about sums and opposites with four choices each, in the layout of the published set. The
model knows these facts by heart (they are not held out, the renderings are), and it answers them
freely: so a score here says whether it hears, answers and is understood, not what it can reason.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from training import domain
from training.data import SAMPLE_RATE, describe, render

VOICES = {"english_prompt_001": "rms", "english_prompt_002": "slt"}
COUNT = 24
SPEED = 0.97
"""Of no utterance of the training."""
BEGINNING = "can you help"
EXAMPLES = 2


def say(path: Path, text: str, voice: str) -> None:
    """Render a text into a small MP3 file."""
    entry = {**describe("exam", text, VOICES[voice]), "speed": SPEED}
    with tempfile.TemporaryDirectory() as scratch:
        wave, _ = render(entry, Path(scratch) / "x.wav")
    silence = np.zeros(SAMPLE_RATE // 5, dtype=np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.concatenate([silence, 0.7 * wave, silence])
    soundfile.write(path, wave, SAMPLE_RATE, format="MP3", compression_level=0.7)


def questions(subject: str) -> list[str]:
    """All that could be asked."""
    start = {"sums": "what is", "opposites": "what is the opposite of"}[subject]
    asked = [text for text in domain.FACTS if text.startswith(start)]
    return [text for text in asked if ("plus" in text) == (subject == "sums")
            and (subject == "opposites" or "minus" not in text)]  # fmt: skip


def choices(question: str, rng: random.Random) -> tuple[list[str], int]:
    """Four answers, of which one is right, and its place."""
    right = domain.answer(question)
    *words, last = right.split()
    pool = domain.NUMBERS if last in domain.NUMBERS else sorted(domain.OPPOSITES)
    others = rng.sample([word for word in pool if word not in {last, *words}], 3)
    options = [right, *(" ".join([*words, word]) for word in others)]
    rng.shuffle(options)
    return options, options.index(right)


def make_subject(folder: Path, subject: str, rng: random.Random) -> dict[str, Any]:
    """Write the table and the recordings of one subject; its few-shot prompts."""
    asked = rng.sample(questions(subject), COUNT + EXAMPLES)
    rows = []
    for number, question in enumerate(asked[:COUNT]):
        voice = list(VOICES)[number % len(VOICES)]
        audio = f"audio/{subject}/data/{subject}_{number}.mp3"
        say(folder / audio, question, voice)
        options, right = choices(question, rng)
        rows.append(
            {
                "id": f"{subject}_{number}",
                "subject": subject,
                "question_text": question,
                "question_audio": audio,
                "voice_id": voice,
                "answer": right,
                "choices": options,
            }
        )
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / f"{subject}.jsonl").write_text(text)
    examples = [
        {"question": question, "answer": domain.answer(question)} for question in asked[COUNT:]
    ]
    for voice in VOICES:
        prompts = folder / "audio" / subject / "prompts" / f"{subject}_{voice}"
        say(prompts / f"{subject}_beginning.mp3", BEGINNING, voice)
        for number, example in enumerate(examples):
            name = f"{subject}_{number}"
            say(prompts / f"{name}_question_and_choices.mp3", example["question"], voice)
            say(prompts / f"{name}_answer.mp3", example["answer"], voice)
    return {"beginning": BEGINNING, "examples": examples}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder / "SpeechMMLU"
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(2026)
    prompts = {subject: make_subject(folder, subject, rng) for subject in ("sums", "opposites")}
    (folder / "few_shot_prompts.json").write_text(json.dumps(prompts, indent=1) + "\n")


if __name__ == "__main__":
    main()
