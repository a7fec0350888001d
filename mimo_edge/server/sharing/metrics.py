"""Counts and times, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from ...generation.events import TurnStats

__all__ = ["Metrics", "Outcome"]

Outcome = Literal["done", "failed", "left", "timeout", "refused"]
"""How a request ended: answered; with an error; its caller left; it took too long; there was no
place for it."""

_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_FACTORS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0)


class Metrics:
    """What happened so far; each server has its own. Labels never hold what a caller sent."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        counter = partial(Counter, namespace="mimo_edge", registry=registry)
        gauge = partial(Gauge, namespace="mimo_edge", registry=registry)
        histogram = partial(Histogram, namespace="mimo_edge", registry=registry)
        self._requests = counter("requests", "Requests by how they ended.", ["kind", "outcome"])
        self._refusals = counter(
            "refusals", "Requests that were refused, by reason.", ["kind", "reason"]
        )
        self._queue = histogram("queue_seconds", "Until a request's turn came.", buckets=_SECONDS)
        self._took = histogram(
            "request_seconds",
            "Until a request was over, waiting included.",
            ["kind"],
            buckets=_SECONDS,
        )
        self._running = gauge("running_requests", "Requests that are worked on.")
        self._waiting = gauge("waiting_requests", "Requests that wait for a turn.")
        self._live = gauge("conversations", "Live conversations.")
        self._begun = counter("conversations_begun", "Conversations since the start.")
        self._first_audio = histogram(
            "first_audio_seconds",
            "From a request, or the end of a turn, to the first sound that is sent.",
            ["kind"],
            buckets=_SECONDS,
        )
        self._factor = histogram(
            "real_time_factor",
            "Seconds of computation for a second of speech, by answer; under 1 keeps up.",
            buckets=_FACTORS,
        )
        self._prompt = counter("prompt_positions", "Positions of prompts, evaluated.")
        self._cached = counter("cached_positions", "Positions that were cached.")
        self._tokens = counter("text_tokens", "Text tokens generated.")
        self._readings = counter("weight_readings", "Readings of the weights to generate.")
        self._guessed = counter("guessed_tokens", "Text tokens that were guessed right.")
        self._patches = counter("patches", "Patches of 160 ms of sound generated.")
        self._audio = counter("audio_seconds", "Speech that was generated.")
        self._voices = gauge("carried_conversations", "Conversations that measured speed carries.")
        process = psutil.Process()
        gauge("resident_bytes", "Memory of the process.").set_function(
            lambda: process.memory_info().rss
        )

    def began(self, kind: str, *, waited: float) -> None:
        """A request's turn came after so many seconds."""
        self._queue.observe(waited)

    def ended(self, kind: str, *, took: float, outcome: Outcome = "done") -> None:
        """A request is over, so many seconds after it came."""
        self._requests.labels(kind, outcome).inc()
        self._took.labels(kind).observe(took)

    def refused(self, kind: str, reason: str = "queue_full") -> None:
        """A request was refused before there was any work on it."""
        self._refusals.labels(kind, reason).inc()

    def conversation_began(self) -> None:
        """A live conversation began."""
        self._begun.inc()
        self._live.inc()

    def conversation_ended(self) -> None:
        """A live conversation is over."""
        self._live.dec()

    def first_audio(self, kind: str, seconds: float) -> None:
        """The first sound of an answer is sent, so long after its request or its turn was over."""
        self._first_audio.labels(kind).observe(seconds)

    def generated(self, stats: TurnStats) -> None:
        """An answer was made; for requests and conversations `Work.generated` calls it."""
        self._prompt.inc(stats.evaluated_positions)
        self._cached.inc(stats.cached_positions)
        self._tokens.inc(stats.text_tokens)
        self._readings.inc(stats.readings)
        self._guessed.inc(stats.accepted_tokens)
        self._patches.inc(stats.patches)
        self._audio.inc(stats.audio_seconds)
        if stats.audio_seconds:
            self._factor.observe(stats.generation_seconds / stats.audio_seconds)

    def watch(
        self,
        *,
        running: Callable[[], float],
        waiting: Callable[[], float],
        carried: Callable[[], float],
    ) -> None:
        """Where to ask for what is so just now."""
        self._running.set_function(running)
        self._waiting.set_function(waiting)
        self._voices.set_function(carried)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """(all of it, its content type) in a format that the `Accept` header names."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # it compares versions that may be no numbers
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type
