"""Sound in and out: files, resampling, log-mel."""

from __future__ import annotations

import functools
import io
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ..atomic import atomic_path
from ..config import AudioConfig
from ..errors import MimoEdgeError

__all__ = [
    "MEL_BLOCK",
    "AudioInput",
    "check_length",
    "log_mel",
    "mel_filters",
    "mel_frames",
    "read_audio",
    "resample",
    "split_at_quiet",
    "write_audio",
]

AudioInput = str | Path | BinaryIO | NDArray[np.float32]
"""A file (`-`: standard input), an open file, or samples float32 [n] at the bundle's rate."""

MEL_BLOCK = 16
"""Mel frames (160 ms) that are computed at once."""

_LARGEST_INTEGER_RATE = 768_000
_LOG_FLOOR = 1e-7
_QUIET_WINDOW_S = 0.2

_OUTPUT_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "OPUS"),
    ".opus": ("OGG", "OPUS"),
}


def read_audio(source: AudioInput, config: AudioConfig) -> NDArray[np.float32]:
    """Read, mix down to mono and resample: float32 [samples] at `config.sample_rate`.

    Raises:
        MimoEdgeError: nothing readable, no samples, NaN or infinity, or too short for
            one analysis window.
    """
    if isinstance(source, np.ndarray):
        name, samples = "the audio array", np.asarray(source, dtype=np.float32)
        if samples.ndim != 1:
            raise MimoEdgeError(
                f"the audio array has shape {samples.shape}; give one channel, [samples], "
                f"at {config.sample_rate} Hz."
            )
    else:
        name, samples, rate = _read_file(source)
        if not np.isfinite(samples).all():
            raise MimoEdgeError(f"{name} holds NaN or infinite samples; export it again.")
        samples = resample(samples.mean(axis=1, dtype=np.float32), rate, config.sample_rate)
    if not np.isfinite(samples).all():
        raise MimoEdgeError(f"{name} holds NaN or infinite samples; export it again.")
    check_length(name, len(samples), config)
    return samples


def check_length(name: str, samples: int, config: AudioConfig) -> None:
    """Refuse a recording that is shorter than the log-mel's first frame reaches.

    Raises:
        MimoEdgeError: how long it is and has to be.
    """
    shortest = config.n_fft // 2 + 1
    if samples < shortest:
        raise MimoEdgeError(
            f"{name} holds {1000 * samples / config.sample_rate:.0f} ms of sound; "
            f"at least {1000 * shortest / config.sample_rate:.0f} ms are needed."
        )


