"""Rows of the GGUF's two tables with one row per text id, read straight from the file.

llama.cpp looks token embeddings up itself, but not in a batch that also holds patch embeddings; so
prompts go in as embeddings altogether, and the few rows they need come from here. So do the rows
of the head of those text ids that can come next, where these are few. The file is mapped, not
read: it shares its pages with llama.cpp's own mapping of the weights.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from ..bundle.gguf_header import GgufTensor
from ..bundle.manifest import BackboneConfig
from ..errors import BadBundleError

__all__ = ["TokenEmbeddings", "TokenHead"]


class _Table:
    """A matrix [rows, width] in one of GGUF's number types."""

    def __init__(self, path: Path, kind: str, offset: int, shape: tuple[int, ...]) -> None:
        """Map what lies at byte `offset` of a GGUF that `check_backbone` has looked at.

        Raises:
            MimoEdgeError: the file is not there any more, or shorter.
        """
        self._type = gguf.GGMLQuantizationType[kind]
        block, size = gguf.GGML_QUANT_SIZES[self._type]
        rows, width = shape
        try:
            self._table = np.memmap(
                path, dtype=np.uint8, mode="r", offset=offset, shape=(rows, width // block * size)
            )
        except (OSError, ValueError) as error:  # it became shorter after it was checked
            raise BadBundleError(
                f"{path} does not load ({error}); copy the bundle again."
            ) from error

    def rows(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Numbers of rows, int32 [n] → float32 [n, width]."""
        raw = np.ascontiguousarray(self._table[tokens])
        return np.asarray(gguf.dequantize(raw, self._type), dtype=np.float32)


class TokenEmbeddings(_Table):
    """The backbone's input embeddings of text ids: [vocabulary, hidden]."""

    def __init__(self, path: Path, config: BackboneConfig) -> None:
        """Map the table that the manifest names.

        Raises:
            MimoEdgeError: the file is not there any more, or shorter.
        """
        shape = (config.vocab_size, config.hidden_size)
        super().__init__(path, config.embedding_type, config.embedding_offset, shape)


class TokenHead(_Table):
    """What turns a hidden state into logits, for a few text ids at a time."""

    def __init__(self, path: Path, tensor: GgufTensor) -> None:
        """Map the head [vocabulary, hidden].

        Raises:
            MimoEdgeError: the file is not there any more, or shorter.
        """
        super().__init__(path, tensor.kind, tensor.offset, tensor.shape)
        self._known: dict[tuple[int, ...], NDArray[np.float32]] = {}
        """Rows by their ids: the same few are asked for at every step."""

    def logits(self, hidden: NDArray[np.float32], ids: tuple[int, ...]) -> NDArray[np.float32]:
        """Hidden state [hidden] → logits of these text ids, float32 [ids].

        llama.cpp rounds the hidden state before it multiplies with a quantized head. Here it is
        not rounded, so these logits are a little more exact.
        """
        rows = self._known.get(ids)
        if rows is None:
            rows = self._known.setdefault(ids, self.rows(np.array(ids, dtype=np.int32)))
        return np.asarray(rows @ hidden, dtype=np.float32)
