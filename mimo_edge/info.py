"""`mimo-edge info`: what is in a bundle, and what this machine will do with it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import psutil

from .backbone import gpu_layers
from .bundle_files import file_sha256, load_manifest
from .config import DEFAULT_CONTEXT, Manifest, RuntimeOptions
from .console import print_table
from .core_shares import share_cores
from .default_bundle import find_bundle
from .errors import MimoEdgeError
from .options import console_from, output_options

__all__ = ["info", "memory_need", "print_files"]

_KV_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32}
_WORK_BYTES = 400e6
"""Buffers of llama.cpp and onnxruntime beside weights and cache; measured, rounded up."""


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option(
    "--ctx",
    type=int,
    show_default=f"{DEFAULT_CONTEXT}, or what the model was trained for",
    help="Longest conversation, in positions.",
)
@click.option("--verify", is_flag=True, help="Read every file and compare its hash.")
@output_options
def info(bundle: Path | None, ctx: int | None, verify: bool, **values: Any) -> None:
    """Show what is in BUNDLE and what this machine will do with it."""
    console = console_from(values)
    path = find_bundle(bundle)
    manifest = load_manifest(path)
    if verify:
        with console.busy("hashing"):
            _verify(path, manifest)
    options = RuntimeOptions(context=ctx)
    if console.as_json:
        console.record(manifest=asdict(manifest), memory=memory_need(manifest, options))
        return
    click.echo(f"{manifest.name}, recipe {manifest.recipe}: {path}")
    print_files(manifest)
    if verify:
        click.echo("every file has the hash that the manifest lists")
    click.echo(_model_lines(manifest))
    click.echo(_machine_lines(manifest, options))


def print_files(manifest: Manifest) -> None:
    """A table of files, sizes and bits per weight."""
    rows = []
    for file in manifest.files:
        part = file.name.split(".")[0]
        rows.append(
            (
                file.name,
                manifest.precisions.get(part, "f32"),
                f"{file.size / 1e6:.2f}",
                f"{file.parameters / 1e6:.2f}" if file.parameters else "",
                f"{8 * file.size / file.parameters:.2f}" if file.parameters else "",
            )
        )
    total = sum(file.size for file in manifest.files)
    weights = sum(file.parameters for file in manifest.files)
    bits = f"{8 * total / weights:.2f}"
    rows.append(("all", "", f"{total / 1e6:.2f}", f"{weights / 1e6:.2f}", bits))
    print_table(("file", "stored as", "MB", "million weights", "bits per weight"), rows)


def memory_need(manifest: Manifest, options: RuntimeOptions) -> dict[str, float]:
    """Bytes: weights (mapped from the files), KV cache, buffers."""
    backbone = manifest.backbone
    per_position = 2 * backbone.layers * backbone.kv_heads * backbone.head_dim
    return {
        "weights": sum(file.size for file in manifest.files),
        "cache": per_position * _KV_BYTES[options.kv_type] * options.context_for(backbone),
        "buffers": _WORK_BYTES,
    }


def _model_lines(manifest: Manifest) -> str:
    audio, patch, backbone = manifest.audio, manifest.patch, manifest.backbone
    steps = audio.sample_rate / audio.samples_per_step
    return (
        f"audio: {audio.sample_rate} Hz, {steps:g} code steps/s, {patch.channels} of "
        f"{audio.num_quantizers} codebooks, patches of {patch.group_size} steps "
        f"({1000 * patch.group_size / steps:g} ms)\n"
        f"backbone: {backbone.layers} layers of {backbone.hidden_size}, vocabulary "
        f"{backbone.vocab_size}, context up to {backbone.max_positions} positions"
    )


def _machine_lines(manifest: Manifest, options: RuntimeOptions) -> str:
    need = memory_need(manifest, options)
    memory = psutil.virtual_memory()
    total = sum(need.values())
    verdict = (
        "fits"
        if total < memory.available
        else "fits if other programs make room"
        if total < memory.total
        else "does NOT fit: weights will be read from disk again and again; use a smaller recipe"
    )
    threads = share_cores(options.threads, manifest.backbone_bytes).threads
    where = "GPU" if gpu_layers(options) else "processor"
    return (
        f"this machine: {threads} threads, backbone on the {where}, "
        f"{memory.total / 1e9:.1f} GB of memory ({memory.available / 1e9:.1f} free)\n"
        f"needs about {total / 1e9:.2f} GB: weights {need['weights'] / 1e9:.2f}, "
        f"cache of {options.context_for(manifest.backbone)} positions {need['cache'] / 1e9:.2f}, "
        f"buffers {need['buffers'] / 1e9:.2f}; {verdict}"
    )


def _verify(path: Path, manifest: Manifest) -> None:
    for file in manifest.files:
        if file_sha256(path / file.name) != file.sha256:
            raise MimoEdgeError(
                f"{path / file.name} has another hash than the manifest lists: it is damaged; "
                "copy it again or convert again."
            )
