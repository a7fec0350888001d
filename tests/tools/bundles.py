"""Make bundles for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.bundle import convert
from convert.checkpoints.source import open_source
from convert.recipes import get_recipe

__all__ = ["convert_checkpoint"]


def convert_checkpoint(
    model: Path, tokenizer: Path, out: Path, recipe: str = "reference", **options: Any
) -> Path:
    """Convert two checkpoint folders; `options` as of `convert`."""
    source = open_source(model, tokenizer)
    convert(source, out, get_recipe(recipe), name="test", threads=1, **options)
    return out
