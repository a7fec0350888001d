"""Products without the threads of numpy's library."""

from __future__ import annotations

import numpy as np
import pytest

from mimo_edge.system.products import product_in_this_thread


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 4096, 64), (16, 481, 128), (0, 3, 5)])
def test_a_product_is_that_of_numpy_and_of_each_row_alone(
    rows: int, inner: int, columns: int
) -> None:
    rng = np.random.default_rng(inner)
    x = rng.standard_normal((rows, inner), dtype=np.float32)
    weights = rng.standard_normal((columns, inner), dtype=np.float32)
    found = product_in_this_thread(x, weights)
    assert found.shape == (rows, columns) and found.dtype == np.float32
    np.testing.assert_allclose(found, x.astype(np.float64) @ weights.T, atol=1e-3)
    for row in range(rows):
        alone = product_in_this_thread(x[row : row + 1], weights)
        np.testing.assert_array_equal(found[row : row + 1], alone)
