"""The backbone: a Qwen2 language model in llama.cpp over text tokens and patch embeddings.

A `Backbone` is the weights, the text vocabulary and one cache; a `BackboneSequence` is a handle of
one conversation in it. Here only this module, `backbone_draft`, `machine/gpu.py` and those in
`llama/` import llama_cpp.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ..bundle.gguf_header import GgufTensor
from ..bundle.manifest import BackboneConfig
from ..bundle.number_types import row_bytes
from ..errors import BadBundleError, DoesNotFitError
from ..system.mapped_pages import let_go
from ..system.spare_cores import SpareCores
from .llama.abort import EvaluationStopped
from .llama.batch import BackboneOutput, Rows
from .llama.context import BackboneContext
from .llama.libraries import load_libraries
from .llama.log import complaints
from .llama.native import Native
from .llama.sequence import BackboneSequence
from .machine.gpu import does_not_load, gpu_layers, load_model
from .machine.placement import Placement
from .machine.runtime_options import RuntimeOptions
from .token_embeddings import TokenEmbeddings, TokenHead

__all__ = ["Backbone"]


class Backbone:
    """The weights of the GGUF, and the text tokenizer inside it."""

    def __init__(
        self,
        model: Native[int],
        token_embeddings: TokenEmbeddings,
        head: TokenHead,
        config: BackboneConfig,
        options: RuntimeOptions,
        placement: Placement,
        spare_cores: SpareCores,
        *,
        looks_inside: bool = False,
    ) -> None:
        self._model = model
        self._token_embeddings = token_embeddings
        self._head = head
        self._looks_inside = looks_inside
        self.config = config
        self._options = options
        self._placement = placement
        self._spare_cores = spare_cores
        self.context = options.context_for(config)
        """Positions that a sequence can hold."""
        self._opened: BackboneContext | None = None
        self._opening = threading.Lock()

    @classmethod
    def load(
        cls,
        path: Path,
        head: GgufTensor,
        config: BackboneConfig,
        options: RuntimeOptions,
        placement: Placement,
        spare_cores: SpareCores,
        *,
        repack: bool = False,
        looks_inside: bool = False,
    ) -> Backbone:
        """Map the GGUF into memory, or with `repack` read it and lay its weights out anew.

        `head` is what `check_backbone` says of the text head. With `looks_inside`, less is computed
        where not all logits are wanted (see `BackboneContext`).

        Raises:
            MimoEdgeError: llama.cpp refuses the file, or it does not fit the manifest.
        """
        load_libraries()
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.use_extra_bufts = repack
        if repack and not gpu_layers(options):
            # The mapped file would stay in memory beside the repacked weights: a second copy.
            params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
        with complaints() as said:
            model = load_model(path, params, options)
        if not model:
            raise does_not_load(path, said.first, options)
        held = Native(
            model, llama_cpp.llama_model_free, closed="the model is closed; load it again."
        )
        found = (
            llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model)),
            llama_cpp.llama_model_n_embd(model),
            llama_cpp.llama_model_n_layer(model),
        )
        expected = (config.vocab_size, config.hidden_size, config.layers)
        if found != expected:
            held.close()
            raise BadBundleError(
                f"{path} has vocabulary, width and layers {found} instead of {expected}: "
                "it is of another bundle."
            )
        if head.offset != config.embedding_offset:
            # llama.cpp has mapped all of the file, but of this table a few rows are read, by us.
            let_go(path, config.embedding_offset, config.vocab_size * row_bytes(config))
        return cls(
            held,
            TokenEmbeddings(path, config),
            TokenHead(path, head),
            config,
            options,
            placement,
            spare_cores,
            looks_inside=looks_inside,
        )

    def tokenize(self, text: str) -> list[int]:
        """Plain text to ids; text that looks like a control token stays text."""
        data = text.encode("utf-8")
        capacity = len(data) + 8
        buffer = (llama_cpp.llama_token * capacity)()
        with self._model.use() as model:
            vocab = llama_cpp.llama_model_get_vocab(model)
            count = llama_cpp.llama_tokenize(vocab, data, len(data), buffer, capacity, False, False)
        if count < 0:
            raise RuntimeError(f"llama_tokenize needs {-count} places for {len(data)} bytes")
        return list(buffer[:count])

    def token_bytes(self, token: int) -> bytes:
        """The bytes a text token stands for; a control token's are its name.

        Padding ids, which a model can generate but no text stands for, have none.
        """
        with self._model.use() as model:
            vocab = llama_cpp.llama_model_get_vocab(model)
            attributes = llama_cpp.llama_vocab_get_attr(vocab, token)
            if attributes & llama_cpp.LLAMA_TOKEN_ATTR_UNUSED:
                return b""
            size = 64
            while True:
                buffer = ctypes.create_string_buffer(size)
                count = llama_cpp.llama_token_to_piece(vocab, token, buffer, size, 0, True)
                if count >= 0:
                    return buffer.raw[:count]
                size = -count

    def words(self) -> list[tuple[bytes, bool]]:
        """Every text id as the GGUF writes it, and whether it is ordinary text."""
        normal = llama_cpp.LLAMA_TOKEN_ATTR_NORMAL
        with self._model.use() as model:
            vocab = llama_cpp.llama_model_get_vocab(model)
            return [
                (
                    llama_cpp.llama_vocab_get_text(vocab, text_id),
                    bool(llama_cpp.llama_vocab_get_attr(vocab, text_id) & normal),
                )
                for text_id in range(self.config.vocab_size)
            ]

    def embed(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Input embeddings of text ids: int32 [n] → float32 [n, hidden]."""
        return self._token_embeddings.rows(tokens)

    def logits_of(self, hidden: NDArray[np.float32], ids: tuple[int, ...]) -> NDArray[np.float32]:
        """Logits of a few text ids, float32 [ids], from a hidden state [hidden]."""
        return self._head.logits(hidden, ids)

    def new_sequence(self) -> BackboneSequence:
        """An empty sequence, which can grow to `context` positions.

        Raises:
            MimoEdgeError: there is not enough memory for the cache, or the model is closed.
        """
        return BackboneSequence(self.opened())

    @property
    def threads(self) -> int:
        """Threads that compute it, at most."""
        return self._placement.threads

    @property
    def finishes_prompts(self) -> bool:
        """Whether the output of a prompt's last position comes with those before it, so that the
        weights need not be read for it alone."""
        return self._looks_inside

    def opened(self) -> BackboneContext:
        """The cache of all sequences; allocated if it was not yet.

        Raises:
            MimoEdgeError: there is not enough memory for it, or the model is closed.
        """
        if self._opened is None:
            with self._opening:  # two threads may begin the first conversations at once
                if self._opened is None:
                    self._opened = BackboneContext(
                        self._model,
                        self.config,
                        self._options,
                        self._placement,
                        self._spare_cores,
                        looks_inside=self._looks_inside,
                    )
        self._opened.check_open()
        return self._opened

    def evaluate(
        self,
        work: Sequence[tuple[BackboneSequence, NDArray[np.float32], int]],
        *,
        logits: bool = True,
        stop: Callable[[], bool] | None = None,
    ) -> list[list[BackboneOutput]]:
        """Append positions to sequences and evaluate them: (sequence, embeddings, outputs).

        Text tokens come as their embeddings too (`TokenEmbeddings`): llama.cpp takes no tokens
        and embeddings in one batch, and a prompt alternates between them every five positions.
        The weights are read once for all positions without an output (up to 256 at a time), and
        once for all positions with one. Where it `finishes_prompts`, they are not read again for
        outputs behind positions without.

        Args:
            work: embeddings are float32 [positions, hidden], at least one position; outputs is
                how many of the last positions need one, from 0 to all. A sequence comes once.
            logits: whether the outputs have logits. The hidden states alone take an eighth less
                time in a large model: the head is not computed.
            stop: asked now and then while positions without an output are evaluated, in the
                calling thread, whether to give up.

        Returns:
            For each, what the backbone says after so many of its last positions, in their order.

        Raises:
            EvaluationStopped: `stop` said so; the sequences may hold some of the positions.
            MimoEdgeError: a sequence would be longer than the context, the cache is full, or
                llama.cpp fails.
        """
        opened = self.opened()
        rows = [np.ascontiguousarray(embeddings, dtype=np.float32) for _, embeddings, _ in work]
        for (sequence, _, _), new in zip(work, rows, strict=True):
            self.check_room(sequence.length + len(new))
        numbers = [sequence.number() for sequence, _, _ in work]
        cuts = [len(new) - outputs for new, (_, _, outputs) in zip(rows, work, strict=True)]
        together = opened.finishes_prompts and any(cuts)
        fed, asked = [], []
        for number, new, cut in zip(numbers, rows, cuts, strict=True):
            if together:
                fed.append(Rows(number, new, len(new) - cut))
            else:
                fed.append(Rows(number, new[:cut]))
                asked.append(Rows(number, new[cut:], len(new) - cut))
        found: dict[int, list[BackboneOutput]] = {number: [] for number in numbers}
        for index, batch in enumerate(_batches(fed, opened.largest_batch)):
            # A GPU cannot be stopped within a batch, so it is asked between two.
            if index and stop is not None and stop():
                raise EvaluationStopped
            _sort_in(found, batch, opened.feed(batch, stop))
        for batch in _batches(asked, opened.largest_batch):
            _sort_in(found, batch, opened.extend(batch, logits=logits))
        return [found[number] for number in numbers]

    def check_room(self, positions: int) -> None:
        """Refuse a sequence that would grow to this many positions and does not fit.

        Raises:
            MimoEdgeError: it is longer than the context.
        """
        if positions > self.context:
            raise DoesNotFitError(
                f"{positions} positions do not fit the context of {self.context}; "
                f"give a larger context (at most {self.config.max_positions}), or less sound and "
                "text."
            )

    def close(self) -> None:
        """Free the weights, and the cache of all sequences before."""
        if self._opened is not None:
            self._opened.stop()
        self._model.close()


def _batches(work: Sequence[Rows], largest: int) -> Iterator[list[Rows]]:
    """The same positions in batches of at most `largest`; a sequence may go on in the next one."""
    batch: list[Rows] = []
    count = 0
    for sequence, embeddings, outputs in work:
        rest = embeddings
        while len(rest):
            part, rest = rest[: largest - count], rest[largest - count :]
            batch.append(Rows(sequence, part, min(len(part), max(0, outputs - len(rest)))))
            count += len(part)
            if count == largest:
                yield batch
                batch, count = [], 0
    if batch:
        yield batch


def _sort_in(
    found: dict[int, list[BackboneOutput]], batch: Sequence[Rows], outputs: Sequence[BackboneOutput]
) -> None:
    """Give every sequence of a batch its outputs."""
    rest = iter(outputs)
    for rows in batch:
        found[rows.sequence] += itertools.islice(rest, rows.outputs)
