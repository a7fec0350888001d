"""Synthesize the speech: `python -m training.data FOLDER`.

Every utterance is described first (seeded), then rendered by Debian's `flite` in shards
of 1,000, so that an interrupted run goes on where it stopped. A shard is `NNN.npy`
(int16, 24 kHz, all utterances joined) and `NNN.json` (text, voice, offsets, phones).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import subprocess
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from training import domain

SAMPLE_RATE = 24_000
VOICES = ("rms", "slt", "awb", "kal16")
ANSWER_VOICES = ("rms", "slt")  # the first one is the default
SHARD = 1000
log = logging.getLogger(__name__)

Utterance = dict[str, Any]


def describe(kind: str, text: str, voice: str, rng: random.Random | None = None) -> Utterance:
    """One rendering; without `rng` the voice's own speed and pitch."""
    speed = rng.choice((1.0, rng.uniform(0.8, 1.25))) if rng else 1.0
    pitch = rng.choice((1.0, rng.uniform(0.85, 1.2))) if rng else 1.0
    return {"kind": kind, "text": text, "voice": voice, "speed": speed, "pitch": pitch}


def strange_words(path: Path) -> list[str]:
    """English words outside the domain, from a pronouncing dictionary."""
    lines = path.read_text(encoding="utf-8").splitlines()
    words = {line.split()[0] for line in lines if line and "(" not in line.split()[0]}
    return sorted(w for w in words - set(domain.WORDS) if w.isalpha() and 3 < len(w) < 10)


def plan(seed: int, dictionary: Path) -> list[Utterance]:
    """Everything to be rendered, in a shuffled order.

    Kinds: `sequence` and `repeat` (said by users), `fact` (with a rendering number),
    `strange` (out of the domain), `answer` (targets: answer voices as they are).
    """
    rng = random.Random(seed)
    out: list[Utterance] = []
    strange = strange_words(dictionary)
    for _ in range(13000):
        text = domain.sequence(rng, 1, 6)
        out.append(describe("sequence", text, rng.choice(VOICES), rng))
        if rng.random() < 0.5:
            voice = rng.choice(("rms", "rms", "slt"))
            out.append(describe("answer", text, voice))
    for _ in range(5000):
        words = domain.sequence(rng, 1, 4)
        out.append(describe("repeat", f"please say {words}", rng.choice(VOICES), rng))
        out.append(describe("answer", words, rng.choice(("rms", "slt"))))
    for _ in range(1200):
        words = " ".join(rng.choice(strange) for _ in range(rng.randint(1, 5)))
        out.append(describe("strange", words, rng.choice(VOICES), rng))
    questions = [*domain.FACTS, *[domain.MEMORY_QUESTION] * 15]
    for question in questions:
        for voice in VOICES:
            for number in range(5):
                out.append({**describe("fact", question, voice, rng), "rendering": number})
    memorable = [f"please say {domain.sequence(rng, 1, 3)}" for _ in range(500)]
    said = [domain.answer(domain.MEMORY_QUESTION, text) for text in (*domain.FACTS, *memorable)]
    for text in memorable:
        out.append(describe("repeat", text, rng.choice(VOICES), rng))
    replies = [domain.NOT_UNDERSTOOD, *sorted(set(domain.FACTS.values())), *said]
    replies += [domain.answer(text) for text in memorable]
    out += [describe("answer", text, voice) for text in replies for voice in ANSWER_VOICES]
    rng.shuffle(out)
    return out


def more_answers(seed: int) -> list[Utterance]:
    """Further targets, a third of them asked for as well.

    Speaking new sequences is what generalizes last: with 8,000 targets the model knew them
    by heart (loss of the first codebook 1.10 against 1.45 on new ones after 5,750 steps).
    """
    rng, out = random.Random(seed), []
    for number in range(12000):
        text = domain.sequence(rng, 1, 6 if number % 3 else 4)
        out.append(describe("answer", text, "rms"))
        if number % 3 == 0:
            out.append(describe("answer", text, "slt"))
            out.append(describe("repeat", f"please say {text}", rng.choice(VOICES), rng))
    rng.shuffle(out)
    return out


def render(utterance: Utterance, scratch: Path) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """Waveform (float32, 24 kHz) and phones with their end times in seconds."""
    pitch = {"kal16": f"int_f0_target_mean={100 * utterance['pitch']}"}
    command = ["flite", "-voice", utterance["voice"], "-psdur", "-o", str(scratch)]
    command += ["--setf", f"duration_stretch={1 / utterance['speed']}"]
    command += ["--setf", pitch.get(utterance["voice"], f"f0_shift={utterance['pitch']}")]
    done = subprocess.run(
        [*command, "-t", utterance["text"]], check=True, capture_output=True, text=True
    )
    wave, rate = soundfile.read(scratch, dtype="float32")
    pairs = [item.rsplit(":", 1) for item in done.stdout.split()]
    return soxr.resample(wave, rate, SAMPLE_RATE), [(name, float(end)) for name, end in pairs]


def render_shard(number: int, utterances: list[Utterance], folder: Path) -> int:
    """Render and write one shard unless it is there already."""
    target = folder / f"{number:03d}.json"
    if target.exists():
        return number
    waves, entries, start = [], [], 0
    with tempfile.TemporaryDirectory() as scratch:
        for utterance in utterances:
            wave, phones = render(utterance, Path(scratch) / "x.wav")
            waves.append((wave * 32767).clip(-32768, 32767).astype(np.int16))
            entries.append({**utterance, "start": start, "samples": len(wave), "phones": phones})
            start += len(wave)
    np.save(target.with_suffix(".npy"), np.concatenate(waves))
    partial_file = target.with_suffix(".part")
    partial_file.write_text(json.dumps(entries))
    partial_file.rename(target)
    return number


class Speech:
    """All rendered utterances: `entries` and their waveforms."""

    def __init__(self, folder: Path) -> None:
        self.entries: list[Utterance] = []
        self.shards: list[np.ndarray] = []
        for number, path in enumerate(sorted(folder.glob("[0-9]*.json"))):
            self.shards.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))
            entries = json.loads(path.read_text())
            self.entries += [{**entry, "shard": number} for entry in entries]

    def wave(self, entry: Utterance) -> np.ndarray:
        """float32 samples in [-1, 1]."""
        start = entry["start"]
        samples = self.shards[entry["shard"]][start : start + entry["samples"]]
        return samples.astype(np.float32) / 32768


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dictionary", type=Path, required=True, help="a cmudict file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    batches = (plan(arguments.seed, arguments.dictionary), more_answers(arguments.seed + 1))
    shards = [some[i : i + SHARD] for some in batches for i in range(0, len(some), SHARD)]
    log.info("%d utterances, %d words", sum(map(len, shards)), len(domain.WORDS))
    with ProcessPoolExecutor(arguments.processes) as pool:
        work = partial(render_shard, folder=arguments.folder)
        for number in pool.map(work, range(len(shards)), shards):
            log.info("shard %d of %d", number + 1, len(shards))


if __name__ == "__main__":
    main()
