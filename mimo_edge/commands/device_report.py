"""What `mimo-edge info` says of devices, and of where each part of a bundle would run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from ..bundle.manifest import Manifest
from ..measure.parts import PARTS, ways_of_part
from ..stages.graphs.providers import PROVIDERS, available_providers, choose_providers
from ..stages.machine.gpu import Gpu, gpu_layers, gpus
from ..stages.machine.measured import Measured
from ..stages.machine.patch_place import patch_form
from ..stages.machine.runtime_options import RuntimeOptions
from .console import one_line, print_table

__all__ = ["device_record", "print_devices"]


def device_record(
    manifest: Manifest, options: RuntimeOptions, measured: Measured | None
) -> dict[str, Any]:
    """The same as `print_devices` says, for JSON."""
    devices = [asdict(gpu) for gpu in gpus()]
    for device in devices:
        del device["handle"]
    return {
        "gpus": devices,
        "providers": [provider.name for provider in available_providers()],
        "parts": {
            part: {
                "runs_on": _place(part, manifest, options, measured),
                "seconds": measured.seconds.get(part, {}) if measured else {},
            }
            for part in _parts(manifest)
        },
    }


def print_devices(manifest: Manifest, options: RuntimeOptions, measured: Measured | None) -> None:
    """GPUs and providers, and a table of parts; `options` are settled (`settle_device`)."""
    for gpu in gpus():
        click.echo(one_line(_gpu_line(gpu)))
    here = available_providers()
    others = ", ".join(provider.name for provider in PROVIDERS if provider not in here)
    names = ", ".join(provider.name for provider in here)
    click.echo(f"providers of onnxruntime here: {names}; with other packages: {others}")
    rows = [_row(part, manifest, options, measured) for part in _parts(manifest)]
    print_table(("part", "runs on", "time", "other ways"), rows, left=("runs on", "other ways"))
    if not measured:
        click.echo("`mimo-edge info --measure` times each part in every way, and remembers it.")


def _parts(manifest: Manifest) -> list[str]:
    silent = ("patch_decoder", "audio_decoder")
    return [part for part in PARTS if manifest.speaks or part not in silent]


def _gpu_line(gpu: Gpu) -> str:
    kind = "GPU"
    if gpu.software:
        kind = "a program on the processor"
    elif gpu.shares_memory:
        kind = "GPU that shares the machine's memory"
    room = f"{gpu.free / 1e9:.1f} of {gpu.total / 1e9:.1f} GB free" if gpu.total else "size unknown"
    return f"{gpu.name}: {gpu.description}, {kind} ({gpu.library}), {room}"


def _place(
    part: str, manifest: Manifest, options: RuntimeOptions, measured: Measured | None
) -> str:
    """The way in which the runtime would compute a part now."""
    device = options.device if gpu_layers(options) else "cpu"
    if part == "backbone":
        return device
    if part.startswith("patch"):
        return "cpu" if patch_form(manifest, options, measured) == "onnx" else f"gguf {device}"
    providers = choose_providers(options.provider, measured)
    return providers.audio_encoder if part == "audio_encoder" else providers.audio_decoder


def _row(
    part: str, manifest: Manifest, options: RuntimeOptions, measured: Measured | None
) -> tuple[str, ...]:
    place = _place(part, manifest, options, measured)
    times = measured.seconds.get(part, {}) if measured else {}
    unit = PARTS[part]
    time = f"{1000 * times[place]:.1f} ms a {unit}" if place in times else "not measured"
    shown = place
    if part == "backbone" and options.gpu_layers > 0 and place != "cpu":
        shown = f"{place}, {options.gpu_layers} layers"
    others = [
        f"{way} {1000 * times[way]:.1f} ms" if way in times else f"{way} not measured"
        for way in ways_of_part(part, manifest)
        if way != place
    ]
    return part.replace("_", " "), shown, time, ", ".join(others)
