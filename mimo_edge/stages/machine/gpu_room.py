"""How much of a backbone a GPU has room for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from ...bundle.gguf_header import GgufTensor, read_header
from ...bundle.manifest import BACKBONE_FILE, PATCH_DECODER_GGUF, PATCH_ENCODER_GGUF, Manifest
from ...errors import NoMemoryError
from .gpu import Gpu, chosen_gpus
from .machine_needs import KV_BYTES, size_of_bundle
from .measured import Measured, best_way
from .runtime_options import RuntimeOptions

__all__ = ["layers_that_fit", "settle_device"]

logger = logging.getLogger(__name__)

_CPU = "cpu"
_PATCH_FILES = (PATCH_ENCODER_GGUF, PATCH_DECODER_GGUF)

_LEFT_FREE = 0.05
"""Of a GPU's memory: what a desktop draws with it comes and goes."""
_WORTH_IT = 0.15
"""Part of the layers below which a GPU is not used: every step goes there and back for it."""


def settle_device(
    folder: Path, manifest: Manifest, options: RuntimeOptions, measured: Measured | None = None
) -> RuntimeOptions:
    """The same options with a device and a number of layers that are certain.

    They say "cpu", or names of GPUs and how many layers of this bundle have room there now. Every
    part of the runtime gets these, so that the free memory is looked at once. If a GPU is not asked
    for, and was `measured` to be slower than the processor, it is not used.

    Raises:
        MimoEdgeError: a GPU is asked for, and llama.cpp finds none or none of that name, or it has
            no room for even a few layers.
    """
    chosen = chosen_gpus(options) if options.gpu_layers else []
    if not chosen:
        return replace(options, device=_CPU)
    names = ",".join(gpu.name for gpu in chosen)
    auto = options.device.strip().lower() == "auto"
    if auto and best_way(measured, "backbone", [_CPU, names], names) == _CPU:
        return replace(options, device=_CPU)
    if options.gpu_layers != -1:  # somebody has decided
        return replace(options, device=names)
    if all(gpu.software for gpu in chosen):
        logger.warning(
            "%s is no GPU but a program on the processor, slower than running there without it.",
            chosen[0].description,
        )
    named = options.device.strip().lower() not in ("auto", "gpu")
    used = chosen if named else _as_few_as_hold_it(folder, manifest, options, chosen)
    layers = layers_that_fit(folder, manifest, options, used)
    whole = manifest.backbone.layers + 1
    if layers < max(2, _WORTH_IT * whole):  # the first is the text head
        fault = f"the GPU has too little free memory ({_free(used)}) for this model"
        if not auto:
            raise NoMemoryError(
                f"{fault}; close other programs, take a smaller context, or run on the CPU."
            )
        logger.warning("%s; it runs on the processor.", fault)
        return replace(options, device=_CPU)
    if layers < whole:
        logger.warning(
            "%d of %d layers have room on the GPU (%s free); the others run on the processor.",
            layers,
            whole,
            _free(used),
        )
    return replace(options, device=",".join(gpu.name for gpu in used), gpu_layers=layers)


def layers_that_fit(
    folder: Path, manifest: Manifest, options: RuntimeOptions, used: Sequence[Gpu]
) -> int:
    """How many layers of a bundle's backbone, counted from the text head, have room on these GPUs.

    With the layers goes what they have in the cache.
    """
    tensors = read_header(folder / BACKBONE_FILE).tensors
    config = manifest.backbone
    need = size_of_bundle(manifest).memory(options.kv_type_for(config), options.cache_for(config))
    # Patch encoder and patch decoder go there, too, if they are in a form that can.
    beside = sum(file.size for file in manifest.files if file.name in _PATCH_FILES)
    cache = config.cached_values / config.layers * KV_BYTES[options.kv_type_for(config)]
    cache *= options.cache_for(config)
    head = tensors.get("output.weight", tensors["token_embd.weight"]).size
    sizes = [head, *(_layer(tensors, n) + cache for n in reversed(range(config.layers)))]
    room = sum(_room(gpu) - need["buffers"] for gpu in used) - beside
    count = 0
    while count < len(sizes) and room >= sizes[count]:
        room -= sizes[count]
        count += 1
    return count


def _as_few_as_hold_it(
    folder: Path, manifest: Manifest, options: RuntimeOptions, chosen: Sequence[Gpu]
) -> list[Gpu]:
    """Every further GPU costs time at each step, so one if it holds all; the roomiest first."""
    by_room = sorted(chosen, key=_room, reverse=True)
    whole = manifest.backbone.layers + 1
    for count in range(1, len(by_room)):
        if layers_that_fit(folder, manifest, options, by_room[:count]) == whole:
            return by_room[:count]
    return by_room


def _layer(tensors: Mapping[str, GgufTensor], number: int) -> int:
    """Bytes of one layer's weights."""
    prefix = f"blk.{number}."
    return sum(tensor.size for name, tensor in tensors.items() if name.startswith(prefix))


def _room(gpu: Gpu) -> float:
    """Bytes that can be filled; where a GPU's memory is the machine's, what is free of that."""
    free = gpu.free if gpu.total else psutil.virtual_memory().available
    if gpu.shares_memory:
        free = min(free, psutil.virtual_memory().available)
    return free - _LEFT_FREE * gpu.total


def _free(used: Sequence[Gpu]) -> str:
    return f"{sum(gpu.free for gpu in used) / 1e9:.1f} of {sum(g.total for g in used) / 1e9:.1f} GB"
