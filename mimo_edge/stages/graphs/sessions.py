"""Sessions of onnxruntime: a graph, loaded for a provider, or for the processor if that fails."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, NamedTuple

import onnxruntime

from ..machine.placement import Placement
from .providers import CPU, provider_named, use_provider

__all__ = ["OpenedGraph", "open_graph", "tell_fallback"]

logger = logging.getLogger(__name__)

_QUIET = 4  # onnxruntime's severity "fatal": its errors are raised, and told by us
_LONGEST_REASON = 240
_SPIN_US = "50"
"""Microseconds that a thread waits for its next piece of work with its core kept busy. Operators of
the patch decoder follow each other faster; a thread that waits longer waits for one whose core
another program has."""


class OpenedGraph(NamedTuple):
    """A session, and the provider that it computes with."""

    session: Any
    provider: str


def open_graph(path: Path, placement: Placement) -> OpenedGraph:
    """Load a graph for the provider that is wanted; if it cannot be, for the processor.

    Raises:
        Exception: onnxruntime's own, where the processor cannot, either.
    """
    if placement.provider != CPU:
        try:
            return OpenedGraph(_open(path, placement, placement.provider), placement.provider)
        except Exception as error:  # onnxruntime's exception classes share no base of their own
            tell_fallback(path, placement.provider, error)
    return OpenedGraph(_open(path, placement, CPU), CPU)


def tell_fallback(path: Path, provider: str, error: Exception) -> None:
    """Note that a graph is computed on the processor because its provider failed."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:_LONGEST_REASON]
    logger.warning(
        "%s runs on the processor, since the provider %s cannot compute it: %s.",
        path.name,
        provider,
        reason.rstrip("."),
    )


def _open(path: Path, placement: Placement, provider: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = placement.threads
    options.log_severity_level = _QUIET
    # Threads spin between the many small operators of a run, which makes the patch
    # decoder a fifth faster, but not after it: then another stage needs the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    spins = "1" if placement.spins else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spins)
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
    if not placement.keeps_buffers and provider == CPU and sys.platform == "linux":
        # onnxruntime takes memory by powers of two and never gives it back: 120 MB for 30 s that
        # were heard, 750 MB for a voice, for good. glibc is no slower
        # here, and gives back what is free. Other systems were not measured.
        options.enable_cpu_mem_arena = False
        # A plan of the buffers for every length of input that was seen, and each is another one.
        options.enable_mem_pattern = False
    titles = use_provider(options, provider_named(provider))
    return onnxruntime.InferenceSession(
        path,
        options,
        providers=titles,
        # Its wrapper would print what failed and try the same once more.
        enable_fallback=0,
        read_config_from_model=0,
    )
