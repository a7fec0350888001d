"""The table of a report as Markdown: `python -m training.quality.table REPORT`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .measuring import Guessed
from .report import Row, read_report

__all__ = ["markdown"]

_DRAWS = 4000
_Z = 1.96
"""Standard deviations on either side that hold 95% of a normal distribution."""
_HEAD = (
    "recipe",
    "MB",
    "word errors",
    "answers right",
    "misheard",
    "more than `reference`",
    "equal codes per codebook, %",
    "text KL",
    "code KL",
    "same with guesses",
)


def markdown(rows: Sequence[Row]) -> str:
    """The table of all rows; in brackets stands where 95 of 100 such draws lie."""
    first = rows[0]
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    for row in rows:
        results = row.results
        heard, spoken = np.array(results.heard), np.array(results.spoken)
        positions = sum(each.positions for each in results.distances)
        drawn = sum(each.drawn for each in results.distances)
        lines.append(
            _line(
                (
                    row.label,
                    f"{row.megabytes:.1f}",
                    f"{_rate(heard):.1%}",
                    f"{np.mean(results.answered):.1%} {_wilson(results.answered)}",
                    f"{_rate(spoken):.1%} {_percentages(_drawn_again(spoken))}",
                    "" if row is first else _more(spoken, np.array(first.results.spoken)),
                    " ".join(f"{100 * part:.0f}" for part in results.codes_equal),
                    f"{sum(each.text for each in results.distances) / positions:.4f}",
                    f"{sum(each.codes for each in results.distances) / drawn:.4f}",
                    _same(results.guessed),
                )
            )
        )
    return "\n".join(lines) + "\n"


def _same(guessed: Sequence[Guessed]) -> str:
    """How many spoken sentences are the same to the last code, and the tokens per reading."""
    if not guessed:
        return ""
    readings = sum(each.readings for each in guessed)
    per_reading = sum(each.accepted for each in guessed) / max(1, readings)
    return f"{sum(each.same for each in guessed)} of {len(guessed)}, {per_reading:.1f} a reading"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rate(counts: np.ndarray) -> float:
    """Wrong words per word, of [sentences, (wrong, words)]."""
    return float(counts[:, 0].sum() / counts[:, 1].sum())


def _drawn_again(counts: np.ndarray) -> np.ndarray:
    """Rates of other draws of as many sentences from these (bootstrap)."""
    return np.array([_rate(counts[draw]) for draw in _draws(len(counts))])


def _more(counts: np.ndarray, of_first: np.ndarray) -> str:
    """By how many points more was misheard of the same sentences than in the first row."""
    draws = _draws(len(counts))
    more = np.array([_rate(counts[draw]) - _rate(of_first[draw]) for draw in draws])
    points = 100 * (_rate(counts) - _rate(of_first))
    low, high = 100 * np.percentile(more, [2.5, 97.5])
    return f"{points:+.1f} ({low:+.1f} to {high:+.1f})"


def _draws(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, count, (_DRAWS, count))


def _percentages(rates: np.ndarray) -> str:
    low, high = np.percentile(rates, [2.5, 97.5])
    return f"({100 * low:.1f} to {100 * high:.1f})"


def _wilson(right: Sequence[bool]) -> str:
    """Wilson's interval, which holds where nearly all are right, too."""
    count, rate = len(right), float(np.mean(right))
    middle = (rate + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    reach = _Z / (1 + _Z**2 / count) * np.sqrt(rate * (1 - rate) / count + _Z**2 / (4 * count**2))
    return f"({100 * (middle - reach):.1f} to {100 * min(1.0, middle + reach):.1f})"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="JSON that training.quality wrote")
    sys.stdout.write(markdown(read_report(parser.parse_args().report)))


if __name__ == "__main__":
    main()
