"""The matrix products of the reference in PyTorch, bfloat16: how long they take here, bare.

No norms, no attention, no softmax, no Python of a model: less than the reference computes, so the
figures flatter it. `training.reference_speed` runs this as a process of its own, possibly with
another Python that has PyTorch, and asks for one measurement per line of standard input.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

__all__ = ["Shapes", "main"]

_DISTINCT_LAYERS = 4
"""Layers of the backbone that are in memory, 1.4 GB in the released model: all of them would be
14 GB. They are used over and over, and are far more than a processor's cache holds."""


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """The dimensions that say which products there are."""

    hidden: int
    layers: int
    keys: int
    """Width of keys and of values of the backbone."""
    ffn: int
    vocabulary: int
    local_hidden: int
    local_ffn: int
    decoder_layers: int
    encoder_layers: int
    group: int
    """Time steps of a patch."""
    codes: tuple[int, ...]
    """Sizes of the code vocabularies."""
    delays: tuple[int, ...]
    prompt: int
    """Positions of a prompt."""


class Products:
    """The weights, random, and what is measured with them."""

    def __init__(self, shapes: Shapes) -> None:
        """Make the weights: 3.5 GB with the released dimensions."""
        s = self._shapes = shapes
        kept = min(s.layers, _DISTINCT_LAYERS)
        self._backbone = [_layer(s.hidden, s.keys, s.ffn) for _ in range(kept)]
        self._head = _matrix(s.vocabulary, s.hidden)
        local = (s.local_hidden, s.local_hidden, s.local_ffn)
        self._decoder = [_layer(*local) for _ in range(s.decoder_layers)]
        self._encoder = [_layer(*local) for _ in range(s.encoder_layers)]
        self._heads = [_matrix(size, s.local_hidden) for size in s.codes]
        self._down = _matrix(s.local_hidden, s.hidden)
        self._up = _matrix(s.hidden, s.group * s.local_hidden)

    def step(self) -> None:
        """The backbone's products for one position."""
        self._layers(1)
        _multiply([self._head], 1)

    def prompt(self) -> None:
        """The backbone's for a prompt; the head for its last position alone."""
        self._layers(self._shapes.prompt)
        _multiply([self._head], 1)

    def patch_decoder(self) -> None:
        """All steps of one patch; in each the heads of the codebooks that are active."""
        s = self._shapes
        _multiply([self._down], 1)
        for step in range(s.group + max(s.delays)):
            for layer in self._decoder:
                _multiply(layer, 1)
            active = [d <= step < d + s.group for d in s.delays]
            _multiply([head for head, on in zip(self._heads, active, strict=True) if on], 1)

    def patch_encoder(self) -> None:
        """One patch: all its time steps at once."""
        for layer in self._encoder:
            _multiply(layer, self._shapes.group)
        _multiply([self._up], 1)

    def _layers(self, rows: int) -> None:
        for number in range(self._shapes.layers):
            _multiply(self._backbone[number % len(self._backbone)], rows)


def _layer(width: int, keys: int, ffn: int) -> list[torch.Tensor]:
    shapes = [(width, width), (keys, width), (keys, width), (width, width)]
    return [_matrix(*shape) for shape in (*shapes, (ffn, width), (ffn, width), (width, ffn))]


def _matrix(rows: int, columns: int) -> torch.Tensor:
    return torch.empty(rows, columns, dtype=torch.bfloat16).uniform_(-0.02, 0.02)


def _multiply(weights: list[torch.Tensor], rows: int) -> None:
    for weight in weights:
        torch.nn.functional.linear(_input(rows, weight.shape[1]), weight)


_inputs: dict[tuple[int, int], torch.Tensor] = {}


def _input(rows: int, width: int) -> torch.Tensor:
    """Made once per shape, so that making it is not measured."""
    if (rows, width) not in _inputs:
        _inputs[rows, width] = torch.randn(rows, width, dtype=torch.bfloat16)
    return _inputs[rows, width]


def main() -> None:
    """Arguments: the shapes as JSON, the number of threads. Answers each line with seconds."""
    given = json.loads(sys.argv[1])
    shapes = Shapes(**given | {name: tuple(given[name]) for name in ("codes", "delays")})
    torch.set_num_threads(int(sys.argv[2]))
    with torch.inference_mode():
        products = Products(shapes)
        runs: dict[str, Callable[[], None]] = {
            "step": products.step,
            "prompt": products.prompt,
            "patch decoder": products.patch_decoder,
            "patch encoder": products.patch_encoder,
        }
        for line in sys.stdin:
            start = time.perf_counter()
            runs[line.strip()]()
            sys.stdout.write(f"{time.perf_counter() - start}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
