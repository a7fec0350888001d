"""`mimo-edge bench`: times of every stage beside the limit that memory bandwidth sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..atomic import atomic_output
from ..bundle.default_bundle import find_bundle
from ..bundle.files import load_manifest
from ..bundle.manifest import Manifest
from ..errors import BadInputError
from ..measure.bench import Speed, measure_speed
from ..measure.conversations import check_counts, measure_conversations
from ..measure.picture import pillow
from ..measure.speed_picture import bars_of, draw_bars
from ..stages.machine.patch_place import has_gguf, patch_form
from ..stages.machine.runtime_options import PatchChoice, RuntimeOptions
from .bench_report import (
    print_conversations,
    print_speed,
    record_conversations,
    record_speed,
)
from .console import Console
from .options import device_option, output_options, patches_option, threads_option
from .picture import check_png
from .synthetic import SYNTHETIC, remove_synthetic_bundles, synthetic_bundle

__all__ = ["bench"]

_CONTEXT = 1024


class _Counts(click.types.StringParamType):
    """Numbers of conversations with commas between them."""

    name = "numbers"

    def convert(self, value: Any, *_: object) -> Any:
        try:
            return tuple(int(number) for number in str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' are not numbers with commas between them, like 1,2,4.")


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@threads_option
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How often every stage is measured; the median counts.",
)
@click.option(
    "--ctx",
    type=int,
    show_default=f"{_CONTEXT}, or what the model knows",
    help="Longest conversation, in positions.",
)
@device_option
@patches_option
@click.option("--repack", is_flag=True, help="Measure with repacked weights.")
@click.option(
    "--conversations",
    "counts",
    type=_Counts(),
    metavar="N,N,…",
    help="Measure also how fast so many answers speak at once.",
)
@click.option(
    "--processes/--no-processes",
    default=True,
    show_default=True,
    help="Compare --conversations with as many processes, which take the memory as many times.",
)
@click.option(
    "--synthetic",
    type=click.Choice(SYNTHETIC),
    help="Measure noise with the released model's dimensions, which takes as long as the model; "
    "it is written once, into the user's cache.",
)
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw also what a second of speech reads and takes, into this .png file.",
)
@click.option("--remove-synthetic", is_flag=True, help="Only delete that again.")
@output_options
def bench(
    bundle: Path | None,
    threads: int,
    runs: int,
    ctx: int | None,
    device: str,
    patches: PatchChoice,
    repack: bool,
    counts: tuple[int, ...] | None,
    processes: bool,
    synthetic: str | None,
    picture: Path | None,
    remove_synthetic: bool,
    console: Console,
) -> None:
    """Measure how fast BUNDLE runs on this machine, and how close to its limit."""
    if remove_synthetic:
        remove_synthetic_bundles(console)
        return
    if bundle is not None and synthetic is not None:
        raise click.UsageError("give a BUNDLE or --synthetic, not both.")
    if picture is not None:
        check_png(picture)
        pillow()  # which may be missing, and is better missed before all that takes its time
    folder = find_bundle(bundle) if synthetic is None else synthetic_bundle(synthetic, console)
    manifest = load_manifest(folder)
    if synthetic is not None and patches == "gguf" and not has_gguf(manifest):
        raise BadInputError(
            "the model of noise comes from an earlier version, which wrote no GGUF of the patch "
            "stages; remove it with --remove-synthetic and run this again."
        )
    if ctx is None:
        ctx = min(_CONTEXT, manifest.backbone.max_positions)
    options = RuntimeOptions(
        threads=threads,
        context=ctx,
        device=device,
        patches=patches,
        repack=repack,
        # Noise of the released dimensions stands for that model, which keeps the format of speech.
        full_head=None if synthetic is None else False,
    )
    patch_form(manifest, options)  # for its complaint, before all that takes its time
    if counts:
        check_counts(manifest, options, counts)  # before all that takes its time
    with console.busy("measuring"):
        speed = measure_speed(folder, manifest, options, runs)
    record_speed(console, speed)
    if not console.as_json:
        print_speed(console, speed)
    if picture is not None:
        with atomic_output(picture) as file:
            draw_bars(bars_of(speed), _caption(manifest, speed)).save(file, format="PNG")
        console.note(f"the picture is {picture}")
    if not counts:
        return
    with console.busy("measuring answers at once"):
        conversations = measure_conversations(
            folder, manifest, speed.options, counts, runs, processes=processes
        )
    record_conversations(console, conversations, speed.bandwidth)
    for sentence in conversations.left_out:
        console.warn(sentence)
    if not console.as_json:
        print_conversations(conversations, speed.bandwidth)


def _caption(manifest: Manifest, speed: Speed) -> str:
    return (
        f"{manifest.name}, recipe {manifest.recipe}: {speed.threads} threads, "
        f"{speed.bandwidth / 1e9:.0f} GB/s"
    )
