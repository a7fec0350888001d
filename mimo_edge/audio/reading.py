"""Recordings in: files, open files and arrays become samples at the model's rate."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..config import AudioConfig
from ..errors import MimoEdgeError
from .resampling import resample

__all__ = ["AudioInput", "check_length", "read_audio"]

AudioInput = str | Path | BinaryIO | NDArray[np.float32]
"""A file (`-`: standard input), an open file, or samples float32 [n] at the bundle's rate."""

_LARGEST_INTEGER_RATE = 768_000


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
