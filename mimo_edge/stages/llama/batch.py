"""A batch of positions for llama.cpp, and what it says behind some of them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ...bundle.manifest import BackboneConfig

__all__ = ["BackboneOutput", "Rows", "fill_batch", "read_outputs"]

_FLOATS = ctypes.POINTER(ctypes.c_float)


@dataclass(frozen=True, kw_only=True)
class BackboneOutput:
    """What the backbone says after a position."""

    logits: NDArray[np.float32]
    """[vocabulary] of the next text token; [0] where they were not asked for."""
    hidden: NDArray[np.float32]
    """[hidden] after the final norm, for the patch decoder."""

    @property
    def has_logits(self) -> bool:
        """Whether the logits were asked for."""
        return len(self.logits) > 0


class Rows(NamedTuple):
    """New positions of one sequence, by its number."""

    sequence: int
    embeddings: NDArray[np.float32]
    """float32 [positions, hidden]."""
    outputs: int = 0
    """How many of the last of them need their output."""


def fill_batch(batch: int, work: Sequence[Rows], lengths: Sequence[int]) -> list[int]:
    """Make llama.cpp's batch of new positions; each sequence has so many already.

    Returns:
        The places in the batch that have outputs.
    """
    llama_cpp.llama_batch_ext_clear(batch)
    count, places = 0, []
    for (sequence, embeddings, outputs), length in zip(work, lengths, strict=True):
        for offset, row in enumerate(embeddings):
            embedding = llama_cpp.llama_embd(row.ctypes.data_as(_FLOATS), 1, len(row))
            index = int(llama_cpp.llama_batch_ext_add_embd(batch, sequence, embedding))
            if index != count:
                raise RuntimeError(f"llama.cpp refuses position {count} of a batch ({index})")
            position = llama_cpp.llama_pos(length + offset)
            llama_cpp.llama_batch_ext_set_pos(batch, index, ctypes.byref(position))
            wanted = offset >= len(embeddings) - outputs
            llama_cpp.llama_batch_ext_set_output_logits(batch, index, wanted)
            if wanted:
                places.append(index)
            count += 1
    return places


def read_outputs(
    context: int,
    places: Sequence[int],
    config: BackboneConfig,
    hidden: NDArray[np.float32] | None,
    *,
    logits: bool,
) -> list[BackboneOutput]:
    """What llama.cpp says behind these places of the batch that it evaluated last.

    `hidden` are their hidden states, float32 [places, hidden], if llama.cpp was not asked for them.
    """
    outputs = []
    for number, place in enumerate(places):
        if hidden is None:
            state = _copy(llama_cpp.llama_get_embeddings_ith(context, place), config.hidden_size)
        else:
            state = hidden[number]
        # Where they were not computed, llama.cpp gives what was in its memory before.
        scores = llama_cpp.llama_get_logits_ith(context, place)
        size = config.vocab_size if logits else 0
        outputs.append(BackboneOutput(logits=_copy(scores, size), hidden=state))
    return outputs


def _copy(values: Any, count: int) -> NDArray[np.float32]:
    if not values:
        raise RuntimeError("llama.cpp gives no output for a position of a batch")
    return np.ctypeslib.as_array(values, (count,)).copy()
