"""Which bundle is run when nobody names one."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import BadInputError
from ..installation import DEMO_MODEL
from .manifest import MANIFEST_FILE

__all__ = ["MODEL_VARIABLE", "demo_bundle", "find_bundle"]

MODEL_VARIABLE = "MIMO_EDGE_MODEL"
"""Environment variable that names the folder of a bundle."""


def find_bundle(bundle: str | Path | None = None) -> Path:
    """The bundle to run: the one given, else the environment's, else the demo model.

    Raises:
        MimoEdgeError: none was given, and the environment's is no folder or there is no demo
            model.
    """
    if bundle is not None:
        return Path(bundle)
    if named := os.environ.get(MODEL_VARIABLE):
        if not Path(named).is_dir():
            raise BadInputError(
                f"{MODEL_VARIABLE} names {named}, which is not a folder; name the folder of a "
                "bundle in it, or unset it for the demo model."
            )
        return Path(named)
    if (demo := demo_bundle()) is not None:
        return demo
    raise BadInputError(
        "there is no model to run: this installation has no demo model; give the folder of a "
        f"bundle (or name it in {MODEL_VARIABLE}); `mimo-edge convert` makes one."
    )


def demo_bundle() -> Path | None:
    """The folder of the demo model; None if this installation has none."""
    return DEMO_MODEL if (DEMO_MODEL / MANIFEST_FILE).is_file() else None
