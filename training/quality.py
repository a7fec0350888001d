"""What quantization costs: `python -m training.quality EXPORT REPORT`.

Converts the demo checkpoint with every recipe and measures each bundle against `reference`:
word error rate, answers right, how much of what it speaks the reference mishears, equal codes
per codebook, and the mean Kullback-Leibler divergence of the text and the code distributions
along the reference's own answers. Needs flite for the questions, and PyTorch only through
`augment`.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from convert.bundle import convert
from convert.checkpoints.source import open_source
from convert.recipes import RECIPES
from mimo_edge.engine import Engine
from mimo_edge.prompt import prompts
from mimo_edge.prompt.positions import Positions
from mimo_edge.prompt.prompts import Exchange
from training import domain
from training.augment import Condition, augment
from training.data import VOICES, describe, render
from training.demo import Demo
from training.words import word_error_rate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spoken:
    """A rendering that is asked or transcribed."""

    text: str
    wave: np.ndarray


@dataclass(frozen=True)
class AnswerPath:
    """An answer of the reference, along which the distributions are compared."""

    prompt: Positions
    answer: Positions
    text: np.ndarray
    """Log-probabilities [steps, vocabulary]."""
    codes: list[list[np.ndarray]]
    """Per patch, log-probabilities of every code drawn."""


@dataclass(frozen=True)
class Row:
    """One recipe's line of the table."""

    recipe: str
    megabytes: float
    word_error_rate: float
    answers_right: float
    misheard: float
    """Word error rate of its speech, transcribed by the reference."""
    codes_equal: list[float]
    text_divergence: float
    code_divergence: float


class Comparison:
    """The questions, and what the reference makes of them."""

    def __init__(self, count: int, seed: int) -> None:
        self.random, self.noise = random.Random(seed), np.random.default_rng(seed)
        self.sequences = [self._say(text) for text in self._held_out(count)]
        self.questions = [
            self._say(text) for text in self.random.sample(sorted(domain.FACTS), count)
        ]
        self.codes: list[np.ndarray] = []
        self.paths: list[AnswerPath] = []

    def _held_out(self, count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            text = domain.sequence(self.random, 1, 6)
            if domain.held_out_sequence(text):
                found.append(text)
        return found

    def _say(self, text: str) -> Spoken:
        entry = {**describe("exam", text, self.random.choice(VOICES))}
        entry["speed"] = self.random.uniform(0.88, 1.15)
        with tempfile.TemporaryDirectory() as scratch:
            wave, entry["phones"] = render(entry, Path(scratch) / "x.wav")
        at = Condition(snr_db=self.random.uniform(20, 40), lead=self.random.uniform(0, 0.3))
        return Spoken(text, augment(wave, entry, at, self.noise)[0].astype(np.float32))

    def learn(self, demo: Demo) -> None:
        """Take the reference's codes and answers."""
        for spoken in self.questions:
            self.codes.append(demo.engine.audio_tokenizer.encode(spoken.wave))
            self.paths.append(_answer_path(demo, spoken))

    def row(self, demo: Demo, ear: Demo) -> Row:
        """Measure one bundle; `ear` hears what it speaks."""
        manifest = demo.engine.manifest
        pairs = [(s.text, demo.transcribe(s.wave)) for s in self.sequences]
        right = [demo.reply([s.wave])[0][0] == domain.answer(s.text) for s in self.questions]
        spoken = [(s.text, ear.transcribe(demo.speak(s.text))) for s in self.sequences]
        equal = [
            demo.engine.audio_tokenizer.encode(s.wave) == codes
            for s, codes in zip(self.questions, self.codes, strict=True)
        ]
        text, codes = _divergences(demo.engine, self.paths)
        return Row(
            recipe=manifest.recipe,
            megabytes=round(sum(file.size for file in manifest.files) / 1e6, 2),
            word_error_rate=round(word_error_rate(pairs), 4),
            answers_right=round(float(np.mean(right)), 4),
            misheard=round(word_error_rate(spoken), 4),
            codes_equal=[round(float(x), 4) for x in np.concatenate(equal).mean(axis=0)],
            text_divergence=round(text, 5),
            code_divergence=round(codes, 5),
        )


def _answer_path(demo: Demo, spoken: Spoken) -> AnswerPath:
    """The reference's answer to a question, with its distributions."""
    with demo.model.session(overrides=demo._overrides()) as session:
        session.ask(spoken.wave)
        answer = session.turns[0].answer
    assert isinstance(answer, Positions)
    heard = demo.patches(spoken.wave)
    pieces = prompts.conversation([Exchange(request=heard)], "speech")
    prompt = demo.engine.layout.positions(pieces)
    text, codes = _distributions(demo.engine, prompt, answer)
    return AnswerPath(prompt, answer, text, codes)


def _distributions(
    engine: Engine, prompt: Positions, answer: Positions
) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """Log-probabilities of the text and of the codes at every step of a given answer."""
    cache = engine.new_cache()
    try:
        output, _ = cache.prefill(prompt)
        text, codes = [], []
        for at in range(len(answer)):
            text.append(_log_softmax(output.logits))
            if answer.text_ids[at] == engine.layout.empty_id:
                logits = engine.patch_decoder.logits_along(output.hidden, answer.codes[at])
                codes.append([_log_softmax(x) for x in logits])
            output = cache.append(answer[at : at + 1])
        return np.stack(text), codes
    finally:
        cache.close()


def _divergences(engine: Engine, paths: list[AnswerPath]) -> tuple[float, float]:
    """Mean divergence in nats from the reference: (text per position, codes per code)."""
    text, codes = [], []
    for path in paths:
        found_text, found_codes = _distributions(engine, path.prompt, path.answer)
        text += list(_divergence(path.text, found_text))
        for expected, found in zip(path.codes, found_codes, strict=True):
            codes += [float(_divergence(p, q)) for p, q in zip(expected, found, strict=True)]
    return float(np.mean(text)), float(np.mean(codes))


def _divergence(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    return np.asarray((np.exp(expected) * (expected - found)).sum(axis=-1))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", type=Path, help="folder that training.export wrote")
    parser.add_argument("report", type=Path, help="JSON to write")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=23)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = arguments.export / "MiMo-Audio-Demo"
    source = open_source(model, model.with_name(model.name + "-Tokenizer"))
    comparison, rows = Comparison(arguments.count, arguments.seed), []
    ear: Demo | None = None
    for recipe in RECIPES:  # `reference` is the first
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Path(scratch) / recipe.name
            convert(source, bundle, recipe, name=model.name)
            demo = Demo(bundle)
            if ear is None:
                comparison.learn(demo)
                ear = demo
            rows.append(comparison.row(demo, ear))
            log.info("%s", rows[-1])
            if demo is not ear:
                demo.close()
        arguments.report.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
