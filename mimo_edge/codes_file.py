"""Files of RVQ codes: NumPy's .npz with `codes` and where they are from; nothing pickled."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .atomic import atomic_output
from .config import Manifest
from .errors import MimoEdgeError

__all__ = ["check_name", "read", "write"]


def check_name(path: Path) -> None:
    """Raise MimoEdgeError unless the name ends in .npz."""
    if path.suffix != ".npz":
        raise MimoEdgeError(f"{path}: codes are written as .npz; give such a name.")


def write(path: Path, codes: NDArray[np.int64], manifest: Manifest) -> None:
    """Write codes [steps, quantizers], as int16, with the rates they need to be understood."""
    check_name(path)
    audio = manifest.audio
    with atomic_output(path) as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            codes=codes.astype(np.int16),
            codebook_sizes=np.array(audio.codebook_sizes[: codes.shape[1]]),
            sample_rate=np.array(audio.sample_rate),
            samples_per_step=np.array(audio.samples_per_step),
        )


def read(path: Path, manifest: Manifest) -> NDArray[np.int64]:
    """Codes int64 [steps, ≥ channels].

    Raises:
        MimoEdgeError: the file cannot be read, or its codes are of another audio tokenizer.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            codes = file["codes"].astype(np.int64)
            sizes, rate = file["codebook_sizes"], int(file["sample_rate"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise MimoEdgeError(
            f"{path} is not a file of codes ({error}); make one with `mimo-edge encode`."
        ) from error
    audio, channels = manifest.audio, manifest.patch.channels
    if (
        codes.ndim != 2
        or codes.shape[1] < channels
        or rate != audio.sample_rate
        or tuple(sizes[:channels]) != audio.codebook_sizes[:channels]
    ):
        raise MimoEdgeError(
            f"{path} holds codes {codes.shape} of codebooks {tuple(sizes.tolist())} at {rate} Hz; "
            f"this model decodes {channels} codebooks {audio.codebook_sizes[:channels]} at "
            f"{audio.sample_rate} Hz."
        )
    return np.asarray(codes)
