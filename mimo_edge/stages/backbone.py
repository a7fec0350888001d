"""The backbone: a Qwen2 language model in llama.cpp over text tokens and patch embeddings.

A `Backbone` is the weights and the text vocabulary; a `BackboneSequence` is one KV cache, that is
one conversation. Only these two modules, `gpu` and `llama_log` import llama_cpp.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import BackboneConfig
from ..errors import MimoEdgeError
from ..system.memory import is_memory_fault, no_memory
from ..system.spare_cores import SpareCores
from .backbone_sequence import BackboneSequence
from .gpu import gpu_layers
from .llama_log import first_complaint, redirect_log
from .native import Native
from .placement import CoreShares
from .runtime_options import RuntimeOptions
from .token_embeddings import TokenEmbeddings

__all__ = ["Backbone"]


class Backbone:
    """The weights, mapped from the GGUF, and the text tokenizer inside it."""

    def __init__(
        self,
        model: Native[int],
        token_embeddings: TokenEmbeddings,
        config: BackboneConfig,
        options: RuntimeOptions,
        shares: CoreShares,
        spare_cores: SpareCores,
    ) -> None:
        self._model = model
        self._token_embeddings = token_embeddings
        self.config = config
        self._options = options
        self._shares = shares
        self._spare_cores = spare_cores
        self.context = options.context_for(config)
        """Positions that a sequence holds."""

    @classmethod
    def load(
        cls,
        path: Path,
        config: BackboneConfig,
        options: RuntimeOptions,
        shares: CoreShares,
        spare_cores: SpareCores,
    ) -> Backbone:
        """Map the GGUF into memory.

        Raises:
            MimoEdgeError: llama.cpp refuses the file, or it does not fit the manifest.
        """
        redirect_log()
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers(options)
        params.use_extra_bufts = options.repack
        model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            if is_memory_fault(first_complaint()):
                raise no_memory(f"{path} does not load")
            raise MimoEdgeError(
                f"{path} does not load ({first_complaint()}); "
                "copy the bundle again or convert again."
            )
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
            raise MimoEdgeError(
                f"{path} has vocabulary, width and layers {found} instead of {expected}: "
                "it is of another bundle."
            )
        return cls(held, TokenEmbeddings(path, config), config, options, shares, spare_cores)

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

    def embed(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Input embeddings of text ids: int32 [n] → float32 [n, hidden]."""
        return self._token_embeddings.rows(tokens)

    def new_sequence(self) -> BackboneSequence:
        """An empty KV cache of `context` positions.

        Raises:
            MimoEdgeError: there is not enough memory for it, or the model is closed.
        """
        return BackboneSequence(
            self._model, self.config, self.context, self._options, self._shares, self._spare_cores
        )

    def close(self) -> None:
        """Unmap the weights, and close all sequences before."""
        self._model.close()
