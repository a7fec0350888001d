"""ONNX graphs of a bundle: loading, the check of their contracts, running.

Only this module and the others named `graph_…` import onnxruntime.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ...bundle.graph_check import check_graph
from ...bundle.manifest import Manifest
from ...errors import BadBundleError, MimoEdgeError
from ...system.memory import is_memory_fault, no_memory
from ..llama.native import Native
from ..machine.placement import Placement
from .contract import check_contract, fits
from .providers import CPU
from .sessions import OpenedGraph, open_graph, tell_fallback

__all__ = ["BoundGraph", "Graph", "GraphState"]

_NUMPY = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
_STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_NOISE = re.compile(r"\[\w+Error\] |Load model from .*? failed: ?")
_LONGEST_REASON = 240


class Graph:
    """One loaded graph. Close it, or use it as a context manager, to free its memory."""

    def __init__(self, path: Path, opened: OpenedGraph, placement: Placement) -> None:
        self._path = path
        self._placement = placement
        session, self.provider = opened
        self._session = _held(session)
        self._moving = threading.Lock()
        self.inputs = {value.name: value for value in session.get_inputs()}
        self._shapes = {value.name: tuple(value.shape) for value in session.get_outputs()}

    @classmethod
    def load(cls, bundle: Path, name: str, manifest: Manifest, placement: Placement) -> Graph:
        """Load `{name}.onnx` with its weights mapped from disk, and check its contract.

        Raises:
            MimoEdgeError: the graph does not load or does not fulfil its contract.
        """
        path = bundle / f"{name}.onnx"
        check_graph(path)
        try:
            opened = open_graph(path, placement)
        except Exception as error:  # onnxruntime's exception classes share no base of their own
            raise _sentence(f"{path} does not load", error) from error
        sides = {"input": opened.session.get_inputs(), "output": opened.session.get_outputs()}
        found = {
            side: {value.name: (value.type, value.shape) for value in values}
            for side, values in sides.items()
        }
        check_contract(path, name, found, manifest)
        return cls(path, opened, placement)

    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> list[NDArray[Any]]:
        """Run once; arrays in, arrays out, in the order of `outputs` (default: all).

        Raises:
            MimoEdgeError: the graph cannot be computed, or gives something else than it says.
        """
        names = list(outputs or self._shapes)
        result = self._compute(lambda session: session.run(names, dict(feeds)))
        for name, array in zip(names, result, strict=True):
            self._check_shape(name, array.shape)
        return list(result)

    def run_stateful(
        self, feeds: Mapping[str, NDArray[Any]], state: GraphState, output: str
    ) -> NDArray[Any]:
        """Run once with the state's tensors as further inputs; replaces the state.

        The state stays in onnxruntime's memory, so that a long cache is not copied out.

        Raises:
            MimoEdgeError: the graph cannot be computed, or gives something else than it says.
        """
        values = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()
        }
        names = [output, *state.next_names.values()]
        result = self._compute(
            lambda session: session.run_with_ort_values(names, {**values, **state.values})
        )
        for name, value in zip(names, result, strict=True):
            self._check_shape(name, value.shape())
        state.values = dict(zip(state.next_names, result[1:], strict=True))
        return np.asarray(result[0].numpy())

    def fresh_state(self, feeds: Sequence[str], **sizes: int) -> GraphState:
        """The state before the first run: zeros for every input but those named in `feeds`.

        A free dimension has the size given for its name in `sizes`, or else 0: an empty cache.
        """
        values = {}
        for name, value in self.inputs.items():
            if name not in feeds:
                shape = [dim if isinstance(dim, int) else sizes.get(dim, 0) for dim in value.shape]
                array = np.zeros(shape, dtype=_NUMPY[value.type])
                values[name] = onnxruntime.OrtValue.ortvalue_from_numpy(array)
        return GraphState(values)

    def bind(
        self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
    ) -> BoundGraph:
        """The graph with arrays that each run reads and writes in place.

        They are C-contiguous, of the dtypes and shapes that the graph declares. An array that is
        input and output at once is a state that the graph changes where it lies.

        Raises:
            MimoEdgeError: the graph is closed, or does not have such an input or output.
        """
        with self._session.use() as session, self._failures():
            binding = session.io_binding()
            values = {
                id(array): onnxruntime.OrtValue.ortvalue_from_numpy(array)
                for array in (*inputs.values(), *outputs.values())
            }
            for name, array in inputs.items():
                binding.bind_ortvalue_input(name, values[id(array)])
            for name, array in outputs.items():
                binding.bind_ortvalue_output(name, values[id(array)])
        return BoundGraph(self, binding, dict(inputs), dict(outputs))

    def run_bound(self, bound: BoundGraph) -> None:
        """Run once on bound arrays; `BoundGraph.run` calls this.

        Raises:
            MimoEdgeError: the graph cannot be computed, or gives another shape than it says.
        """
        with self._session.use() as session, self._failures():
            session.run_with_iobinding(bound.binding)

    def close(self) -> None:
        """Free the graph's memory; it cannot run any more."""
        self._session.close()

    def __enter__(self) -> Graph:
        """The loaded graph, which the end of the block frees."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free the graph's memory."""
        self.close()

    def _compute(self, run: Callable[[Any], Any]) -> Any:
        """What `run` gives for the session; if its provider fails, for one on the processor."""
        held, provider = self._session, self.provider
        if provider == CPU:
            with held.use() as session, self._failures():
                return run(session)
        try:
            with held.use() as session:
                return run(session)
        except MimoEdgeError:  # it is closed, or used where it must not be
            raise
        except Exception as error:  # onnxruntime's exception classes share no base of their own
            tell_fallback(self._path, provider, error)
        with self._moving, self._failures():
            if self._session is held:  # and not moved by another thread meanwhile
                held.check()  # The model may have been closed meanwhile.
                session, self.provider = open_graph(
                    self._path, replace(self._placement, provider=CPU)
                )
                self._session = _held(session)
        return self._compute(run)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """What onnxruntime raises while it computes, as a sentence."""
        try:
            yield
        except Exception as error:
            # Of runs on bound arrays, onnxruntime raises Python's own class.
            ours = type(error).__module__.startswith("onnxruntime")
            if not ours and not isinstance(error, RuntimeError):
                raise
            raise _sentence(f"{self._path} cannot be computed", error) from error

    def _check_shape(self, name: str, shape: Sequence[int]) -> None:
        """onnxruntime does not mind a result of another shape than the graph declares."""
        declared = self._shapes[name]
        if not fits(shape, declared):
            raise BadBundleError(
                f"{self._path} computes {name!r} {list(shape)} instead of {list(declared)}: it is "
                "damaged; copy the bundle again or convert again."
            )


