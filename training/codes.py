"""Codes of the synthesized speech, computed when first asked for and kept in a file.

A `CodeBank` is tied to one audio tokenizer: its file carries a fingerprint of the
encoder, so codes of an older encoder are never mixed in.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from training.audio_modules import AudioTokenizer
from training.augment import (
    ANSWER,
    LOUDNESS,
    Condition,
    augment,
    colored_noise,
    degrade,
    draw_condition,
)
from training.data import SAMPLE_RATE, Speech, Utterance, describe, render
from training.mel import LogMel
from training.rhythm import align, phone_counts, word_ends, words_at
from training.sequences import WORD_NUMBERS, to_patches

RENDERINGS = 4  # of every utterance that is heard
TARGET, OWN = 7, 6  # the numbers of the other two: as the model is to say it, and says it


class Said(NamedTuple):
    """An utterance as the model is to say it."""

    patches: np.ndarray
    """Codes [P, 4, 8], int16."""
    words: np.ndarray
    """[P, 4, 2]: the domain word (0: silence) of every step and the steps since it began;
    -1 where that is not known."""


def load_tokenizer(path: Path) -> AudioTokenizer:
    """From a training checkpoint (`last.pt`)."""
    from training.tokenizer import CONFIG

    model = AudioTokenizer(CONFIG).eval()
    model.load_state_dict(torch.load(path, map_location="cpu")["model"])
    return model.requires_grad_(False)


def fingerprint(model: AudioTokenizer) -> str:
    """Of everything that decides the codes; the decoder decides how its own speech is heard."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not name.endswith(("embed_avg", "cluster_size", "inited")):
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:12]


class CodeBank:
    """Patches [P, 4, 8] (int16) of utterances."""

    def __init__(
        self, speech: Speech, model: AudioTokenizer, folder: Path | None, part: int = 0
    ) -> None:
        """`part` is the process's own file: several read all of them and write one each."""
        self.speech, self.model = speech, model
        self.mel = LogMel(mels=model.config["n_mels"])
        self.counts = phone_counts(speech)
        self.known: dict[int, np.ndarray] = {}
        self.file: Any = None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"codes-{fingerprint(model)}"
            for other in sorted(folder.glob(f"{name}*.bin")):
                self.read(other)
            path = folder / (f"{name}-{part}.bin" if part else f"{name}.bin")
            end = self.read(path)
            self.file = path.open("r+b" if path.exists() else "wb")
            self.file.truncate(end)
            self.file.seek(end)

    def read(self, path: Path) -> int:
        """What an earlier run computed; the number of its bytes that are whole."""
        data = np.fromfile(path, np.int16) if path.exists() else np.zeros(0, np.int16)
        at = 0
        while at + 3 <= len(data):
            low, high, steps = (int(value) for value in data[at : at + 3])
            if at + 3 + steps * 8 > len(data):
                break
            key = (high << 15) | low
            self.known[key] = data[at + 3 : at + 3 + steps * 8].reshape(-1, 8)
            at += 3 + steps * 8
        return 2 * at

    def keep(self, key: int, codes: np.ndarray) -> None:
        """Remember, in memory and in the file."""
        self.known[key] = codes
        if self.file:
            header = np.array([key & 0x7FFF, key >> 15, len(codes)], np.int16)
            self.file.write(header.tobytes() + np.ascontiguousarray(codes).tobytes())
            self.file.flush()

    @torch.no_grad()
    def encode(self, wave: np.ndarray) -> np.ndarray:
        """Samples → codes [T, 8]."""
        return self.model.encode(self.mel(torch.from_numpy(wave)[None]))[0].numpy().astype(np.int16)

    def target(self, wave: np.ndarray, entry: Utterance) -> np.ndarray:
        """Codes [T, 8] of an utterance as the model is to say it: words begin on code steps."""
        rng = np.random.default_rng(0)
        _, clean, phones = augment(wave, entry, ANSWER, rng)
        said = align(clean, entry["text"], phones, self.counts)
        return self.encode(degrade(said, ANSWER, rng))

    def said(self, codes: np.ndarray, entry: Utterance, later: int) -> Said:
        """A target begun `later` code steps later, and what it says when."""
        numbers = [WORD_NUMBERS.get(word, 0) for word in entry["text"].split()]
        ends = word_ends(entry["text"], entry["phones"], self.counts)
        if ends and all(numbers):
            shifted = [end - ends[0] + ANSWER.lead for end in ends]
            words = words_at(shifted, numbers, len(codes))
        else:
            words = np.full((len(codes), 2), -1)
        words = to_patches(delay(words, later))
        return Said(to_patches(delay(codes, later)), words)

    def answer(self, index: int, later: int = 0) -> Said:
        """The target of an utterance."""
        key, entry = index * 8 + TARGET, self.speech.entries[index]
        if key not in self.known:
            self.keep(key, self.target(self.speech.wave(entry), entry))
        return self.said(self.known[key], entry, later)

    def new_target(self, text: str, voice: str) -> tuple[np.ndarray, Utterance]:
        """The codes [T, 8] of any text, synthesized now, and its entry: both for `said`."""
        entry = describe("answer", text, voice)
        with tempfile.TemporaryDirectory() as scratch:
            wave, entry["phones"] = render(entry, Path(scratch) / "x.wav")
        return self.target(wave, entry), entry

    def heard(self, index: int, rendering: int) -> np.ndarray:
        """One of the everyday renderings; number 0 is clean."""
        key, entry = index * 8 + rendering, self.speech.entries[index]
        if key not in self.known:
            rng = np.random.default_rng((7, index, rendering))
            at = draw_condition(rng)
            if rendering == 0:
                at = Condition(lead=at.lead, tail=at.tail, gain_db=at.gain_db)
            wave, _, _ = augment(self.speech.wave(entry), entry, at, rng)
            self.keep(key, self.encode(wave))
        return to_patches(self.known[key])

    @torch.no_grad()
    def own(self, index: int) -> np.ndarray:
        """An answer as the model itself says it: decoded and heard again."""
        key = index * 8 + OWN
        if key not in self.known:
            codes = self.answer(index).patches.reshape(1, -1, 8).astype(np.int64)
            self.keep(key, self.encode(self.model.decode(torch.from_numpy(codes))[0].numpy()))
        return to_patches(self.known[key])

    def noise(self, number: int) -> np.ndarray:
        """No speech at all: hiss of some color and loudness."""
        rng = np.random.default_rng((8, number))
        samples = int(rng.uniform(0.5, 2.5) * SAMPLE_RATE)
        level = LOUDNESS * 10 ** (-rng.uniform(5, 60) / 20)
        return to_patches(self.encode(level * colored_noise(samples, rng.uniform(0, 1), rng)))


def delay(codes: np.ndarray, steps: int) -> np.ndarray:
    """More of the silence that codes [T, …] begin with: words meet every place in a patch."""
    return np.concatenate([np.repeat(codes[:1], steps, axis=0), codes])
