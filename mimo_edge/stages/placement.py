"""Where the stages of a model compute on this machine: threads, and what they are beside."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from ..system.cores import fast_cores, logical_processors, usable_cores

__all__ = [
    "LARGE_BYTES",
    "MOST_IN_PATCH_DECODER",
    "Placement",
    "Placements",
    "prompt_piece",
    "share_cores",
    "useful_threads",
]

logger = logging.getLogger(__name__)

LARGE_BYTES = 1 << 28
"""Weights far beyond what a processor caches: reading them keeps two cores busy."""
_PIECE, _PIECE_OF_A_SMALL_MODEL, _GPU_PIECE = 32, 128, 256
"""Positions. On two cores of a laptop 32 are a second of the 7B model; a processor evaluates them
about as fast as in larger batches, where a small model pays for every call."""
MOST_IN_PATCH_DECODER = 4
"""Threads. A step is 64 products of a millisecond's tenth, after each of which all wait for the
last. Four read about as fast as a laptop's memory gives; 15, on a server, were hardly faster than
one with the released dimensions and half as fast as four with the demo model's."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where one stage computes."""

    threads: int
    """At most."""
    makes_way: bool = False
    """Whether it leaves cores to sound that is being decoded and to other programs."""
    spins: bool = True
    """Whether threads that wait for the next operator of a graph keep their cores busy."""
    provider: str = "CPUExecutionProvider"
    """What onnxruntime computes a graph with. Of the backbone, `RuntimeOptions` says whether it is
    on a GPU."""


@dataclass(frozen=True, kw_only=True)
class Placements:
    """Where every stage computes."""

    backbone: Placement
    hearing: Placement
    """The audio encoder and the patch encoder."""
    patch_decoder: Placement
    sound: Placement
    """The audio decoder and the vocoder, which work beside the others."""


def share_cores(threads: int, backbone_bytes: int) -> Placements:
    """Share the processor; `backbone_bytes` is the size of the backbone's weights.

    `threads` 0: as many as are good for a model of this size. A number that somebody chose is kept,
    whatever other programs do, so that a seed gives the same answer to the last bit.
    """
    makes_way = not threads
    if makes_way:
        threads = fast_cores() if backbone_bytes > LARGE_BYTES else 1
    # On one core the rest goes on: sampling, and the sound of the patches before.
    fewer = threads if threads < usable_cores() else max(1, threads - 1)
    return Placements(
        backbone=Placement(threads=threads, makes_way=makes_way),
        hearing=Placement(threads=threads),
        patch_decoder=Placement(threads=min(fewer, MOST_IN_PATCH_DECODER)),
        # Spinning would take twice the time that they compute from the language model.
        sound=Placement(threads=threads, spins=False),
    )


def prompt_piece(backbone_bytes: int, *, on_gpu: bool) -> int:
    """Positions of a prompt that are evaluated at once, so that a piece takes a second or less.

    It follows from the model's size and never from time, so that a seed always gives the same.
    """
    if on_gpu:
        return _GPU_PIECE
    return _PIECE if backbone_bytes > LARGE_BYTES else _PIECE_OF_A_SMALL_MODEL


def useful_threads(threads: int) -> int:
    """So many threads, but no more than there are logical processors for them.

    llama.cpp's threads wait for each other dozens of times in every layer; those without a
    processor of their own make a step take seconds, or forever.
    """
    most = logical_processors()
    if threads > most:
        logger.warning(
            "%d threads are more than the %d processors there are for them; %d are used.",
            threads,
            most,
            most,
        )
    return min(threads, most)
