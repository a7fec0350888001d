"""What a conversion says when the machine has no memory left for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mimo_edge.errors import MimoEdgeError

__all__ = ["memory_explained", "no_memory"]


def no_memory() -> MimoEdgeError:
    """The error of a conversion that ran out of memory."""
    return MimoEdgeError(
        "there was not enough memory for the conversion, which for the 7B model needs up to 4 GB; "
        "close other programs and run it again."
    )


@contextmanager
def memory_explained() -> Iterator[None]:
    """Turn a MemoryError into `no_memory`."""
    try:
        yield
    except MemoryError as error:
        raise no_memory() from error
