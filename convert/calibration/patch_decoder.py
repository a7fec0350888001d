"""The patch decoder's matrices in 4 bits, rounded layer by layer along real patches.

Every matrix is rounded for the inputs that it will really get, from the layers before it as they
were rounded; and not for what the original matrix would make of them, but for what the original
layer made of the original inputs. So each makes up for the errors before it, as far as it can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.configs import LanguageModelConfig
from ..graphs.blocks import Packed, layout_of
from ..graphs.linear import Weights
from ..graphs.patch_decoder import decoder_input_tables
from .decoder_layers import Matrix, Shape, attend, gated, rms_norm, step_inputs
from .rounding import round_matrix, with_ridge

__all__ = ["SpokenPatches", "calibrate_patch_decoder", "patches_wanted"]

_ROWS_PER_INPUT = 10
"""Rows that a matrix is calibrated with, for each of its inputs, unless they become too many."""
_RIDGE = 1.0
"""How much the matrices hold on to their original values, in units of the mean square of an input.
With few rows less of it makes things worse than they were (a divergence of 0.19 instead of 0.12),
with many it makes no difference."""
_FEWEST, _MOST = 64, 640
"""Patches; 640 are 102 seconds of speech, and 7,040 rows."""
_CHUNK = 64
"""Patches whose wide activations are in memory at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SpokenPatches:
    """Patches and what the backbone said before each of them."""

    hidden: Matrix
    """[patches, hidden], after the final norm."""
    codes: NDArray[np.int64]
    """[patches, group, channels]."""


def patches_wanted(config: LanguageModelConfig) -> int:
    """How many patches are enough for the calibration of a model of this size."""
    steps = config.group_size + max(config.delays)
    enough = _ROWS_PER_INPUT * config.local_ffn_dim // steps
    return min(max(enough, _FEWEST), _MOST)


def calibrate_patch_decoder(
    weights: Weights,
    config: LanguageModelConfig,
    spoken: SpokenPatches,
    precision: str,
    tell: Callable[[int, int], None],
) -> dict[str, Packed]:
    """Round all matrices of the stack; tensor → the matrix as the graph takes it.

    `tell` gets the layers done and all layers.
    """
    table, downcast = decoder_input_tables(weights, config)
    x = step_inputs(spoken.hidden @ downcast.T, spoken.codes, table, config)
    stack = _Stack(weights, config, precision, exact=x, rounded=x.copy())
    for layer in range(config.local_layers):
        stack.round_layer(layer)
        tell(layer + 1, config.local_layers)
    return stack.packed


class _Stack:
    """The original layers and the rounded ones, side by side, up to the layer that is next."""

    def __init__(
        self,
        weights: Weights,
        config: LanguageModelConfig,
        precision: str,
        *,
        exact: Matrix,
        rounded: Matrix,
    ) -> None:
        self._weights = weights
        self._precision = precision
        self._shape = Shape(
            heads=config.local_attn_heads,
            rope_theta=config.rope_theta,
            epsilon=config.rms_norm_eps,
        )
        self._exact, self._rounded = exact, rounded
        self.packed: dict[str, Packed] = {}

    def round_layer(self, number: int) -> None:
        """Round the four products of a layer, and compute its outputs in both ways."""
        layer = f"local_transformer.layers.{number}"
        attention = [f"{layer}.self_attn.{part}_proj" for part in "qkv"]
        bias = np.concatenate([self._weights.array(f"{name}.bias") for name in attention])
        shape = self._shape
        self._add(
            [f"{name}.weight" for name in attention],
            f"{layer}.self_attn.o_proj.weight",
            self._weights.array(f"{layer}.input_layernorm.weight"),
            lambda product: attend(product + bias, shape),
        )
        self._add(
            [f"{layer}.mlp.{part}_proj.weight" for part in ("gate", "up")],
            f"{layer}.mlp.down_proj.weight",
            self._weights.array(f"{layer}.post_attention_layernorm.weight"),
            gated,
        )

    def _add(
        self,
        opening: Sequence[str],
        closing: str,
        gain: Matrix,
        between: Callable[[Matrix], Matrix],
    ) -> None:
        """One half of a layer: norm, product, something between, product, and the sum."""
        epsilon = self._shape.epsilon
        exact, rounded = self._exact, self._rounded
        first = np.concatenate([self._weights.array(name) for name in opening])
        last = self._weights.array(closing)

        def normed() -> Iterator[tuple[slice, Matrix, Matrix]]:
            for part in _chunks(len(exact)):
                yield (
                    part,
                    rms_norm(exact[part], gain, epsilon),
                    rms_norm(rounded[part], gain, epsilon),
                )

        sums = _Sums(first)
        for _, before, now in normed():
            sums.add(before, now)
        first_rounded = self._round(opening, sums)

        def inner() -> Iterator[tuple[slice, Matrix, Matrix]]:
            for part, before, now in normed():
                yield part, between(before @ first.T), between(now @ first_rounded.T)

        # Kept, because the wide products before it are the most expensive part.
        kept = list(inner())
        sums = _Sums(last)
        for part, before, now in kept:
            sums.add(before, now, exact[part] - rounded[part])
        last_rounded = self._round([closing], sums)
        for part, before, now in kept:
            exact[part] += before @ last.T
            rounded[part] += now @ last_rounded.T

    def _round(self, names: Sequence[str], sums: _Sums) -> Matrix:
        """Round matrices with the same inputs; the values that they then have, side by side."""
        weight, hessian = sums.target(), sums.hessian
        values = []
        ends = np.cumsum([self._weights.shape(name)[0] for name in names])[:-1]
        for name, rows in zip(names, np.split(weight, ends), strict=True):
            layout = layout_of(self._precision, name, rows.shape[1])
            self.packed[name], rounded = round_matrix(rows, hessian, layout)
            values.append(rounded)
        return np.concatenate(values)


class _Sums:
    """What is summed up over all rows of a matrix' inputs, originals X and rounded ones Y."""

    def __init__(self, weight: Matrix) -> None:
        self._weight = weight
        out, width = weight.shape
        self.hessian = np.zeros((width, width), dtype=np.float32)
        """YᵀY."""
        self._moved = np.zeros_like(self.hessian)
        """(X - Y)ᵀY: how the inputs moved."""
        self._lacking = np.zeros((out, width), dtype=np.float32)
        """What the sum that the product is added to lacks, times Y."""

    def add(self, exact: Matrix, rounded: Matrix, residual: Matrix | None = None) -> None:
        """Add inputs of the original layer and of the rounded one.

        `residual` is what the sum that the product will be added to lacks already.
        """
        x, y = (rows.reshape(-1, rows.shape[-1]) for rows in (exact, rounded))
        self.hessian += y.T @ y
        self._moved += (x - y).T @ y
        if residual is not None:
            self._lacking += residual.reshape(len(y), -1).T @ y

    def target(self) -> Matrix:
        """The matrix [out, in] that would do the original's work best with the inputs Y."""
        scale = np.float32(np.diag(self.hessian).mean() or 1.0)
        missing = (self._weight @ self._moved + self._lacking) / scale
        correction = np.linalg.solve(with_ridge(self.hessian, _RIDGE), missing.T).T
        target: Matrix = self._weight + correction.astype(np.float32)
        return target


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, start + _CHUNK)
