"""A small text model of the backbone's vocabulary, which guesses how a text goes on.

It knows nothing of sound: it sees the text alone. What it guesses is verified by the backbone, so
it may be any model that llama.cpp runs and that cuts text into the same tokens.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import llama_cpp
import numpy as np

from ..bundle.gguf_header import read_header
from ..errors import BadInputError
from ..system.memory import check_memory
from .backbone import Backbone
from .llama.libraries import load_libraries
from .llama.log import complaints
from .llama.native import Native
from .machine.gpu import gpu_layers, load_model
from .machine.placement import Placement
from .machine.runtime_options import RuntimeOptions

__all__ = ["DraftModel", "DraftText"]

_BATCH = 128
_CELL_BYTES = 4
"""Of a key and a value in float16."""


class _Opened(NamedTuple):
    """llama.cpp's objects."""

    model: int
    context: int
    memory: int
    batch: int


class DraftModel:
    """The weights of a draft model, and the texts that it goes on with."""

    def __init__(
        self, opened: _Opened, known: frozenset[int], cells: int, sequences: int, weight: float
    ) -> None:
        self.known = known
        """Text ids that mean the same to both models."""
        self._sequences = sequences
        self._opened = Native(opened, _free, closed="the model is closed; load it again.")
        self._cells = cells
        self._unused = set(range(sequences))
        self._given_back: deque[int] = deque()
        self.weight = weight
        """What a guess reads, as a part of what the backbone reads for a position."""

    @classmethod
    def load(
        cls,
        path: Path,
        backbone: Backbone,
        backbone_bytes: int,
        options: RuntimeOptions,
        placement: Placement,
    ) -> DraftModel:
        """Map a GGUF beside the backbone, whose file has so many bytes.

        Raises:
            MimoEdgeError: it cannot be read, has other tokens, or does not fit the memory.
        """
        try:
            read_header(path)
            size = path.stat().st_size
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BadInputError(
                f"the draft model {path} cannot be used ({reason}); give the GGUF of a text model."
            ) from error
        load_libraries()
        params = llama_cpp.llama_model_default_params()
        with complaints() as said:
            model = load_model(path, params, options)
        if not model:
            raise BadInputError(f"the draft model {path} does not load ({said.first}).")
        try:
            known = _known(path, model, backbone)
            cells = backbone.context
            width = llama_cpp.llama_model_n_embd(model) * llama_cpp.llama_model_n_layer(model)
            check_memory(f"the draft model {path}", _CELL_BYTES * cells * width, mapped=size)
            opened = _open(path, model, cells, options, placement)
        except BaseException:
            llama_cpp.llama_model_free(model)
            raise
        return cls(opened, known, cells, options.conversations, size / backbone_bytes)

    def text(self, ids: Sequence[int]) -> DraftText | None:
        """A text to go on with; None while there are as many as there can be."""
        with self._opened.use() as opened:
            while self._given_back:
                sequence = self._given_back.popleft()
                llama_cpp.llama_memory_seq_rm(opened.memory, sequence, -1, -1)
                self._unused.add(sequence)
            free = self._unused.pop() if self._unused else None
        return None if free is None else DraftText(self, free, ids)

    def close(self) -> None:
        """Free it."""
        self._opened.close()

    def give_back(self, sequence: int) -> None:
        """Forget a text, at the latest when the next begins; calls nothing native."""
        self._given_back.append(sequence)

    def go_on(self, sequence: int, held: int, new: Sequence[int], most: int) -> list[int]:
        """The likeliest ids behind `held` positions of a sequence and the ids `new`, at most so
        many; none where there is no room. The sequence then holds all but the last of them.

        They end in front of an id that means nothing to the backbone: it may have fewer ids.
        """
        with self._opened.use() as opened:
            length = held + len(new) + most
            others = sum(_length(opened, n) for n in range(self._sequences) if n != sequence)
            if length + others > self._cells:
                return []
            llama_cpp.llama_memory_seq_rm(opened.memory, sequence, held, -1)
            found: list[int] = []
            rest = list(new)
            while len(found) < most:
                for start in range(0, len(rest), _BATCH):
                    part = rest[start : start + _BATCH]
                    if not _evaluate(opened, sequence, held, part):
                        return found
                    held += len(part)
                best = _best(opened, len(part) - 1)
                if best not in self.known:
                    return found
                found.append(best)
                rest = [best]
            return found


