"""The steps of the patch decoder's graph for some patches, with the cache that grows by each.

Two layouts of the graph are known. A graph that conversions write today has a cache with room for
all steps of a patch, which it changes in place. That of earlier bundles takes and gives a cache,
copied in every step, which takes a tenth of its time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from .graphs.graph import Graph

__all__ = ["PatchSteps"]

_Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class PatchSteps:
    """Makes the steps of patches, and keeps the arrays of the last ones for the next."""

    def __init__(self, graph: Graph, vocabulary: int) -> None:
        """`vocabulary` is that of all codebooks together, the columns of the logits."""
        self._graph = graph
        self._vocabulary = vocabulary
        self._copied = "past" in graph.inputs
        self._idle: list[_InPlace] = []

    @contextlib.contextmanager
    def begin(self, rows: int) -> Iterator[_Run]:
        """A function that makes the next step of `rows` new patches, again and again: inputs
        float32 [rows, local_dim] → logits float32 [rows, vocabulary], which the next step
        overwrites."""
        if self._copied:
            yield self._copying(rows)
            return
        try:
            steps = self._idle.pop()
        except IndexError:  # the first patch, or another thread is in one
            steps = None
        if steps is None or steps.rows != rows:
            steps = _InPlace(self._graph, rows, self._vocabulary)
        steps.made = 0
        yield steps.run
        self._idle[:] = [steps]

    def close(self) -> None:
        """Free the graph."""
        self._graph.close()
        self._idle.clear()

    def _copying(self, rows: int) -> _Run:
        state = self._graph.fresh_state(["x"], batch=rows)

        def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
            feeds = {"x": np.ascontiguousarray(x[:, None], dtype=np.float32)}
            return self._graph.run_stateful(feeds, state, "logits")

        return run


class _InPlace:
    """Arrays that the graph reads and writes, for so many patches at once."""

    def __init__(self, graph: Graph, rows: int, vocabulary: int) -> None:
        self.rows = rows
        self.made = 0
        """Steps so far. What the caches hold beyond them is of other patches, and not read."""
        self._last_step = np.zeros(rows, dtype=np.int32)
        self._steps = np.zeros((), dtype=np.int32)
        self._logits = np.zeros((rows, vocabulary), dtype=np.float32)
        inputs = {"last_step": self._last_step, "steps": self._steps}
        outputs = {"logits": self._logits}
        for name, value in graph.inputs.items():
            if name.startswith("past_"):
                cache = np.zeros((rows, *value.shape[1:]), dtype=np.float32)
                inputs[name] = outputs[name.replace("past", "present", 1)] = cache
        width = graph.inputs["x"].shape[2]
        self._x = inputs["x"] = np.zeros((rows, 1, width), dtype=np.float32)
        self._bound = graph.bind(inputs, outputs)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of the next step, of inputs [rows, local_dim]."""
        self._x[:, 0] = x
        self._last_step[:] = self.made
        self.made += 1
        self._steps[...] = self.made
        self._bound.run()
        return self._logits
