"""What `mimo-edge bench` prints: tables, and lines of JSON."""

from __future__ import annotations

from typing import Any

import click

from ..measure.bench import Speed
from ..measure.conversations import Conversations, Way
from ..measure.machine import BUSY_CORES
from ..measure.speech_cost import POSITIONS
from ..measure.stage_times import Timing
from .console import Console, print_table

__all__ = ["print_conversations", "print_speed", "record_conversations", "record_speed"]

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


def record_speed(console: Console, speed: Speed) -> None:
    """A line for each stage, one for speaking, and one of totals."""
    for timing in speed.timings:
        console.record(
            stage=timing.stage,
            ms=1000 * timing.seconds,
            per=timing.unit,
            bytes=timing.bytes_read,
            bound=speed.bound(timing),
            seconds_per_speech_second=timing.per_speech_second,
        )
    speaking = speed.speaking
    console.record(
        stage="speaking",
        alone=speaking.alone,
        beside_sound=speaking.beside_sound,
        positions=speed.positions,
        cores_of_other_programs=speed.busy_cores,
    )
    console.record(stage="totals", **totals(speed))


def totals(speed: Speed) -> dict[str, Any]:
    """The figures by which machines and versions are compared."""
    return {
        "gb_per_speech_second": {
            kind: sum(stages.values()) / 1e9 for kind, stages in speed.bytes_read.items()
        },
        "seconds_per_speech_second": speed.seconds,
        "accepted_tokens_per_read": speed.speaking.accepted_per_reading,
        "peak_rss_mb": speed.peak / 1e6,
        "rss_mb": speed.resident / 1e6,
        "anonymous_mb": None if speed.anonymous is None else speed.anonymous / 1e6,
        "load_s": speed.loading,
        "bandwidth_gb_s": speed.bandwidth / 1e9,
        "runs_on": speed.runs_on,
    }


def record_conversations(console: Console, found: Conversations, bandwidth: float) -> None:
    """A line for each number of answers, and one for a prompt that arrives."""
    for figures in found.at_once:
        console.record(stage="answers at once", **vars(figures), bandwidth=bandwidth)
    console.record(stage="a prompt beside an answer", **vars(found.arrival))


def print_speed(console: Console, speed: Speed) -> None:
    """A table of stages, and sentences."""
    print_table(_COLUMNS, [_row(timing, speed.bound(timing)) for timing in speed.timings])
    weights = "mapped weights included"
    if speed.anonymous is not None:
        weights = f"{(speed.resident - speed.anonymous) / 1e9:.2f} of it mapped files"
    click.echo(
        f"{speed.threads} threads, {speed.bandwidth / 1e9:.1f} GB/s measured memory "
        f"bandwidth, {speed.resident / 1e9:.2f} GB resident ({weights}), "
        f"{speed.peak / 1e9:.2f} at most; loaded in {speed.loading:.1f} s"
    )
    ways = speed.runs_on
    if any(way != "cpu" for way in ways.values()):
        click.echo(", ".join(f"{part.replace('_', ' ')} on {way}" for part, way in ways.items()))
    speaking, found = speed.speaking, totals(speed)
    click.echo(
        f"speaking takes {speaking.beside_sound:.2f} s per second of speech (below 1: real time), "
        f"{speaking.beside_sound / speaking.alone:.2f} times as long as without decoding the sound "
        "beside it"
    )
    read, seconds = found["gb_per_speech_second"], found["seconds_per_speech_second"]
    click.echo(
        f"with the text that goes with it a second of a dialogue takes {seconds['dialogue']:.2f} s "
        f"and reads {read['dialogue']:.1f} GB; of a text that is given {seconds['speak']:.2f} s "
        f"and {read['speak']:.1f} GB, with {found['accepted_tokens_per_read']:.1f} tokens of it "
        f"per reading (times behind {speed.positions} positions, GB behind {POSITIONS})"
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


def print_conversations(conversations: Conversations, bandwidth: float) -> None:
    """A table of answers at once, and a sentence about a prompt beside one."""
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
