"""What a bundle of the demo model can do, on what was held out.

`python -m training.evaluate BUNDLE REPORT` prints one line a measurement and writes all of
them to a JSON file. Everything is drawn with one seed; `--count` utterances go into each
measurement. Needs flite and pocketsphinx, but not PyTorch.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mimo_edge.audio import log_mel
from mimo_edge.bundle.manifest import AudioConfig
from training import domain
from training.augment import ANSWER, Condition, augment
from training.data import ANSWER_VOICES, SAMPLE_RATE, VOICES, Utterance, describe, render
from training.demo import Demo
from training.judge import Sphinx
from training.pitch import median_pitch
from training.words import word_error_rate, word_errors

log = logging.getLogger(__name__)
LIKE_CLEAN = Condition()
CONDITIONS: dict[str, tuple[float, Condition]] = {
    "clean": (1.0, LIKE_CLEAN),
    "noise 20 dB": (1.0, Condition(snr_db=20.0, color=0.5)),
    "speed 0.85": (0.85, LIKE_CLEAN),
    "speed 1.2": (1.2, LIKE_CLEAN),
    "15 ms later": (1.0, Condition(lead=LIKE_CLEAN.lead + 0.015)),
}


def mel_distance(a: np.ndarray, b: np.ndarray, config: AudioConfig) -> float:
    """Mean absolute difference of log-mels, with a floor of -80 dB below full scale."""
    floor = 1e-4 * config.n_fft / 2
    x, y = (np.log(np.exp(log_mel(wave, config)) + floor) for wave in (a, b))
    return float(np.abs(x - y).mean())


class Examination:
    """Renders what is asked and keeps the figures."""

    def __init__(self, demo: Demo, count: int, seed: int) -> None:
        self.demo, self.count, self.random = demo, count, random.Random(seed)
        self.noise = np.random.default_rng(seed)
        self.figures: dict[str, Any] = {}
        self.sphinx = Sphinx()

    def note(self, name: str, value: float, examples: list[Any] | None = None) -> None:
        """Keep and log one figure."""
        self.figures[name] = round(value, 4)
        log.info("%-44s %.4f %s", name, value, (examples or [])[:4])

    def say(self, text: str, voice: str, speed: float, at: Condition) -> tuple[Any, Any, Utterance]:
        """(heard, clean, entry) of a fresh rendering."""
        entry = {**describe("exam", text, voice), "speed": speed}
        with tempfile.TemporaryDirectory() as scratch:
            wave, entry["phones"] = render(entry, Path(scratch) / "x.wav")
        heard, clean, _ = augment(wave, entry, at, self.noise)
        return heard, clean, entry

    def sequences(self, least: int, most: int) -> Iterator[str]:
        """New word sequences of the held-out tenth."""
        found = 0
        while found < self.count:
            text = domain.sequence(self.random, least, most)
            if domain.held_out_sequence(text):
                found += 1
                yield text

    def codec(self) -> None:
        """Log-mel L1 of the audio tokenizer, and how well its output is understood."""
        config, total, pairs = self.demo.engine.manifest.audio, [], []
        for text in self.sequences(2, 5):
            _, clean, _ = self.say(text, self.random.choice(VOICES), 1.0, ANSWER)
            made = self.demo.waveform(self.demo.patches(clean))[: len(clean)]
            total.append(mel_distance(made, clean[: len(made)], config))
        for text in self.sequences(2, 5):
            _, clean, _ = self.say(text, ANSWER_VOICES[0], 1.0, ANSWER)
            made = self.demo.waveform(self.demo.patches(clean))
            pairs.append((text, self.sphinx.hear(made)))
        self.note("codec: log-mel L1", float(np.mean(total)))
        self.note("codec: sphinx on re-synthesized rms", word_error_rate(pairs))

    def transcription(self) -> None:
        """Word error rate of new sequences in every condition."""
        for name, (speed, at) in CONDITIONS.items():
            pairs = []
            for number, text in enumerate(self.sequences(1, 6)):
                heard, _, _ = self.say(text, VOICES[number % len(VOICES)], speed, at)
                pairs.append((text, self.demo.transcribe(heard)))
            wrong = [pair for pair in pairs if word_errors(*pair)[0]]
            self.note(f"transcription WER, {name}", word_error_rate(pairs), wrong)

    def questions(self) -> dict[str, list[tuple[str, str]]]:
        """(question, voice) to be asked, by kind."""
        out: dict[str, list[tuple[str, str]]] = {"facts": [], "repeats": [], "strange": []}
        for number, question in enumerate(self.random.sample(sorted(domain.FACTS), self.count)):
            out["facts"].append((question, VOICES[number % len(VOICES)]))
        for number, words in enumerate(self.sequences(1, 4)):
            out["repeats"].append((f"please say {words}", VOICES[number % len(VOICES)]))
        for text in ("purple elephants dance", "tomorrow we travel", "computer", "zebra lake fork"):
            out["strange"] += [(text, voice) for voice in VOICES]
        return out

    def dialogue(self, judged: int) -> None:
        """Spoken questions: is the answer's text right, is its speech understood."""
        spoken: list[tuple[str, np.ndarray]] = []
        own: list[tuple[str, str]] = []
        for kind, asked in self.questions().items():
            wrong = []
            for question, voice in asked:
                speed = self.random.uniform(0.88, 1.15)
                at = Condition(snr_db=self.random.uniform(20, 40), lead=self.random.uniform(0, 0.3))
                heard, _, _ = self.say(question, voice, speed, at)
                text, wave = self.demo.reply([heard])[0]
                if text != domain.answer(question):
                    wrong.append((question, voice, text))
                elif len(wave):
                    spoken.append((text, wave))
                    own.append((text, self.demo.transcribe(wave)))
            self.note(f"spoken {kind} right", 1 - len(wrong) / len(asked), wrong)
        self.note("own transcription of own answers, WER", word_error_rate(own))
        self.random.shuffle(spoken)
        pairs = [(text, self.sphinx.hear(wave)) for text, wave in spoken[:judged]]
        bad = [pair for pair in pairs if word_errors(*pair)[0]]
        self.note("sphinx on spoken answers, WER", word_error_rate(pairs), bad)
        flite = [
            (text, self.sphinx.hear(self.say(text, ANSWER_VOICES[0], 1.0, ANSWER)[1]))
            for text, _ in spoken[:judged]
        ]
        self.note("sphinx on flite's own rendering, WER", word_error_rate(flite))

    def speaking(self) -> None:
        """Text to speech of new sequences, heard by the model itself."""
        pairs = [
            (text, self.demo.transcribe(self.demo.speak(text))) for text in self.sequences(1, 6)
        ]
        wrong = [pair for pair in pairs if word_errors(*pair)[0]]
        self.note("own transcription of own speech, WER", word_error_rate(pairs), wrong)

    def voices(self) -> None:
        """Is the prompted voice the one that answers (by its pitch); memory; text chat."""
        right, all_, told = 0, 0, []
        for question in self.random.sample(sorted(domain.FACTS), max(4, self.count // 3)):
            for voice in ANSWER_VOICES:
                sample = next(self.sequences(2, 4))
                prompt, _, _ = self.say(sample, voice, 1.0, ANSWER)
                heard, _, _ = self.say(question, self.random.choice(VOICES), 1.0, LIKE_CLEAN)
                pitch = median_pitch(self.demo.reply([heard], prompt)[0][1], SAMPLE_RATE)
                right += (pitch > 140) == (voice == "slt")
                all_ += 1
                told.append((voice, round(pitch)))
        self.note("prompted voice heard in the answer", right / all_, told)

    def others(self) -> None:
        """Memory over two turns and written questions."""
        remembered, wrote, wrong = 0, 0, []
        asked = self.random.sample(sorted(domain.FACTS), max(4, self.count // 3))
        for question in asked:
            voice = self.random.choice(VOICES)
            turns = [question, domain.MEMORY_QUESTION]
            heard = [self.say(text, voice, 1.0, LIKE_CLEAN)[0] for text in turns]
            text = self.demo.reply(heard)[1][0]
            remembered += text == f"you said {question}"
            if text != f"you said {question}":
                wrong.append((question, text))
            wrote += self.demo.write(f"{question.capitalize()}?") == domain.answer(question)
        self.note("memory right", remembered / len(asked), wrong)
        self.note("written questions right", wrote / len(asked))


PARTS = ("codec", "transcription", "dialogue", "speaking", "voices", "others")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--judged", type=int, default=100, help="answers given to pocketsphinx")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    demo = Demo(arguments.bundle, threads=arguments.threads)
    exam = Examination(demo, arguments.count, arguments.seed)
    for part in arguments.parts:
        if part == "dialogue":
            exam.dialogue(arguments.judged)
        else:
            getattr(exam, part)()
        arguments.report.write_text(json.dumps(exam.figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