class BoundGraph:
    """A graph and the arrays it reads and writes, see `Graph.bind`; for one thread at a time.

    Whoever keeps one keeps the graph in memory: drop it when the graph is closed.
    """

    def __init__(
        self,
        graph: Graph,
        binding: Any,
        inputs: dict[str, NDArray[Any]],
        outputs: dict[str, NDArray[Any]],
    ) -> None:
        self._graph = graph
        self.binding = binding
        """onnxruntime's table of inputs and outputs: addresses, that hold no array in memory."""
        self.inputs = inputs
        """The arrays that a run reads."""
        self.outputs = outputs
        """The arrays that a run writes."""

    def run(self) -> None:
        """Compute the outputs of what is in the inputs now.

        Raises:
            MimoEdgeError: the graph cannot be computed, or gives another shape than it says.
        """
        self._graph.run_bound(self)


class GraphState:
    """The tensors that a graph hands to its own next call, by the names of its inputs."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.next_names = {name: _next_name(name) for name in values}

    @property
    def cached(self) -> int:
        """Positions in the caches of the layers; 0 in a graph without any."""
        lengths = [value.shape()[2] for name, value in self.values.items() if _is_cache(name)]
        return max(lengths, default=0)

    def keep_last(self, positions: int) -> None:
        """Forget all but the last positions of every layer's cache [1, heads, past, head_dim]."""
        for name, value in self.values.items():
            if _is_cache(name):
                last = np.ascontiguousarray(value.numpy()[:, :, -positions:])
                self.values[name] = onnxruntime.OrtValue.ortvalue_from_numpy(last)


def _held(session: onnxruntime.InferenceSession) -> Native[onnxruntime.InferenceSession]:
    """The session with its one owner."""
    return Native(
        session,
        lambda _: None,  # Python frees it with its last reference.
        closed="the model is closed; load it again.",
    )


def _is_cache(name: str) -> bool:
    return name.startswith("past_")


def _next_name(name: str) -> str:
    if name.startswith("past"):
        return name.replace("past", "present", 1)
    if name == "position":
        return "next_position"
    stage, part = name.split("_", 1)
    return f"{stage}_next_{part}"


def _sentence(fault: str, error: Exception) -> MimoEdgeError:
    """What onnxruntime raised, for a person."""
    reason = _reason(error)
    if is_memory_fault(error):
        return no_memory(fault)
    return BadBundleError(f"{fault} ({reason}); copy the bundle again or convert again.")


def _reason(error: Exception) -> str:
    """What onnxruntime says, without the C++ signatures and status codes before it."""
    said = _NOISE.sub("", _STATUS.split(str(error))[-1])
    lines = said.strip().splitlines() or [""]
    return lines[0].rstrip(".")[:_LONGEST_REASON] or type(error).__name__
