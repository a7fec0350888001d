"""The rhythm of the model's own voice: every word begins on a code step.

A word's codes depend on where in a 40 ms step it begins. Left to chance, every word has
endless versions, and those of new sequences are guessed badly. So the words of a target are
made a little longer or shorter (by at most 20 ms, at unchanged pitch) until each begins
where a step does.
"""

from __future__ import annotations

import itertools

import numpy as np

from training.data import SAMPLE_RATE, Speech

STEP = 960  # samples of one code step
FRAME, HOP = 480, 240  # of the overlap-add
UNSAID = {"i": 1, "to": 2}  # words of the domain that nobody says alone, and their phones
LONGEST = 24  # code steps since a word began that are told apart
SEARCH = 110  # samples either way in which the waveform may fit better


def phone_counts(speech: Speech) -> dict[str, int]:
    """How many phones each word has, by the utterances that consist of it alone."""
    counts = dict(UNSAID)
    for entry in speech.entries:
        if " " not in entry["text"]:
            counts[entry["text"]] = sum(name != "pau" for name, _ in entry["phones"])
    return counts


def word_ends(text: str, phones: list[tuple[str, float]], counts: dict[str, int]) -> list[float]:
    """Seconds at which the words of an utterance end; [] if its phones do not add up.

    The first value is where the first word begins.
    """
    sounds = [(name, end) for name, end in phones if name != "pau"]
    sizes = [counts.get(word, 0) for word in text.split()]
    if sum(sizes) != len(sounds) or 0 in sizes:
        return []
    lead = phones[0][1] if phones[0][0] == "pau" else 0.0
    return [lead, *(sounds[last - 1][1] for last in np.cumsum(sizes))]


def on_steps(ends: list[float]) -> list[int]:
    """Where each of `ends` (seconds) is to come, in samples: multiples of a code step."""
    out = [max(1, round(ends[0] * SAMPLE_RATE / STEP)) * STEP]
    for begin, end in itertools.pairwise(ends):
        out.append(out[-1] + STEP * max(2, round((end - begin) * SAMPLE_RATE / STEP)))
    return out


def words_at(ends: list[float], numbers: list[int], steps: int) -> np.ndarray:
    """[steps, 2]: the number of the word that each code step is in (0: silence), and how many
    steps ago it began.

    `ends` (seconds) as `word_ends` gives them, and the `numbers` of those words.
    """
    out = np.zeros((steps, 2), np.int64)
    borders = [at // STEP for at in on_steps(ends)]
    spans = itertools.pairwise([0, *borders, steps])
    for word, (begin, end) in zip([0, *numbers, 0], spans, strict=True):
        span = out[begin:end]
        span[:, 0] = word
        span[:, 1] = np.arange(len(span)).clip(max=LONGEST - 1)
    return out


def align(
    wave: np.ndarray, text: str, phones: list[tuple[str, float]], counts: dict[str, int]
) -> np.ndarray:
    """The utterance with every word on a code step; unchanged if its phones do not add up."""
    ends = word_ends(text, phones, counts)
    if not ends:
        return wave
    return stretch(wave, np.array(ends) * SAMPLE_RATE, np.array(on_steps(ends)))


def stretch(wave: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Move samples `source` to `target` and what lies between them in proportion (WSOLA).

    Frames are taken where they continue the last one best (Verhelst and Roelands, 1993).
    """
    source = np.array([0, *source, len(wave)], float)
    target = np.array([0, *target, target[-1] + len(wave) - source[-2]], float)
    padded = np.pad(wave, (SEARCH, 2 * FRAME + SEARCH))
    window = np.hanning(FRAME + 1)[:-1].astype(np.float32)
    out = np.zeros(int(target[-1]) + 2 * FRAME, np.float32)
    at = 0
    for begin in range(-HOP, int(target[-1]), HOP):
        want = max(0, int(np.interp(begin, target, source)))
        if begin <= 0:
            at = want
        else:
            follow = padded[SEARCH + at + HOP : SEARCH + at + HOP + FRAME]
            around = padded[want : want + FRAME + 2 * SEARCH]
            likeness = np.correlate(around, follow, "valid")
            energy = np.convolve(around * around, np.ones(FRAME), "valid")
            at = want - SEARCH + int(np.argmax(likeness / np.sqrt(energy + 1e-6)))
            at = min(max(at, 0), len(wave))
        first = max(begin, 0)
        piece = padded[SEARCH + at : SEARCH + at + FRAME] * window
        out[first : begin + FRAME] += piece[first - begin :]
    return out[: int(target[-1])]
