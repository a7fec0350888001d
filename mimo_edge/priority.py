"""Which thread computes first where there are more threads than cores."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["step_back", "while_stepped_back"]

_NICENESS = 10
"""A tenth of a core while another thread wants it: sound needs little, but in time."""

T = TypeVar("T")


def step_back() -> None:
    """Let other threads compute before this one and those that it starts (Linux only).

    The language model's threads wait for the slowest of them after every operator; one that
    shares its core with the sound would hold all of them up. macOS and Windows have no
    priority of single threads that Python can reach.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def while_stepped_back(work: Callable[[], T]) -> T:
    """The result of `work`, done in a thread that has stepped back, as have those it starts."""
    with ThreadPoolExecutor(1, initializer=step_back) as pool:
        return pool.submit(work).result()
