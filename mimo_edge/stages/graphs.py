"""ONNX graphs of a bundle: loading, the check of their contracts, running.

The only module that imports onnxruntime.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..bundle.graph_check import check_graph
from ..bundle.manifest import Manifest
from ..errors import BadBundleError, MimoEdgeError
from ..installation import CONTRACTS
from ..system.memory import is_memory_fault, no_memory
from .native import Native
from .placement import Placement

__all__ = ["Graph", "GraphState"]

logger = logging.getLogger(__name__)

_DTYPES = {"float32": "tensor(float)", "int64": "tensor(int64)"}
_NUMPY = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
_QUIET = 4  # onnxruntime's severity "fatal": its errors are raised, and told by us
_STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_NOISE = re.compile(r"\[\w+Error\] |Load model from .*? failed: ?")
_LONGEST_REASON = 240


class Graph:
    """One loaded graph. Close it, or use it as a context manager, to free its memory."""

    def __init__(self, path: Path, session: onnxruntime.InferenceSession) -> None:
        self._path = path
        self._session: Native[onnxruntime.InferenceSession] = Native(
            session,
            lambda _: None,  # Python frees it with its last reference.
            closed="the model is closed; load it again.",
        )
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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = placement.threads
        options.log_severity_level = _QUIET
        # Threads spin between the many small operators of a run, which makes the patch
        # decoder a fifth faster, but not after it: then another stage needs the cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        spins = "1" if placement.spins else "0"
        options.add_session_config_entry("session.intra_op.allow_spinning", spins)
        try:
            session = onnxruntime.InferenceSession(
                path,
                options,
                providers=[placement.provider],
                # Its wrapper would print what failed and try the same once more.
                enable_fallback=0,
                read_config_from_model=0,
            )
        except Exception as error:  # onnxruntime's exception classes share no base of their own
            raise _sentence(f"{path} does not load", error) from error
        graph = cls(path, session)
        graph._check(path, _contract(name), _dimensions(manifest))
        return graph

    def run(
        self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> list[NDArray[Any]]:
        """Run once; arrays in, arrays out, in the order of `outputs` (default: all).

        Raises:
            MimoEdgeError: the graph cannot be computed, or gives something else than it says.
        """
        names = list(outputs or self._shapes)
        with self._session.use() as session, self._failures():
            result = session.run(names, dict(feeds))
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
        with self._session.use() as session, self._failures():
            result = session.run_with_ort_values(names, {**values, **state.values})
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

    def close(self) -> None:
        """Free the graph's memory; it cannot run any more."""
        self._session.close()

    def __enter__(self) -> Graph:
        """The loaded graph, which the end of the block frees."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free the graph's memory."""
        self.close()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """What onnxruntime raises while it computes, as a sentence."""
        try:
            yield
        except Exception as error:
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            raise _sentence(f"{self._path} cannot be computed", error) from error

    def _check_shape(self, name: str, shape: Sequence[int]) -> None:
        """onnxruntime does not mind a result of another shape than the graph declares."""
        declared = self._shapes[name]
        if not _fits(shape, declared):
            raise BadBundleError(
                f"{self._path} computes {name!r} {list(shape)} instead of {list(declared)}: it is "
                "damaged; copy the bundle again or convert again."
            )

    def _check(self, path: Path, contract: dict[str, Any], dimensions: dict[str, int]) -> None:
        """Compare names, dtypes and shapes with the contract."""
        with self._session.use() as session:
            sides = (
                ("input", session.get_inputs(), contract["inputs"]),
                ("output", session.get_outputs(), contract["outputs"]),
            )
        for side, found, declared in sides:
            expected = {tensor["name"]: tensor for tensor in _expand(declared, dimensions)}
            actual = {value.name: value for value in found}
            for name in actual.keys() - expected.keys():
                raise BadBundleError(f"{path} has an unknown {side} {name!r}; convert again.")
            for name, tensor in expected.items():
                if name not in actual:
                    if tensor.get("optional"):
                        continue
                    raise BadBundleError(f"{path} has no {side} {name!r}; convert again.")
                value = actual[name]
                shape = [dimensions.get(dim, dim) for dim in tensor["shape"]]
                if value.type != _DTYPES[tensor["dtype"]] or not _fits(value.shape, shape):
                    raise BadBundleError(
                        f"{path}: {side} {name!r} is {value.type} {value.shape} instead of "
                        f"{tensor['dtype']} {shape}: the graph is of another bundle."
                    )


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


def _is_cache(name: str) -> bool:
    return name.startswith("past_")


def _next_name(name: str) -> str:
    if name.startswith("past"):
        return name.replace("past", "present", 1)
    if name == "position":
        return "next_position"
    stage, part = name.split("_", 1)
    return f"{stage}_next_{part}"


def _contract(name: str) -> dict[str, Any]:
    """The inputs and outputs that a graph must have, as `onnx/README.md` describes them."""
    return dict(json.loads((CONTRACTS / f"{name}.json").read_text(encoding="utf-8")))


def _dimensions(manifest: Manifest) -> dict[str, int]:
    audio, patch = manifest.audio, manifest.patch
    return {
        "n_mels": audio.n_mels,
        "quantizers": audio.num_quantizers,
        "decoder_layers": audio.decoder_layers,
        "decoder_heads": audio.decoder_heads,
        "decoder_head_dim": audio.decoder_head_dim,
        "channels": patch.channels,
        "group": patch.group_size,
        "hidden": manifest.backbone.hidden_size,
        "local_dim": patch.local_dim,
        "local_layers": patch.local_layers,
        "local_heads": patch.local_heads,
        "local_head_dim": patch.local_dim // patch.local_heads,
        "code_vocabulary": sum(patch.vocab_sizes),
    }


def _expand(declared: Sequence[dict[str, Any]], dimensions: Mapping[str, int]) -> list[Any]:
    """One entry per layer where the contract says `per`."""
    tensors = []
    for tensor in declared:
        if "per" in tensor:
            for layer in range(dimensions[tensor["per"]]):
                tensors.append({**tensor, "name": tensor["name"].format(layer=layer)})
        else:
            tensors.append(tensor)
    return tensors


def _fits(found: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Fixed dimensions must agree; a free one may be anything."""
    return len(found) == len(expected) and all(
        not isinstance(want, int) or have == want
        for have, want in zip(found, expected, strict=True)
    )


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
