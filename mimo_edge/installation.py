"""Where the parts of the program lie: in a checkout beside this package, in a wheel inside it.

A wheel must not install top-level packages called `convert`, `onnx` or `models`, so
`pyproject.toml` moves these folders into the package. Nothing else asks which of the two it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["CONTRACTS", "CONVERTER", "DEMO_MODEL", "python_command"]

_PACKAGE = Path(__file__).parent
_INSTALLED = (_PACKAGE / "contracts").is_dir()

_IMPORT_ROOT = _PACKAGE.parent
"""On Python's path, this folder makes `mimo_edge` and the converter importable."""
CONTRACTS = _PACKAGE / "contracts" if _INSTALLED else _IMPORT_ROOT / "onnx"
"""Folder of the graphs' contracts, one JSON file each."""
DEMO_MODEL = (_PACKAGE if _INSTALLED else _IMPORT_ROOT) / "models" / "demo"
"""Folder of the demo model's bundle, which may be missing."""
CONVERTER = "mimo_edge.convert" if _INSTALLED else "convert"
"""Name of the package that makes bundles. It needs more packages than running them does."""

_START = (
    "import sys; sys.path[:] = [sys.argv.pop(1), *filter(None, sys.path)]; "
    "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__')"
)
"""`python -m` would import from the folder that the user is in before all others, and there may be
a gguf.py in it. `-P` forbids it only from Python 3.11 on. The folder itself stays the current one:
names of files on the command line and in the environment begin there."""


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this program, imported from where this process has it."""
    return [sys.executable, "-c", _START, str(_IMPORT_ROOT), module, *arguments]
