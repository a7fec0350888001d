"""Judges that are not the model: word errors, pocketsphinx, the pitch of a voice."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import soxr
from pocketsphinx import Decoder

from training import domain
from training.data import SAMPLE_RATE

HOMOPHONES = {"to": "two"}


def normalize(text: str) -> list[str]:
    """Words in lower case without punctuation; homophones are one word."""
    words = "".join(c if c.isalpha() or c == " " else " " for c in text.lower()).split()
    return [HOMOPHONES.get(word, word) for word in words]


def word_errors(wanted: str, got: str) -> tuple[int, int]:
    """(edit distance in words, words wanted)."""
    a, b = normalize(wanted), normalize(got)
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, start=1):
        corner, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            change = corner + (word != other)
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, change)
    return row[-1], len(a)


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Over all (wanted, got) pairs."""
    counts = [word_errors(wanted, got) for wanted, got in pairs]
    return sum(errors for errors, _ in counts) / max(1, sum(words for _, words in counts))


class Sphinx:
    """pocketsphinx with its own English model and any sequence of the domain's words."""

    def __init__(self) -> None:
        words = " | ".join(sorted({HOMOPHONES.get(w, w) for w in domain.WORDS}))
        grammar = f"#JSGF V1.0; grammar words; public <words> = ({words})+;"
        self.decoder = Decoder(loglevel="FATAL", lm=None)
        self.decoder.add_jsgf_string("words", grammar)
        self.decoder.activate_search("words")

    def hear(self, wave: np.ndarray) -> str:
        """24 kHz samples → words."""
        wave = soxr.resample(wave.astype(np.float32), SAMPLE_RATE, 16_000)
        wave = np.pad(0.8 * wave / (np.abs(wave).max() + 1e-9), 4800)
        self.decoder.start_utt()
        self.decoder.process_raw((wave * 32767).astype(np.int16).tobytes(), full_utt=True)
        self.decoder.end_utt()
        best = self.decoder.hyp()
        return best.hypstr if best else ""
