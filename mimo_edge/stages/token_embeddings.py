"""Rows of the token embedding table, read straight from the GGUF.

llama.cpp looks tokens up itself, but not in a batch that also holds patch embeddings; so
prompts go in as embeddings altogether, and the few rows they need come from here. The file
is mapped, not read: it shares its pages with llama.cpp's own mapping of the weights.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import BackboneConfig
from ..bundle.number_types import row_bytes
from ..errors import BadBundleError

__all__ = ["TokenEmbeddings"]


class TokenEmbeddings:
    """The table [vocabulary, hidden] in the GGUF's number type."""

    def __init__(self, path: Path, config: BackboneConfig) -> None:
        """Map the table of a GGUF that `check_backbone` has looked at.

        Raises:
            MimoEdgeError: the file is not there any more, or shorter.
        """
        self._type = gguf.GGMLQuantizationType[config.embedding_type]
        try:
            self._table = np.memmap(
                path,
                dtype=np.uint8,
                mode="r",
                offset=config.embedding_offset,
                shape=(config.vocab_size, row_bytes(config)),
            )
        except (OSError, ValueError) as error:  # it became shorter after it was checked
            raise BadBundleError(
                f"{path} does not load ({error}); copy the bundle again."
            ) from error

    def rows(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Ids int32 [n] → float32 [n, hidden]."""
        raw = np.ascontiguousarray(self._table[tokens])
        return np.asarray(gguf.dequantize(raw, self._type), dtype=np.float32)
