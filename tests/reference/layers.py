"""The building blocks both halves of the model share, on arrays [time, width]."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

NORM_EPS = 1e-5
"""Of the audio tokenizer's LayerNorm and GroupNorm."""

_erf = np.vectorize(math.erf, otypes=[np.float64])


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x [..., in] → [..., out]; weight [out, in]."""
    y = x @ weight.T
    return y if bias is None else y + bias


def gelu(x: Array) -> Array:
    """The exact one, with the error function."""
    y: Array = (0.5 * x * (1 + _erf(x / math.sqrt(2)))).astype(x.dtype)
    return y


def silu(x: Array) -> Array:
    """x times its logistic function."""
    y: Array = x / (1 + np.exp(-x))
    return y


def softmax(x: Array) -> Array:
    """Over the last axis."""
    e: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    y: Array = e / e.sum(axis=-1, keepdims=True)
    return y


def layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    """Over the last axis."""
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    y: Array = (x - mean) / np.sqrt(variance + NORM_EPS) * weight + bias
    return y


def group_norm(x: Array, weight: Array, bias: Array) -> Array:
    """One group: over time and channels together; x [time, channels]."""
    mean = x.mean()
    variance = ((x - mean) ** 2).mean()
    y: Array = (x - mean) / np.sqrt(variance + NORM_EPS) * weight + bias
    return y


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Over the last axis."""
    mean_square = (x * x).mean(axis=-1, keepdims=True)
    y: Array = x / np.sqrt(mean_square + x.dtype.type(eps)) * weight
    return y


def rope(x: Array, positions: Array, theta: float) -> Array:
    """Rotate x [time, heads, head_dim]: the halves of a head are the pairs."""
    half = x.shape[-1] // 2
    frequencies = theta ** (-np.arange(half, dtype=np.float64) / half)
    angles = positions[:, None, None] * frequencies
    cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def visible(queries: Array, keys: Array, left: int, right: int) -> Array:
    """[queries, keys]: may a position see another; windows are inclusive, -1 unlimited."""
    distance = keys[None, :] - queries[:, None]
    seen = np.ones(distance.shape, bool)
    if left >= 0:
        seen &= distance >= -left
    if right >= 0:
        seen &= distance <= right
    return seen


def attention(q: Array, k: Array, v: Array, seen: Array) -> Array:
    """q [n, heads, d], k and v [m, kv_heads, d], seen [n, m] → [n, heads · d]."""
    n, heads, dim = q.shape
    shared = heads // k.shape[1]
    out = np.empty_like(q)
    scale = q.dtype.type(1 / math.sqrt(dim))
    for head in range(heads):
        scores = q[:, head] @ k[:, head // shared].T * scale
        out[:, head] = softmax(np.where(seen, scores, -np.inf)) @ v[:, head // shared]
    return out.reshape(n, heads * dim)


def conv1d(x: Array, weight: Array, bias: Array | None, stride: int, padding: int) -> Array:
    """x [time, in], weight [out, in, kernel] → [time', out]; zeros around."""
    kernel = weight.shape[2]
    x = np.pad(x, ((padding, padding), (0, 0)))
    count = (len(x) - kernel) // stride + 1
    y = np.zeros((count, weight.shape[0]), x.dtype)
    for tap in range(kernel):
        y += x[tap : tap + stride * (count - 1) + 1 : stride] @ weight[:, :, tap].T
    return y if bias is None else y + bias


def conv_transpose1d(x: Array, weight: Array, bias: Array, stride: int) -> Array:
    """x [time, in], weight [in, out, kernel] → [(time - 1) · stride + kernel, out]."""
    kernel = weight.shape[2]
    y = np.zeros(((len(x) - 1) * stride + kernel, weight.shape[1]), x.dtype)
    for tap in range(kernel):
        y[tap : tap + stride * (len(x) - 1) + 1 : stride] += x @ weight[:, :, tap]
    return y + bias