class DraftText:
    """The text of one answer and what was before it, as the draft model sees it."""

    def __init__(self, model: DraftModel, sequence: int, ids: Sequence[int]) -> None:
        self._model = model
        self._sequence = sequence
        self._ids = [text_id for text_id in ids if text_id in model.known]
        self._held: list[int] = []
        """What the sequence holds at least, ids that were guessed included."""
        weakref.finalize(self, model.give_back, sequence)

    def add(self, text_id: int) -> None:
        """The text goes on with this id."""
        if text_id in self._model.known:
            self._ids.append(text_id)

    def guess(self, most: int) -> list[int]:
        """How it goes on most likely, at most so many ids.

        Raises:
            MimoEdgeError: the model is closed.
        """
        if not self._ids:
            return []
        same = (one == other for one, other in zip(self._held, self._ids, strict=False))
        common = sum(1 for _ in itertools.takewhile(bool, same))
        held = min(common, len(self._ids) - 1)  # the last one is evaluated for its output
        self._held = self._held[:held]
        found = self._model.go_on(self._sequence, held, self._ids[held:], most)
        if found:
            self._held = [*self._ids, *found[:-1]]
        return found


def _known(path: Path, model: int, backbone: Backbone) -> frozenset[int]:
    """The text ids that mean the same to both models: all of ordinary text, and some of control.

    Raises:
        MimoEdgeError: the draft model cuts text otherwise.
    """
    vocab = llama_cpp.llama_model_get_vocab(model)
    count = llama_cpp.llama_vocab_n_tokens(vocab)
    words = backbone.words()
    known = set()
    for text_id, (text, ordinary) in enumerate(words):
        found = llama_cpp.llama_vocab_get_text(vocab, text_id) if text_id < count else None
        if found == text:
            known.add(text_id)
        elif ordinary:
            raise BadInputError(
                f"the draft model {path} has {found!r} for text id {text_id}, where this model "
                f"has {text!r}; give a model with the same vocabulary."
            )
    return frozenset(known)


def _open(
    path: Path, model: int, cells: int, options: RuntimeOptions, placement: Placement
) -> _Opened:
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = cells
    params.n_batch = params.n_ubatch = min(_BATCH, cells)
    params.n_seq_max = options.conversations
    params.kv_unified = True
    params.n_threads = params.n_threads_batch = placement.threads
    params.offload_kqv = gpu_layers(options) != 0
    params.no_perf = True
    with complaints() as said:
        context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise BadInputError(f"there is no memory for the draft model {path} ({said.first}).")
    memory = llama_cpp.llama_get_memory(context)
    return _Opened(model, context, memory, llama_cpp.llama_batch_ext_init(context))


def _free(opened: _Opened) -> None:
    llama_cpp.llama_batch_ext_free(opened.batch)
    llama_cpp.llama_free(opened.context)
    llama_cpp.llama_model_free(opened.model)


def _length(opened: _Opened, sequence: int) -> int:
    return int(llama_cpp.llama_memory_seq_pos_max(opened.memory, sequence)) + 1


def _evaluate(opened: _Opened, sequence: int, length: int, ids: Sequence[int]) -> bool:
    """Whether llama.cpp could put ids behind so many positions; the last one gets its output."""
    llama_cpp.llama_batch_ext_clear(opened.batch)
    for offset, text_id in enumerate(ids):
        index = llama_cpp.llama_batch_ext_add_token(opened.batch, sequence, text_id)
        position = llama_cpp.llama_pos(length + offset)
        llama_cpp.llama_batch_ext_set_pos(opened.batch, index, ctypes.byref(position))
        last = offset == len(ids) - 1
        llama_cpp.llama_batch_ext_set_output_logits(opened.batch, index, last)
    with complaints():
        kind = llama_cpp.LLAMA_PROCESS_TYPE_DECODE
        return not llama_cpp.llama_process(opened.context, kind, opened.batch)


def _best(opened: _Opened, index: int) -> int:
    vocab = llama_cpp.llama_model_get_vocab(opened.model)
    logits = llama_cpp.llama_get_logits_ith(opened.context, index)
    count = llama_cpp.llama_vocab_n_tokens(vocab)
    return int(np.ctypeslib.as_array(logits, (count,)).argmax()) if logits else 0
