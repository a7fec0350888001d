"""A checkpoint that lies nowhere: noise of the shapes that a config asks for.

What a model takes of a machine does not depend on what its weights are, so a bundle of noise is
enough to measure one that was not downloaded.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .checkpoint import Checkpoint
from .safetensors_header import TensorInfo

__all__ = ["RandomCheckpoint"]

_VALUES = 1 << 20
"""Different numbers there are; larger tensors repeat them, which no product notices."""
_SPREAD = 0.1
"""Of biases around 0 and of the weights of norms around 1, as in trained models."""


class RandomCheckpoint(Checkpoint):
    """Tensors of given shapes whose values are made when they are asked for.

    Matrices keep the scale of what goes in, so that no activation grows without end.
    """

    def __init__(self, name: str, shapes: Mapping[str, tuple[int, ...]], *, seed: int = 0) -> None:
        """`name` stands where a folder's would; the same seed gives the same values."""
        folder = Path(name)
        infos = {
            tensor: TensorInfo(
                name=tensor,
                dtype="F32",
                shape=shape,
                path=folder,
                offset=0,
                nbytes=4 * math.prod(shape),
            )
            for tensor, shape in shapes.items()
        }
        super().__init__(folder, {}, infos, ())
        self._noise = np.random.default_rng(seed).standard_normal(_VALUES, dtype=np.float32)

    def raw(self, name: str) -> npt.NDArray[Any]:
        """A tensor, float32.

        Raises:
            MimoEdgeError: there is none of that name.
        """
        shape = self.info(name).shape
        if name.endswith(".window"):  # of a Fourier transform: one that can be divided by
            return np.hanning(shape[0] + 1)[:-1].astype(np.float32)
        start = zlib.crc32(name.encode()) % _VALUES  # another beginning for every tensor
        values = np.resize(np.roll(self._noise, start), shape)
        if len(shape) == 1:
            mean = 1.0 if name.endswith("norm.weight") else 0.0
            return np.asarray(mean + _SPREAD * values, dtype=np.float32)
        return np.asarray(values / math.prod(shape[1:]) ** 0.5, dtype=np.float32)

    def source_files(self) -> list[Path]:
        """None: it was made from nothing."""
        return []
