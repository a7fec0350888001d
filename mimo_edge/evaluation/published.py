"""What Xiaomi's technical report tells of the released models, to stand beside what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PUBLISHED", "Published", "modality_gap"]

_BASE = "7B-Base, 5 examples"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One figure of the report."""

    percent: float
    of: str
    """Which model, and how it was asked."""


PUBLISHED: Mapping[str, Published] = {
    "speechmmlu-s2s": Published(percent=69.1, of=_BASE),
    "speechmmlu-s2t": Published(percent=69.5, of=_BASE),
    "speechmmlu-t2s": Published(percent=71.5, of=_BASE),
    "speechmmlu-t2t": Published(percent=72.5, of=_BASE),
    "mmau": Published(percent=66.0, of=_BASE),
}
"""Benchmark → what was published, with the precision (bfloat16) and the judges of the authors."""


def modality_gap(values: Mapping[str, float]) -> float | None:
    """What is lost when the same questions are spoken and answered in speech, not in text: T2T less
    S2S, in the unit of `values` (benchmark → score). None: one of them is missing.

    Published: 3.4 points.
    """
    ends = values.get("speechmmlu-t2t"), values.get("speechmmlu-s2s")
    if ends[0] is None or ends[1] is None:
        return None
    return ends[0] - ends[1]
