"""Counts and times, as Prometheus reads them."""

from __future__ import annotations

from collections import Counter

__all__ = ["Metrics"]


class Metrics:
    """What happened so far. For the event loop only."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    def began(self, kind: str, *, waited: float) -> None:
        """A request's turn came after so many seconds."""
        self.requests[kind] += 1

    def refused(self, kind: str) -> None:
        """A request was refused because too many waited."""
        self.refusals[kind] += 1

    def ended(self, kind: str, *, took: float) -> None:
        """A request is over, so many seconds after it came."""
