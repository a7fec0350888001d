"""Make bundles for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.bundle import convert
from convert.checkpoints.source import open_source
from convert.recipes import get_recipe, with_patch_stacks

__all__ = ["convert_checkpoint"]


def convert_checkpoint(
    model: Path,
    tokenizer: Path,
    out: Path,
    recipe: str = "reference",
    *,
    patch_gguf: bool = False,
    **options: Any,
) -> Path:
    """Convert two checkpoint folders; with `patch_gguf` its patch stages are GGUF files, too.

    `options` as of `convert`.
    """
    source = open_source(model, tokenizer)
    chosen = with_patch_stacks(get_recipe(recipe)) if patch_gguf else get_recipe(recipe)
    convert(source, out, chosen, **{"name": "test", "threads": 1, **options})
    return out
