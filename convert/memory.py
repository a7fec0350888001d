"""What a conversion says when the machine has too little memory for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from mimo_edge.errors import NoMemoryError

__all__ = ["look_at_memory", "memory_explained", "no_memory"]

_LOGGER = logging.getLogger(__name__)

_LARGE = 4_000_000_000
"""Bytes of a bundle of the 7B model, whatever the recipe."""
_PEAK = 4_000_000_000
"""Bytes of memory that is enough for it, whatever the recipe; 2.4 GB were measured."""


def look_at_memory(bundle_bytes: int) -> None:
    """Warn before the work if memory is short; swapping may still get it done."""
    available = psutil.virtual_memory().available
    if bundle_bytes > _LARGE and available < _PEAK:
        _LOGGER.warning(
            "only %.1f GB of memory are free, and a conversion of this size takes up to %.0f GB; "
            "close other programs.",
            available / 1e9,
            _PEAK / 1e9,
        )


def no_memory() -> NoMemoryError:
    """The error of a conversion that ran out of memory."""
    return NoMemoryError(
        "there was not enough memory for the conversion, which for the 7B model needs up to "
        f"{_PEAK / 1e9:.0f} GB; close other programs and run it again."
    )


@contextmanager
def memory_explained() -> Iterator[None]:
    """Turn a MemoryError into `no_memory`."""
    try:
        yield
    except MemoryError as error:
        raise no_memory() from error
