"""A judge that is not the model: pocketsphinx."""

from __future__ import annotations

import numpy as np
import soxr
from pocketsphinx import Decoder

from training import domain
from training.data import SAMPLE_RATE
from training.words import HOMOPHONES


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
