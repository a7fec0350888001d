"""Rounding with feedback loses less of a product than rounding to the nearest."""

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.calibration.rounding import round_matrix
from convert.graphs.blocks import Layout, Packed, quantize_blocks

ROWS = 48


def inputs(columns: int) -> NDArray[np.float32]:
    """Inputs that go together, as those of trained models do."""
    rng = np.random.default_rng(5)
    hidden = rng.standard_normal((4 * columns, columns // 8), dtype=np.float32)
    mixed = hidden @ rng.standard_normal((columns // 8, columns), dtype=np.float32)
    return mixed + 0.3 * rng.standard_normal(mixed.shape, dtype=np.float32)


def unpacked(packed: Packed, layout: Layout, columns: int) -> NDArray[np.float32]:
    """The weights that the operator makes of it."""

    def halves(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([values & 15, values >> 4], axis=-1).reshape(ROWS, -1)

    blocks = layout.blocks(columns)
    levels = halves(packed.quantized).reshape(ROWS, blocks, layout.block).astype(np.float32)
    assert packed.zeros is not None
    zeros = halves(packed.zeros)[:, :blocks, None]
    values = (levels - zeros) * packed.scales.reshape(ROWS, blocks, 1)
    return values.reshape(ROWS, -1)[:, :columns]


@pytest.mark.parametrize(("columns", "block"), [(256, 128), (192, 64), (160, 32), (160, 128)])
def test_less_is_lost(columns: int, block: int) -> None:
    layout = Layout(bits=4, block=block, has_zeros=True)
    weight = np.random.default_rng(3).standard_normal((ROWS, columns), dtype=np.float32)
    x = inputs(columns)
    packed, values = round_matrix(weight, x.T @ x, layout)
    np.testing.assert_allclose(unpacked(packed, layout, columns), values, atol=1e-5)
    nearest = unpacked(quantize_blocks(weight, layout), layout, columns)

    def lost(rounded: NDArray[np.float32]) -> float:
        return float(np.square(x @ (rounded - weight).T).sum())

    assert lost(values) < lost(nearest) / 2


def test_inputs_that_never_occur() -> None:
    """Zeros in the Hessian, as where a model's unit is dead, are no division by zero."""
    layout = Layout(bits=4, block=32, has_zeros=True)
    weight = np.random.default_rng(3).standard_normal((ROWS, 64), dtype=np.float32)
    weight[:, :32] = 0
    for hessian in (np.zeros((64, 64), np.float32), np.diag(np.arange(64) % 2).astype(np.float32)):
        packed, values = round_matrix(weight, hessian, layout)
        assert np.isfinite(packed.scales).all()
        assert np.abs(values - weight).max() < np.abs(weight).max() / 2
