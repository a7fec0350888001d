"""What a single value of a manifest may be, as types that pydantic checks.

The bounds are wide: they keep out what has no meaning and what no machine could run.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

__all__ = [
    "Bytes",
    "CodeId",
    "CodebookSize",
    "Codebooks",
    "Delay",
    "Frequency",
    "Hash",
    "Heads",
    "Layers",
    "Mels",
    "Name",
    "Positions",
    "Rate",
    "Reach",
    "Samples",
    "Steps",
    "Stride",
    "TokenId",
    "Vocabulary",
    "Width",
]


def _printable(text: str) -> str:
    """Refuse what a terminal would obey, and lone surrogates, which are no text."""
    if not text.isprintable():
        raise ValueError("should hold only characters that can be printed")
    return text


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(ge=0, le=1 << 44)]

Rate = Annotated[int, Field(ge=1000, le=768_000)]
"""Sample rate in Hz."""
Frequency = Annotated[float, Field(ge=0, le=384_000, allow_inf_nan=False)]
"""Edge of a filter in Hz."""
Samples = Annotated[int, Field(ge=1, le=16_384)]
"""Samples of a window, or from one window to the next."""
Mels = Annotated[int, Field(ge=1, le=512)]
Stride = Annotated[int, Field(ge=1, le=1024)]
Reach = Annotated[int, Field(ge=-1, le=1 << 16)]
"""Mel frames that a frame's sound depends on to one side; -1 stands for all."""

Width = Annotated[int, Field(ge=1, le=1 << 16)]
Layers = Annotated[int, Field(ge=1, le=512)]
"""llama.cpp is built for 512 (LLAMA_MAX_LAYERS)."""
Heads = Annotated[int, Field(ge=1, le=1024)]
Positions = Annotated[int, Field(ge=16, le=1 << 24)]
Vocabulary = Annotated[int, Field(ge=1, le=1 << 22)]
TokenId = Annotated[int, Field(ge=0, lt=1 << 22)]

Codebooks = Annotated[int, Field(ge=1, le=256)]
CodebookSize = Annotated[int, Field(ge=1, le=32_767)]
"""Files of codes hold them as int16."""
CodeId = Annotated[int, Field(ge=0, le=32_766)]
Steps = Annotated[int, Field(ge=1, le=256)]
Delay = Annotated[int, Field(ge=0, le=256)]
