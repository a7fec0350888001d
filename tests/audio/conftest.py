"""The runtime's fixtures: a loaded model, the command line, recordings."""

from tests.runtime.conftest import clips, command, model

__all__ = ["clips", "command", "model"]
