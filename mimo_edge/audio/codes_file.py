"""Files of RVQ codes: NumPy's .npz with `codes` and where they are from; nothing pickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_output
from ..bundle.manifest import Manifest
from ..bundle.untrusted_arrays import ArrayFile, UnusableArrayError
from ..errors import BadInputError
from .reading import LONGEST_S

__all__ = ["check_name", "read", "write"]

_LARGEST = 2**31 - 1
_MOST_CODEBOOKS = 256
_MOST_BYTES = 1 << 28
"""Of codes as int64; four hours of the released model's take 58 MB."""
_NAMED = 32
"""Codebooks that a message lists at most."""


def check_name(path: Path) -> None:
    """Raise MimoEdgeError unless the name ends in .npz."""
    if path.suffix != ".npz":
        raise BadInputError(f"{path}: codes are written as .npz; give such a name.")


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
    """Codes int64 [steps, ≥ channels], each within its codebook.

    Raises:
        MimoEdgeError: the file cannot be read, is too long, or its codes are of another audio
            tokenizer.
    """
    audio = manifest.audio
    # What is read as sound can be written as codes, and the other way round.
    most_steps = LONGEST_S * audio.sample_rate // audio.samples_per_step + 1
    try:
        with ArrayFile(path, budget=_MOST_BYTES) as file:
            sizes = file.integers(
                "codebook_sizes", [None], least=1, most=_LARGEST, longest=_MOST_CODEBOOKS
            )
            rate = int(file.integers("sample_rate", [], least=1, most=_LARGEST, longest=0))
            step = int(file.integers("samples_per_step", [], least=1, most=_LARGEST, longest=0))
            _check_kind(path, manifest, tuple(sizes.tolist()), rate, step)
            codes = file.integers(
                "codes", [None, len(sizes)], least=0, most=_LARGEST, longest=most_steps
            )
    except UnusableArrayError as error:
        raise BadInputError(
            f"{path} is not a file of codes of at most {LONGEST_S // 3600} hours ({error}); "
            "make one with `mimo-edge encode`."
        ) from error
    wrong = np.argwhere(codes >= sizes)
    if len(wrong):
        row, column = wrong[0]
        raise BadInputError(
            f"{path} holds code {codes[row, column]} at step {row} of codebook {column}, "
            f"outside 0…{sizes[column] - 1}; the file is damaged."
        )
    return codes


def _check_kind(
    path: Path, manifest: Manifest, sizes: tuple[int, ...], rate: int, step: int
) -> None:
    """Raise MimoEdgeError unless this model's audio tokenizer has such codebooks and rates."""
    audio, channels = manifest.audio, manifest.patch.channels
    wanted = audio.codebook_sizes[:channels]
    if sizes[:channels] != wanted or (rate, step) != (audio.sample_rate, audio.samples_per_step):
        raise BadInputError(
            f"{path} holds codes of codebooks {sizes[:_NAMED]}, {step} samples each at {rate} Hz; "
            f"this model decodes {channels} codebooks {wanted}, {audio.samples_per_step} samples "
            f"each at {audio.sample_rate} Hz."
        )
