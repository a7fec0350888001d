"""The contracts in `onnx/`: which inputs and outputs each graph of a bundle must have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..bundle.manifest import Manifest
from ..errors import BadBundleError
from ..installation import CONTRACTS

__all__ = ["check_contract", "fits"]

_DTYPES = {"float32": "tensor(float)", "int32": "tensor(int32)", "int64": "tensor(int64)"}
_ROTATED = 16
"""onnxruntime rotates heads of a multiple of this width; others are filled up to it."""


def check_contract(
    path: Path,
    name: str,
    side: str,
    found: Mapping[str, tuple[str, Sequence[Any]]],
    manifest: Manifest,
) -> None:
    """Compare one side of the graph `name`, "input" or "output", with its contract.

    `found` has for each name onnxruntime's type and the shape, where strings are free dimensions.

    Raises:
        BadBundleError: a name, a dtype or a shape is another one.
    """
    dimensions = _dimensions(manifest)
    declared = json.loads((CONTRACTS / f"{name}.json").read_text(encoding="utf-8"))[f"{side}s"]
    expected = {tensor["name"]: tensor for tensor in _expand(declared, dimensions)}
    for tensor_name in found.keys() - expected.keys():
        raise BadBundleError(f"{path} has an unknown {side} {tensor_name!r}; convert again.")
    for tensor_name, tensor in expected.items():
        if tensor_name not in found:
            if tensor.get("optional"):
                continue
            raise BadBundleError(f"{path} has no {side} {tensor_name!r}; convert again.")
        kind, shape = found[tensor_name]
        wanted = [dimensions.get(dim, dim) for dim in tensor["shape"]]
        if kind != _DTYPES[tensor["dtype"]] or not fits(shape, wanted):
            raise BadBundleError(
                f"{path}: {side} {tensor_name!r} is {kind} {list(shape)} instead of "
                f"{tensor['dtype']} {wanted}: the graph is of another bundle."
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
