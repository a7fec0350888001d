"""How fast this machine reads its memory: the limit of generating."""

from __future__ import annotations

import threading
import time

import numpy as np

__all__ = ["measure_bandwidth"]

_BANDWIDTH_BYTES = 1 << 29
"""Far more than a processor's caches hold."""


def measure_bandwidth(threads: int) -> float:
    """Bytes per second that all threads together read from memory; the best of five."""
    share = _BANDWIDTH_BYTES // threads // 8
    # Ones: pages of zeros that nobody wrote to would all be one page of the system's.
    arrays = [np.ones(share, dtype=np.int64) for _ in range(threads)]
    best = 0.0
    for _ in range(5):
        # It reads all and writes nothing, does next to no arithmetic, and lets go of Python's lock.
        workers = [threading.Thread(target=np.bitwise_or.reduce, args=(a,)) for a in arrays]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        best = max(best, threads * share * 8 / (time.perf_counter() - start))
    return best
