"""llama.cpp through its C functions, set for exactness: float32, no flash attention."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import llama_cpp
import numpy as np

_SILENT = llama_cpp.llama_log_callback(lambda level, text, data: None)


class Llama:
    """One model and one context of it on the CPU."""

    def __init__(self, path: Path, *, vocab_only: bool = False) -> None:
        llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p())
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        params.vocab_only = vocab_only
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self.model:
            raise ValueError(f"llama.cpp does not load {path}")
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.n_embd = llama_cpp.llama_model_n_embd(self.model)

    def close(self) -> None:
        llama_cpp.llama_model_free(self.model)

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(self.vocab, data, len(data), ids, len(ids), False, special)
        assert count >= 0
        return list(ids[:count])

    def evaluate(self, embeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hidden state and logits, float32, after the last of `embeds` [positions, n_embd]."""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = 1024
        params.n_threads = params.n_threads_batch = 1
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
        params.embeddings = True
        context = llama_cpp.llama_init_from_model(self.model, params)
        assert context
        count = len(embeds)
        batch = llama_cpp.llama_batch_init(count, self.n_embd, 1)
        try:
            batch.n_tokens = count
            ctypes.memmove(
                batch.embd, np.ascontiguousarray(embeds, np.float32).ctypes.data, embeds.nbytes
            )
            for position in range(count):
                batch.pos[position] = position
                batch.n_seq_id[position] = 1
                batch.seq_id[position][0] = 0
                batch.logits[position] = position == count - 1
            assert llama_cpp.llama_decode(context, batch) == 0
            hidden = llama_cpp.llama_get_embeddings_ith(context, -1)
            logits = llama_cpp.llama_get_logits_ith(context, -1)
            return (
                np.ctypeslib.as_array(hidden, (self.n_embd,)).copy(),
                np.ctypeslib.as_array(logits, (self.n_vocab,)).copy(),
            )
        finally:
            llama_cpp.llama_batch_free(batch)
            llama_cpp.llama_free(context)


@contextmanager
def llama(path: Path, *, vocab_only: bool = False) -> Iterator[Llama]:
    opened = Llama(path, vocab_only=vocab_only)
    try:
        yield opened
    finally:
        opened.close()
