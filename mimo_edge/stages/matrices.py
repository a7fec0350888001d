"""Matrices that lie beside the graphs of a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle.untrusted_arrays import UnusableArrayError, map_matrix
from ..errors import BadBundleError

__all__ = ["load_matrix"]


def load_matrix(path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Map a float32 matrix of this shape into memory.

    Raises:
        MimoEdgeError: it is missing, damaged, or of another bundle.
    """
    try:
        return map_matrix(path, shape)
    except OSError as error:
        raise BadBundleError(
            f"{path} does not load ({error.strerror or error}); copy the bundle again."
        ) from error
    except UnusableArrayError as error:
        raise BadBundleError(
            f"{path} does not load: {error}; it is damaged, or it is of another bundle."
        ) from error