def _read_file(source: str | Path | BinaryIO) -> tuple[str, NDArray[np.float32], int]:
    """(name for messages, samples [n, channels], rate)."""
    if isinstance(source, (str, Path)):
        if str(source) == "-":
            name, stream = "standard input", io.BytesIO(sys.stdin.buffer.read())
            empty = not stream.getbuffer().nbytes
        else:
            path = Path(source)
            name, stream = str(path), None
            if not path.is_file():
                raise MimoEdgeError(f"{path} is not a file; give a recording to read.")
            empty = not path.stat().st_size
        if empty:
            raise MimoEdgeError(f"{name} is empty (0 bytes); record it again.")
        target: str | BinaryIO = stream or str(source)
    else:
        name, target = getattr(source, "name", "the stream"), source
    try:
        samples, rate = soundfile.read(target, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise MimoEdgeError(
            f"{name} is not a sound file that libsndfile reads ({_reason(error)}); "
            "convert it to WAV, FLAC, MP3 or OGG."
        ) from error
    if not 1 <= rate <= _LARGEST_INTEGER_RATE:
        raise MimoEdgeError(f"{name} says its sample rate is {rate} Hz; export it again.")
    return name, samples, rate


def _reason(error: Exception) -> str:
    return str(error).rsplit(": ", 1)[-1].strip().rstrip(".")


def resample(samples: NDArray[np.float32], rate: int, target_rate: int) -> NDArray[np.float32]:
    """Change the sample rate of float32 [samples]; unchanged if it is the same."""
    if rate == target_rate or not len(samples):
        return samples
    return np.asarray(soxr.resample(samples, rate, target_rate), dtype=np.float32)


def split_at_quiet(
    samples: NDArray[np.float32], rate: int, longest_s: float
) -> list[NDArray[np.float32]]:
    """Cut into parts of at most `longest_s` seconds, each at the quietest place before that.

    The place is looked for in the last quarter of a part, among windows of 0.2 s.
    """
    longest, window = int(longest_s * rate), max(1, int(_QUIET_WINDOW_S * rate))
    parts = []
    while len(samples) > longest:
        first = longest * 3 // 4
        tail = samples[first:longest].astype(np.float64) ** 2
        energy = np.convolve(tail, np.ones(window), mode="valid")
        cut = first + int(energy.argmin()) + window // 2
        parts.append(samples[:cut])
        samples = samples[cut:]
    return [*parts, samples]


def write_audio(path: Path, samples: NDArray[np.float32], rate: int) -> None:
    """Write mono float32 [samples] as WAV, FLAC, MP3, OGG or Opus, by the file's name.

    Samples beyond ±1 are clipped. The file appears whole or not at all.

    Raises:
        MimoEdgeError: an unknown ending, or the file cannot be written.
    """
    kind = check_audio_name(path)
    if kind[1] == "OPUS" and rate not in (8000, 12000, 16000, 24000, 48000):
        samples, rate = resample(samples, rate, 48000), 48000
    data = np.clip(samples, -1.0, 1.0)
    # Encoded in memory: of a full disk or a missing folder libsndfile says "System error".
    encoded = io.BytesIO()
    soundfile.write(encoded, data, rate, format=kind[0], subtype=kind[1])
    with atomic_path(path) as partial:
        partial.write_bytes(encoded.getbuffer())


def check_audio_name(path: Path) -> tuple[str, str]:
    """libsndfile's (format, subtype) for a file name; MimoEdgeError if the ending is unknown."""
    kind = _OUTPUT_FORMATS.get(path.suffix.lower())
    if kind is None:
        raise MimoEdgeError(
            f"{path}: cannot tell the format from {path.suffix or 'a name without an ending'!r}; "
            f"use one of {' '.join(_OUTPUT_FORMATS)}."
        )
    return kind


@functools.lru_cache(maxsize=4)
def mel_filters(config: AudioConfig) -> NDArray[np.float32]:
    """Triangular filters on the HTK mel scale, not normalized: [n_fft/2 + 1, n_mels]."""
    bins = np.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1)
    low, high = (2595 * np.log10(1 + f / 700) for f in (config.f_min, config.f_max))
    centres = 700 * (10 ** (np.linspace(low, high, config.n_mels + 2) / 2595) - 1)
    widths = np.diff(centres)
    slopes = centres[None, :] - bins[:, None]
    rising = -slopes[:, :-2] / widths[:-1]
    falling = slopes[:, 2:] / widths[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def log_mel(samples: NDArray[np.float32], config: AudioConfig) -> NDArray[np.float32]:
    """Natural logarithm of mel magnitudes: float32 [1 + samples // hop_length, n_mels].

    Report, section 2; torchaudio's MelSpectrogram with power 1, centred frames with
    reflected edges and a periodic Hann window.
    """
    padded = np.pad(samples, config.n_fft // 2, mode="reflect")
    return mel_frames(padded, 1 + len(samples) // config.hop_length, config)


def mel_frames(padded: NDArray[np.float32], count: int, config: AudioConfig) -> NDArray[np.float32]:
    """The first `count` frames of sound with its edges, float32 [count, n_mels].

    Always `MEL_BLOCK` frames at a time: in matrices of another height the products can differ
    in their last bit, and a stream's frames are to be those of the whole.
    """
    out = np.empty((count, config.n_mels), dtype=np.float32)
    if not count:
        return out
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft)[:: config.hop_length]
    window, filters = _window(config), mel_filters(config)
    block = np.zeros((MEL_BLOCK, config.n_fft), dtype=np.float32)
    for first in range(0, count, MEL_BLOCK):
        part = frames[first : min(first + MEL_BLOCK, count)]
        np.multiply(part, window, out=block[: len(part)])
        magnitude = np.abs(np.fft.rfft(block, axis=1)).astype(np.float32)
        mel = np.log(np.maximum(magnitude @ filters, _LOG_FLOOR))
        out[first : first + len(part)] = mel[: len(part)]
    return out


@functools.lru_cache(maxsize=4)
def _window(config: AudioConfig) -> NDArray[np.float32]:
    """Periodic Hann window in the middle of a frame: [n_fft]."""
    window = np.zeros(config.n_fft, dtype=np.float32)
    start = (config.n_fft - config.window_size) // 2
    window[start : start + config.window_size] = np.hanning(config.window_size + 1)[:-1]
    return window
