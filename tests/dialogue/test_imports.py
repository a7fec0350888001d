"""The logic of a conversation stands alone."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import importlib, pkgutil, sys
for name in ("click", "rich", "sounddevice"):
    sys.modules[name] = None
from mimo_edge import dialogue
for module in pkgutil.iter_modules(dialogue.__path__):
    importlib.import_module(f"mimo_edge.dialogue.{module.name}")
print([name for name in sys.modules if name.startswith("mimo_edge.devices")])
"""


def test_a_conversation_needs_neither_sound_system_nor_terminal() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
