"""Where the stages of a model compute on this machine: threads, and what they are beside."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from ...system.cores import fast_cores, logical_processors, usable_cores

__all__ = [
    "LARGE_BYTES",
    "MOST_IN_PATCH_DECODER",
    "PatchForm",
    "Placement",
    "Placements",
    "PromptPieces",
    "Providers",
    "prompt_pieces",
    "share_cores",
    "useful_threads",
]

logger = logging.getLogger(__name__)

LARGE_BYTES = 1 << 28
"""Weights far beyond what a processor caches: reading them keeps two cores busy."""
_PIECE, _PIECE_BESIDE, _SMALL_MODEL_PIECE, _GPU_PIECE = 256, 16, 128, 256
"""Positions. llama.cpp unpacks a weight once for all positions of a piece: on two cores one of the
7B model takes 17 ms in a piece of 187, 24 in pieces of 32 and 35 in pieces of 16. But an answer
that speaks waits for a whole piece, half a second for 16."""
MOST_IN_PATCH_DECODER = 4
"""Threads. A step is 64 products of a millisecond's tenth, after each of which all wait for the
last. Four read about as fast as a laptop's memory gives; 15, on a server, were hardly faster than
one with the released dimensions and half as fast as four with the demo model's."""


PatchForm = Literal["onnx", "gguf"]
"""The two forms in which a bundle may hold patch encoder and patch decoder."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where one stage computes."""

    threads: int
    """At most."""
    makes_way: bool = False
    """Whether it leaves cores to sound that is being decoded and to other programs."""
    spins: bool = True
    """Whether threads that wait for the next operator of a graph keep their cores busy."""
    keeps_buffers: bool = True
    """Whether a graph keeps the memory of its largest run. A small model decodes a tenth faster so;
    of a large one it is a lot of memory, and no time."""
    provider: str = "cpu"
    """What onnxruntime computes a graph with, by the name of `graph_providers`. Of the backbone,
    `RuntimeOptions` says whether it is on a GPU."""
    form: PatchForm = "onnx"
    """Of patch encoder and patch decoder: which of a bundle's files computes it, the graph in
    onnxruntime or the GGUF in llama.cpp."""
    device: str = "cpu"
    """Of a GGUF of these: where llama.cpp computes it, as `RuntimeOptions.device`."""
    exact: bool = False
    """Of a GGUF of these: whether the cache has float32 numbers instead of float16."""
    repack: bool = False
    """Of a GGUF of these: whether its weights are laid out anew while they are loaded."""


@dataclass(frozen=True, kw_only=True)
class Placements:
    """Where every stage computes."""

    backbone: Placement
    audio_encoder: Placement
    patch_encoder: Placement
    patch_decoder: Placement
    sound: Placement
    """The audio decoder and the vocoder, which work beside the others."""


@dataclass(frozen=True, kw_only=True)
class Providers:
    """What onnxruntime computes the audio tokenizer with, by the names of `graph_providers`."""

    audio_encoder: str = "cpu"
    audio_decoder: str = "cpu"
    """With the vocoder."""


def share_cores(
    threads: int, backbone_bytes: int, providers: Providers | None = None
) -> Placements:
    """Share the processor; `backbone_bytes` is the size of the backbone's weights.

    `threads` 0: as many as are good for a model of this size. A number that somebody chose is kept,
    whatever other programs do, so that a seed gives the same answer to the last bit.
    """
    providers = providers or Providers()
    makes_way = not threads
    large = backbone_bytes > LARGE_BYTES
    if makes_way:
        threads = fast_cores() if large else 1
    # A small model's rest, its sampling and the sound of the patches before, takes as long as its
    # patches, and goes on beside them on a core of its own.
    fewer = threads if large or threads < usable_cores() else max(1, threads - 1)
    return Placements(
        backbone=Placement(threads=threads, makes_way=makes_way),
        audio_encoder=Placement(
            threads=threads, keeps_buffers=not large, provider=providers.audio_encoder
        ),
        patch_encoder=Placement(threads=threads),
        patch_decoder=Placement(threads=min(fewer, MOST_IN_PATCH_DECODER)),
        # Spinning would take twice the time that they compute from the language model.
        sound=Placement(
            threads=threads, spins=False, keeps_buffers=not large, provider=providers.audio_decoder
        ),
    )


@dataclass(frozen=True, kw_only=True)
class PromptPieces:
    """How many positions of a prompt are evaluated at once."""

    alone: int
    """While no answer waits for its next position; such a piece can be ended in the middle."""
    beside: int
    """Between two steps of the answers that run."""


def prompt_pieces(backbone_bytes: int, *, on_gpu: bool, chosen: int | None = None) -> PromptPieces:
    """The pieces in which prompts are evaluated; `chosen` is what somebody wants them to be.

    They follow from the model's size and never from time, so that a seed always gives the same.
    """
    if chosen is None and backbone_bytes > LARGE_BYTES and not on_gpu:
        return PromptPieces(alone=_PIECE, beside=_PIECE_BESIDE)
    alone = chosen or (_GPU_PIECE if on_gpu else _SMALL_MODEL_PIECE)
    return PromptPieces(alone=alone, beside=max(1, alone // 2))


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
