"""Products of small matrices that stay in the thread that asks for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["product_in_this_thread"]


def product_in_this_thread(
    x: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[n, k] times the rows of [m, k] → [n, m], float32.

    numpy's `@` gives a product of this size to the threads of its library, which wait for each
    other: 0.05 ms on an idle machine, 30 to 100 ms beside a busy program. One scalar product
    after another takes 0.1 ms on both, and no row depends on those beside it.
    """
    return np.asarray((x[:, None, None, :] @ weights[:, :, None])[..., 0, 0])
