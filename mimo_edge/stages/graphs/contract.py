"""The contracts in `onnx/`: which inputs and outputs each graph of a bundle must have."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...bundle.manifest import Manifest
from ...errors import BadBundleError
from ...installation import CONTRACTS

__all__ = ["check_contract", "fits"]

Found = Mapping[str, tuple[str, Sequence[Any]]]
"""Name → onnxruntime's type and the shape, where strings are free dimensions."""

_DTYPES = {"float32": "tensor(float)", "int32": "tensor(int32)", "int64": "tensor(int64)"}
_ROTATED = 16
"""onnxruntime rotates heads of a multiple of this width; others are filled up to it."""


def check_contract(path: Path, name: str, found: Mapping[str, Found], manifest: Manifest) -> None:
    """Compare the graph `name`, whose tensors `found` has by side ("input", "output"), with its
    contract.

    Tensors with a "layout" belong together: a graph has all of one layout, on both sides.

    Raises:
        BadBundleError: a name, a dtype or a shape is another one.
    """
    dimensions = _dimensions(manifest)
    contract = json.loads((CONTRACTS / f"{name}.json").read_text(encoding="utf-8"))
    expected = {
        side: {tensor["name"]: tensor for tensor in _expand(contract[f"{side}s"], dimensions)}
        for side in found
    }
    layouts = {
        tensor["layout"]
        for side, tensors in expected.items()
        for tensor_name, tensor in tensors.items()
        if tensor_name in found[side] and "layout" in tensor
    }
    for side, tensors in expected.items():
        for tensor_name in found[side].keys() - tensors.keys():
            raise BadBundleError(f"{path} has an unknown {side} {tensor_name!r}; convert again.")
        for tensor_name, tensor in tensors.items():
            if tensor_name in found[side]:
                _check_tensor(path, f"{side} {tensor_name!r}", found[side], tensor, dimensions)
            elif not (tensor.get("optional") or _is_of_another(tensor, layouts)):
                raise BadBundleError(f"{path} has no {side} {tensor_name!r}; convert again.")


def _is_of_another(tensor: Mapping[str, Any], layouts: Collection[str]) -> bool:
    """Whether a tensor is of another layout than the graph, which has one."""
    return bool(layouts) and "layout" in tensor and tensor["layout"] not in layouts


def _check_tensor(
    path: Path,
    label: str,
    found: Found,
    tensor: Mapping[str, Any],
    dimensions: Mapping[str, int],
) -> None:
    kind, shape = found[tensor["name"]]
    wanted = [dimensions.get(dim, dim) for dim in tensor["shape"]]
    if kind != _DTYPES[tensor["dtype"]] or not fits(shape, wanted):
        raise BadBundleError(
            f"{path}: {label} is {kind} {list(shape)} instead of {tensor['dtype']} {wanted}: the "
            "graph is of another bundle."
        )


def fits(found: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Whether a shape is the expected one; what is a name there may be anything here."""
    return len(found) == len(expected) and all(
        not isinstance(want, int) or have == want
        for have, want in zip(found, expected, strict=True)
    )


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
        "cached_head_dim": -(-patch.local_dim // patch.local_heads // _ROTATED) * _ROTATED,
        "decode_steps": patch.decode_steps,
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
