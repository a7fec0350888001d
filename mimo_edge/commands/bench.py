"""`mimo-edge bench`: times of every stage beside the limit that memory bandwidth sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from ..bundle.default_bundle import find_bundle
from ..bundle.files import load_manifest
from ..measure.bench import Speed, measure_speed
from ..measure.conversations import Conversations, Way, check_counts, measure_conversations
from ..measure.machine import BUSY_CORES
from ..measure.stage_times import Timing
from ..stages.runtime_options import RuntimeOptions
from .console import Console, print_table
from .options import output_options, threads_option
from .synthetic import SYNTHETIC, remove_synthetic_bundles, synthetic_bundle

__all__ = ["bench"]

_CONTEXT = 1024
_WAYS: dict[Way, str] = {
    "together": "together",
    "threads": "together, a thread each",
    "processes": "a process each",
}
_AT_ONCE = (
    *("conversations", "how", "patches/s", "of one", "worst gap, ms", "first patch, ms"),
    *("MB read per patch", "bound", "GB resident"),
)
_COLUMNS = ("stage", "ms", "per", "MB read", "bound", "s per s of speech")


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
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "gpu"]),
    default="auto",
    show_default=True,
    help="Where the language model runs.",
)
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
@click.option("--remove-synthetic", is_flag=True, help="Only delete that again.")
@output_options
def bench(
    bundle: Path | None,
    threads: int,
    runs: int,
    ctx: int | None,
    device: Literal["auto", "cpu", "gpu"],
    repack: bool,
    counts: tuple[int, ...] | None,
    processes: bool,
    synthetic: str | None,
    remove_synthetic: bool,
    console: Console,
) -> None:
    """Measure how fast BUNDLE runs on this machine, and how close to its limit."""
    if remove_synthetic:
        remove_synthetic_bundles(console)
        return
    if bundle is not None and synthetic is not None:
        raise click.UsageError("give a BUNDLE or --synthetic, not both.")
    folder = find_bundle(bundle) if synthetic is None else synthetic_bundle(synthetic, console)
    manifest = load_manifest(folder)
    if ctx is None:
        ctx = min(_CONTEXT, manifest.backbone.max_positions)
    options = RuntimeOptions(threads=threads, context=ctx, device=device, repack=repack)
    if counts:
        check_counts(manifest, options, counts)  # before all that takes its time
    with console.busy("measuring"):
        speed = measure_speed(folder, manifest, options, runs)
    for timing in speed.timings:
        console.record(**vars(timing), bandwidth=speed.bandwidth)
    console.record(
        stage="speaking",
        alone=speed.alone,
        beside_sound=speed.beside_sound,
        cores_of_other_programs=speed.busy_cores,
    )
    console.record(
        stage="totals",
        gb_per_speech_second={"dialogue": speed.dialogue_bytes / 1e9},
        seconds_per_speech_second={"dialogue": speed.dialogue},
        load_s=speed.loading,
        rss_mb=speed.resident / 1e6,
        bandwidth_gb_s=speed.bandwidth / 1e9,
    )
    if not console.as_json:
        _print(console, speed)
    if not counts:
        return
    with console.busy("measuring answers at once"):
        conversations = measure_conversations(
            folder, manifest, options, counts, runs, processes=processes
        )
    for figures in conversations.at_once:
        console.record(stage="answers at once", **vars(figures), bandwidth=speed.bandwidth)
    console.record(stage="a prompt beside an answer", **vars(conversations.arrival))
    for sentence in conversations.left_out:
        console.warn(sentence)
    if not console.as_json:
        _print_conversations(conversations, speed.bandwidth)


def _print(console: Console, speed: Speed) -> None:
    print_table(_COLUMNS, [_row(timing, speed.bound(timing)) for timing in speed.timings])
    click.echo(
        f"{speed.threads} threads, {speed.bandwidth / 1e9:.1f} GB/s measured memory "
        f"bandwidth, {speed.resident / 1e9:.2f} GB resident (mapped weights included)"
    )
    click.echo(
        f"speaking takes {speed.beside_sound:.2f} s per second of speech (below 1: real time), "
        f"{speed.beside_sound / speed.alone:.2f} times as long as without decoding the sound "
        "beside it"
    )
    click.echo(
        f"with the text tokens that go with it {speed.dialogue:.2f} s, in which "
        f"{speed.dialogue_bytes / 1e9:.1f} GB are read; the model was loaded in "
        f"{speed.loading:.1f} s"
    )
    if speed.busy_cores > BUSY_CORES:
        console.note(
            f"other programs kept {speed.busy_cores:.1f} cores busy meanwhile, so these times are "
            "not the machine's best; close them and measure again to see what it can do."
        )


def _row(timing: Timing, bound: float | None) -> tuple[str, ...]:
    read, of_bound, per_second = "", "", ""
    if timing.bytes_read is not None:
        read = f"{timing.bytes_read / 1e6:.1f}"
    if bound is not None:
        of_bound = f"{bound:.0%}"
    if timing.per_speech_second is not None:
        per_second = f"{timing.per_speech_second:.3f}"
    milliseconds = f"{1000 * timing.seconds:.2f}"
    return timing.stage, milliseconds, timing.unit, read, of_bound, per_second


def _print_conversations(conversations: Conversations, bandwidth: float) -> None:
    click.echo()
    rows = []
    for figures in conversations.at_once:
        read, of_bound = "", ""
        if figures.bytes_per_patch is not None:
            read = f"{figures.bytes_per_patch / 1e6:.1f}"
            of_bound = f"{figures.bytes_per_patch * figures.patches_per_second / bandwidth:.0%}"
        rows.append(
            (
                str(figures.conversations),
                "" if figures.conversations == 1 else _WAYS[figures.way],
                f"{figures.patches_per_second:.1f}",
                f"{figures.ratio:.2f}",
                f"{1000 * figures.worst_gap:.1f}",
                f"{1000 * figures.first_patch:.0f}",
                read,
                of_bound,
                f"{figures.resident / 1e9:.2f}",
            )
        )
    print_table(_AT_ONCE, rows)
    arrival = conversations.arrival
    click.echo(
        f"while a prompt of {arrival.patches} patches arrives, a running answer waits "
        f"{1000 * arrival.worst_gap:.1f} ms for a patch at most, {1000 * arrival.usual_gap:.1f} ms "
        f"before; a piece of the prompt ({arrival.piece_positions} positions) takes "
        f"{1000 * arrival.piece_seconds:.1f} ms, and its own first patch comes after "
        f"{1000 * arrival.first_patch:.0f} ms"
    )
