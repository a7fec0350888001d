"""The arithmetic of the patch decoder's layers in numpy, all steps of many patches at once.

Activations are float32 [patches, steps, width]. It is what the graph computes (`patch_layers`,
`attention`); a test compares both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.configs import LanguageModelConfig

__all__ = ["Matrix", "Shape", "attend", "gated", "rms_norm", "step_inputs"]

Matrix = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the arithmetic has to know of a stack of layers."""

    heads: int
    rope_theta: float
    epsilon: float


def rms_norm(x: Matrix, gain: Matrix, epsilon: float) -> Matrix:
    """Each row with a mean square of one, times the gain."""
    power = np.einsum("...i,...i->...", x, x)[..., None] / x.shape[-1]
    normed: Matrix = x / np.sqrt(power + np.float32(epsilon)) * gain
    return normed


def attend(qkv: Matrix, shape: Shape) -> Matrix:
    """Causal attention over the steps of each patch: [patches, steps, 3 · width] → width."""
    patches, steps, _ = qkv.shape
    q, k, v = (
        part.reshape(patches, steps, shape.heads, -1).transpose(0, 2, 1, 3)
        for part in np.split(qkv, 3, axis=-1)
    )
    cos, sin = _rotation(steps, q.shape[-1], shape.rope_theta)
    scores = _rotate(q, cos, sin) @ _rotate(k, cos, sin).transpose(0, 1, 3, 2)
    scores /= np.sqrt(np.float32(q.shape[-1]))
    scores[..., ~np.tri(steps, dtype=bool)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    together: Matrix = (weights @ v).transpose(0, 2, 1, 3).reshape(patches, steps, -1)
    return together


def _rotation(steps: int, width: int, theta: float) -> tuple[Matrix, Matrix]:
    """Cosines and sines [steps, width / 2]."""
    inverse = theta ** (-np.arange(0, width, 2, dtype=np.float64) / width)
    angles = np.arange(steps)[:, None] * inverse
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rotate(x: Matrix, cos: Matrix, sin: Matrix) -> Matrix:
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def gated(both: Matrix) -> Matrix:
    """SiLU of the first half times the second half."""
    gate, up = np.split(both, 2, axis=-1)
    with np.errstate(over="ignore"):  # exp(-gate) of a very negative gate: the result is zero
        product: Matrix = gate / (1 + np.exp(-gate)) * up
    return product


def step_inputs(
    first: Matrix, codes: NDArray[np.int64], table: Matrix, config: LanguageModelConfig
) -> Matrix:
    """Inputs of all steps of patches whose codes are known, [patches, steps, local_dim].

    `first` [patches, local_dim] is that of step 0, `codes` are [patches, group, channels];
    `table` holds the code embeddings of all codebooks, one below the other.
    """
    steps = config.group_size + max(config.delays)
    starts = np.cumsum([0, *config.speech_vocab_sizes])
    x = np.zeros((len(first), steps, first.shape[1]), dtype=np.float32)
    x[:, 0] = first
    for channel, delay in enumerate(config.delays):
        for time in range(config.group_size):
            if time + delay + 1 < steps:  # the code of the last step is fed to nothing
                x[:, time + delay + 1] += table[starts[channel] + codes[:, time, channel]]
    return x
