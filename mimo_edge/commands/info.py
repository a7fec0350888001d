"""`mimo-edge info`: what is in a bundle, and what this machine will do with it.

Also, before anything is downloaded, what the released 7B model would need of this machine.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ..bundle.default_bundle import find_bundle
from ..bundle.files import load_manifest
from ..bundle.manifest import Manifest
from ..errors import MimoEdgeError
from ..measure.info import (
    Needs,
    ReleasedNeeds,
    needs_of_bundle,
    needs_of_released,
)
from ..measure.machine import BUSY_CORES, Machine, look_at_machine
from ..measure.parts import measure_parts
from ..measure.released import CHECKPOINT_BYTES, INTERMEDIATE_BYTES
from ..measure.speech_cost import speed_verdict
from ..measure.speed_table import BANDWIDTHS, factors_by_bandwidth, table_rows
from ..stages.machine.gpu_room import settle_device
from ..stages.machine.measured import Measured, read_measured, write_measured
from ..stages.machine.runtime_options import DEFAULT_CONTEXT, RuntimeOptions
from .console import Console, one_line, print_table
from .device_report import device_record, print_devices
from .options import device_option, output_options
from .verify import verify_listed_files

__all__ = ["info", "print_files"]

_EXPLANATION = f"""\
Disk: {CHECKPOINT_BYTES / 1e9:.0f} GB of download, {INTERMEDIATE_BYTES / 1e9:.1f} GB while it is \
converted (deleted then), and the bundle.
The times are estimates from the memory's speed; hearing comes on top. Where they are longer
than the speech, an answer begins after a wait. Nobody has run the released weights with this
program yet."""


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option(
    "--ctx",
    type=int,
    show_default=f"{DEFAULT_CONTEXT}, or what the model was trained for",
    help="Longest conversation, in positions.",
)
@click.option("--verify", is_flag=True, help="Read every file and compare its hash.")
@device_option
@click.option(
    "--measure",
    is_flag=True,
    help="Time every part on each device that it can run on, and remember what was quickest.",
)
@output_options
def info(
    bundle: Path | None,
    ctx: int | None,
    verify: bool,
    device: str,
    measure: bool,
    console: Console,
) -> None:
    """Show what is in BUNDLE and what this machine will do with it."""
    path = find_bundle(bundle)
    manifest = load_manifest(path)
    if verify:
        verify_listed_files(path, console)
    options = RuntimeOptions(context=ctx, device=device)
    positions = options.context_for(manifest.backbone)
    measured = _measured(path, manifest, options, console) if measure else read_measured(manifest)
    options = settle_device(path, manifest, options, measured)
    with console.busy("measuring the memory's speed"):
        machine = look_at_machine(options)
    own = needs_of_bundle(path, manifest, machine, options, positions)
    released = needs_of_released(machine)
    console.record(
        manifest=asdict(manifest),
        machine=asdict(machine),
        devices=device_record(manifest, options, measured),
        **vars(own),
        released=[vars(needs) for needs in released],
        released_by_bandwidth={
            "gb_s": BANDWIDTHS,
            "recipes": [asdict(factors) for factors in factors_by_bandwidth()],
        },
    )
    if console.as_json:
        return
    click.echo(one_line(f"{manifest.name}, recipe {manifest.recipe}: {path}"))
    print_files(manifest)
    if verify:
        click.echo("every file has the hash that the manifest lists")
    click.echo(one_line(_origin_line(manifest)))
    click.echo(_model_lines(manifest))
    click.echo(_machine_lines(machine))
    click.echo(_own_lines(own, positions))
    print_devices(manifest, options, measured)
    _print_released(released)
    if machine.busy_cores > BUSY_CORES:
        console.note(
            f"other programs kept {machine.busy_cores:.1f} cores busy meanwhile, so the times are "
            "too long; close them and look again."
        )


def _measured(
    path: Path, manifest: Manifest, options: RuntimeOptions, console: Console
) -> Measured:
    """Measurements made now, which the next commands will find."""
    with console.busy("measuring") as tell:
        measured = measure_parts(path, manifest, options, tell=tell)
    try:
        write_measured(manifest, measured)
    except MimoEdgeError as error:  # what was measured is shown all the same
        console.warn(str(error))
    return measured


def print_files(manifest: Manifest) -> None:
    """A table of files, sizes and bits per weight."""
    rows = []
    for file in manifest.files:
        part = manifest.part_of(file.name)
        rows.append(
            (
                file.name,
                "f32" if file.name.endswith(".npy") else manifest.precisions[part],
                f"{file.size / 1e6:.2f}",
                f"{file.parameters / 1e6:.2f}" if file.parameters else "",
                f"{8 * file.size / file.parameters:.2f}" if file.parameters else "",
            )
        )
    total = sum(file.size for file in manifest.files)
    weights = sum(file.parameters for file in manifest.files)
    bits = f"{8 * total / weights:.2f}" if weights else ""
    rows.append(("all", "", f"{total / 1e6:.2f}", f"{weights / 1e6:.2f}", bits))
    print_table(("file", "stored as", "MB", "million weights", "bits per weight"), rows)


def _origin_line(manifest: Manifest) -> str:
    """The checkpoints that the bundle was made from, with the commit of those of a hub."""
    found = {file.name.rpartition("/")[0]: file.revision for file in manifest.source}
    names = (f"{name} at {commit}" if commit else name for name, commit in found.items())
    return f"made from {' and '.join(names) or 'an unknown checkpoint'}"


def _model_lines(manifest: Manifest) -> str:
    audio, patch, backbone = manifest.audio, manifest.patch, manifest.backbone
    steps = audio.sample_rate / audio.samples_per_step
    silent = "" if manifest.speaks else "\nit only listens: converted without its speaking half"
    return (
        f"audio: {audio.sample_rate} Hz, {steps:g} code steps/s, {patch.channels} of "
        f"{audio.num_quantizers} codebooks, patches of {patch.group_size} steps "
        f"({1000 * patch.group_size / steps:g} ms)\n"
        f"backbone: {backbone.layers} layers of {backbone.hidden_size}, vocabulary "
        f"{backbone.vocab_size}, context up to {backbone.max_positions} positions{silent}"
    )


def _machine_lines(machine: Machine) -> str:
    where = "GPU" if machine.backbone_on_gpu else "processor"
    speed = (
        f"read at {machine.bandwidth / 1e9:.0f} GB/s"
        if machine.bandwidth
        else "too full to measure its speed"
    )
    disk = (
        f"; {machine.disk_free / 1e9:.0f} GB of disk free here"
        if machine.disk_free is not None
        else ""
    )
    return (
        f"this machine: {machine.threads} threads, backbone on the {where}, "
        f"{machine.memory_total / 1e9:.1f} GB of memory ({machine.memory_available / 1e9:.1f} "
        f"free), {speed}{disk}"
    )


def _own_lines(own: Needs, positions: int) -> str:
    need, seconds = own.memory, own.seconds_per_second_of_speech["dialogue"]
    lines = (
        f"needs about {sum(need.values()) / 1e9:.2f} GB: weights {need['weights'] / 1e9:.2f}, "
        f"cache of {positions} positions {need['cache'] / 1e9:.2f}, "
        f"buffers {need['buffers'] / 1e9:.2f}; {own.fits}"
    )
    if seconds is not None:
        lines += (
            f"\na second of its speech takes about {seconds:.1f} s: {speed_verdict(seconds)} "
            "(an estimate; `mimo-edge bench` measures)"
        )
    return lines


def _print_released(released: list[ReleasedNeeds]) -> None:
    """The tables for whoever has not downloaded the 7B model yet."""
    click.echo("\nThe released 7B model would need of this machine:")
    rows = []
    for needs in released:
        seconds = needs.seconds_per_second_of_speech
        spoken, read = seconds["dialogue"], seconds["speak"]
        memory = f"{needs.memory / 1e9:.1f} GB, {needs.fits.split(':')[0]}"
        rows.append(
            (
                needs.recipe,
                "not known" if spoken is None else f"{spoken:.1f} s, {needs.speed}",
                "not known" if read is None else f"{read:.1f} s",
                memory,
                f"{needs.disk / 1e9:.0f} GB",
            )
        )
    columns = ("recipe", "for a second of dialogue", "of speak", "memory", "disk to convert")
    print_table(columns, rows, left=(columns[1], columns[3]))
    click.echo("\nSeconds for a second of dialogue · of speak, where memory reads so much:")
    print_table(*table_rows())
    click.echo(_EXPLANATION)
