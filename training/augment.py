"""Make synthesized speech sound like speech that was recorded.

`augment` returns two waveforms of one length: `heard`, what the microphone would give,
and `clean`, the same speech (same speed, same pitch, same silences) at one loudness and
without noise, echo or band limits. The audio tokenizer learns heard → clean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from training.data import SAMPLE_RATE, Utterance

LOUDNESS = 0.08  # root mean square of the clean speech


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How one rendering is changed; the defaults change nothing but the loudness."""

    rate: float = 1.0  # playing speed: tempo, pitch and formants together
    lead: float = 0.15  # seconds of silence before the first phone
    tail: float = 0.15
    gain_db: float = 0.0  # relative to LOUDNESS
    snr_db: float | None = None
    color: float = 0.0  # of the noise: spectrum falls with frequency ** -color
    echo: float = 0.0  # share of the reverberation
    band: tuple[float, float] | None = None  # hertz
    floor_db: float | None = -75.0  # microphone hiss relative to full scale


ANSWER = Condition(lead=0.1, tail=0.12)
"""How the model's own voice is recorded: always the same way, so it is easy to learn."""


def draw_condition(rng: np.random.Generator) -> Condition:
    """A random everyday recording."""
    uniform = rng.uniform
    return Condition(
        rate=uniform(0.92, 1.08) if rng.random() < 0.5 else 1.0,
        lead=uniform(0.03, 0.5),
        tail=uniform(0.05, 0.45),
        gain_db=uniform(-14, 6),
        snr_db=uniform(12, 40) if rng.random() < 0.55 else None,
        color=uniform(0.0, 1.0),
        echo=uniform(0.05, 0.3) if rng.random() < 0.25 else 0.0,
        band=(uniform(50, 300), uniform(3400, 9000)) if rng.random() < 0.25 else None,
        floor_db=uniform(-95, -50) if rng.random() < 0.85 else None,
    )


def colored_noise(samples: int, color: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit power whose spectrum falls with frequency."""
    spectrum = np.fft.rfft(rng.standard_normal(samples).astype(np.float32))
    spectrum *= (np.arange(len(spectrum)) + 0.002 * samples) ** -color
    noise = np.fft.irfft(spectrum, samples)
    return (noise / (noise.std() + 1e-12)).astype(np.float32)


def reverberate(wave: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A little room: the sound and an exponentially fading tail."""
    length = int(rng.uniform(0.05, 0.2) * SAMPLE_RATE)
    fade = np.exp(-np.arange(length) / (length / 5)) * rng.standard_normal(length)
    fade[: int(0.002 * SAMPLE_RATE)] = 0
    room = np.zeros(length)
    room[0] = 1.0
    room += share * fade / np.sqrt((fade**2).sum())
    size = 1 << (len(wave) + length).bit_length()
    product = np.fft.rfft(wave, size) * np.fft.rfft(room, size)
    return np.fft.irfft(product, size)[: len(wave)].astype(np.float32)


def limit_band(wave: np.ndarray, low: float, high: float) -> np.ndarray:
    """Soft band limits."""
    spectrum = np.fft.rfft(wave)
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    spectrum *= 1 / (1 + (low / (hertz + 1.0)) ** 4) / (1 + (hertz / high) ** 8)
    return np.fft.irfft(spectrum, len(wave)).astype(np.float32)


Phones = list[tuple[str, float]]


def place(wave: np.ndarray, utterance: Utterance, at: Condition) -> tuple[np.ndarray, Phones]:
    """Clean speech with its silences, at the standard loudness, and its phones' end times."""
    phones: Phones = [(name, end / at.rate) for name, end in utterance["phones"]]
    if at.rate != 1.0:
        wave = soxr.resample(wave, SAMPLE_RATE * at.rate, SAMPLE_RATE, quality="MQ")
    first = phones[0][1] if phones[0][0] == "pau" else 0.0
    last = phones[-2][1] if phones[-1][0] == "pau" else phones[-1][1]
    begin, end = int(first * SAMPLE_RATE), int(last * SAMPLE_RATE)
    speech = wave[begin:end]
    level = np.sqrt((speech**2).mean()) + 1e-9
    gain = min(LOUDNESS / level, 0.95 / (np.abs(speech).max() + 1e-9))
    lead, tail = int(at.lead * SAMPLE_RATE), int(at.tail * SAMPLE_RATE)
    out = np.zeros(lead + len(speech) + tail, np.float32)
    before = min(begin, lead, int(0.03 * SAMPLE_RATE))  # phones do not begin quite sharply
    after = min(len(wave) - end, tail, int(0.08 * SAMPLE_RATE))
    out[lead - before : lead + len(speech) + after] = wave[begin - before : end + after] * gain
    shift = at.lead - first
    kept = [("pau", at.lead)]
    kept += [(name, stop + shift) for name, stop in phones if first < stop <= last + 1e-6]
    return out, [*kept, ("pau", len(out) / SAMPLE_RATE)]


def degrade(clean: np.ndarray, at: Condition, rng: np.random.Generator) -> np.ndarray:
    """What a microphone would have recorded of it."""
    wave = clean
    if at.echo:
        wave = reverberate(wave, at.echo, rng)
    if at.snr_db is not None:
        noise = colored_noise(len(wave), at.color, rng)
        wave = wave + LOUDNESS * 10 ** (-at.snr_db / 20) * noise
    if at.band:
        wave = limit_band(wave, *at.band)
    wave = wave * 10 ** (at.gain_db / 20)
    if at.floor_db is not None:
        wave = wave + 10 ** (at.floor_db / 20) * rng.standard_normal(len(wave)).astype(np.float32)
    return wave.clip(-1.0, 1.0).astype(np.float32)


def augment(
    wave: np.ndarray, utterance: Utterance, at: Condition, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Phones]:
    """(heard, clean, phones)."""
    clean, phones = place(wave, utterance, at)
    return degrade(clean, at, rng), clean, phones
