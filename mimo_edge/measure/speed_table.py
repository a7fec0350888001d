"""From the speed of a memory to the speed of the released model's speech, in every recipe."""

from __future__ import annotations

from dataclasses import dataclass

from ..stages.machine.runtime_options import RuntimeOptions
from .released import released_models
from .speech_cost import KINDS, Kind, released_ways, seconds_of_speech, speech_bytes

__all__ = [
    "BANDWIDTHS",
    "TABLE_THREADS",
    "Factors",
    "factors_by_bandwidth",
    "markdown_table",
    "table_rows",
]

BANDWIDTHS = (30, 45, 60, 90, 120)
"""GB/s: about two channels of DDR4, fast ones, of DDR5, fast ones, and a wider memory."""
TABLE_THREADS = 8
"""Fast cores that such a laptop has; they share the arithmetic of guesses."""


@dataclass(frozen=True, kw_only=True)
class Factors:
    """One recipe of the released model."""

    recipe: str
    gigabytes: dict[Kind, float]
    """That a second of speech reads."""
    seconds: dict[Kind, list[float]]
    """That it takes about, for each of `BANDWIDTHS`: the real-time factor."""


def factors_by_bandwidth() -> list[Factors]:
    """Of every recipe, from the smallest to the largest; estimates, as those of `info`."""
    ways = released_ways(RuntimeOptions(device="cpu"))
    found = []
    for recipe, model in released_models().items():
        seconds: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
        for kind in KINDS:
            for speed in BANDWIDTHS:
                took = seconds_of_speech(model.read, kind, ways, speed * 1e9, threads=TABLE_THREADS)
                assert took is not None  # the released model is large
                seconds[kind].append(took)
        gigabytes = {
            kind: sum(speech_bytes(model.read, kind, ways).values()) / 1e9 for kind in KINDS
        }
        found.append(Factors(recipe=recipe, gigabytes=gigabytes, seconds=seconds))
    return found


def table_rows() -> tuple[list[str], list[list[str]]]:
    """(head, rows): what a second of a dialogue and of `speak` takes, a dot between them."""
    factors = factors_by_bandwidth()
    head = ["GB/s", *(each.recipe for each in factors)]
    rows = [
        [str(speed), *(_pair([each.seconds[kind][at] for kind in KINDS], 2) for each in factors)]
        for at, speed in enumerate(BANDWIDTHS)
    ]
    rows.append(
        ["GB read", *(_pair([each.gigabytes[kind] for kind in KINDS], 1) for each in factors)]
    )
    return head, rows


def markdown_table() -> str:
    """The same as it stands in the README."""
    head, rows = table_rows()
    head = [head[0], *(f"`{recipe}`" for recipe in head[1:])]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _pair(values: list[float], digits: int) -> str:
    return " · ".join(f"{value:.{digits}f}" for value in values)
