"""Where the parts of the program lie: in a checkout beside this package, in a wheel inside it.

A wheel must not install top-level packages called `convert`, `onnx` or `models`, so
`pyproject.toml` moves these folders into the package. Nothing else asks which of the two it is.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["CONTRACTS", "CONVERTER", "DEMO_MODEL", "IMPORT_ROOT"]

_PACKAGE = Path(__file__).parent
_INSTALLED = (_PACKAGE / "contracts").is_dir()

IMPORT_ROOT = _PACKAGE.parent
"""On Python's path, this folder makes `mimo_edge` and the converter importable."""
CONTRACTS = _PACKAGE / "contracts" if _INSTALLED else IMPORT_ROOT / "onnx"
"""Folder of the graphs' contracts, one JSON file each."""
DEMO_MODEL = (_PACKAGE if _INSTALLED else IMPORT_ROOT) / "models" / "demo"
"""Folder of the demo model's bundle, which may be missing."""
CONVERTER = "mimo_edge.convert" if _INSTALLED else "convert"
"""Name of the package that makes bundles. It needs more packages than running them does."""
