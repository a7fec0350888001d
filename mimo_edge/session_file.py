"""A conversation as one file: NumPy's .npz, nothing in it is pickled."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import atomic_output
from .config import Manifest
from .errors import MimoEdgeError
from .patches import InterleavedPiece, Positions
from .prompts import Reply, Turn

__all__ = ["SavedSession"]

_FORMAT = "mimo_edge session 1"


@dataclass(frozen=True, kw_only=True)
class SavedSession:
    """All that a session has to remember."""

    reply: Reply
    system: str | None
    voice: NDArray[np.int64] | None
    """[patches, group, channels]."""
    turns: list[Turn]
    cached: Positions
    """What the KV cache holds."""
    state: bytes | None
    """The cache itself, as llama.cpp writes it; None if it is empty."""

    def write(self, path: Path, manifest: Manifest) -> None:
        """Write it down; the file appears whole or not at all.

        Raises:
            MimoEdgeError: it cannot be written.
        """
        arrays: dict[str, Any] = {}
        if self.voice is not None:
            arrays["voice"] = self.voice
        for index, turn in enumerate(self.turns):
            _store(arrays, f"turn{index}.request", turn.request)
            _store(arrays, f"turn{index}.answer", turn.answer)
        _store(arrays, "cache", self.cached)
        if self.state is not None:
            arrays["cache.state"] = np.frombuffer(self.state, dtype=np.uint8)
        head = {
            "format": _FORMAT,
            "bundle": manifest.fingerprint(),
            "model": manifest.name,
            "reply": self.reply,
            "system": self.system,
            "turns": len(self.turns),
        }
        arrays["head"] = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
        with atomic_output(path) as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path, manifest: Manifest) -> SavedSession:
        """Read what `write` wrote.

        Raises:
            MimoEdgeError: the file is something else, or of another bundle.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            head = json.loads(arrays["head"].tobytes())
            if head["format"] != _FORMAT:
                raise ValueError(f"its format is {head['format']!r}")
            bundle, model = head["bundle"], head["model"]
            saved = cls(
                reply=head["reply"],
                system=head["system"],
                voice=arrays.get("voice"),
                turns=[_turn(arrays, index) for index in range(head["turns"])],
                cached=_fetch(arrays, "cache"),
                state=arrays["cache.state"].tobytes() if "cache.state" in arrays else None,
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise MimoEdgeError(
                f"{path} is not a saved session ({error}); give a file that --save-session wrote."
            ) from error
        if bundle != manifest.fingerprint():
            raise MimoEdgeError(
                f"{path} was saved with another bundle ({model}); load it with that one."
            )
        return saved


def _turn(arrays: dict[str, Any], index: int) -> Turn:
    return Turn(
        request=_fetch(arrays, f"turn{index}.request"),
        answer=_fetch(arrays, f"turn{index}.answer"),
    )


def _store(arrays: dict[str, Any], name: str, value: object) -> None:
    """A part of a turn as arrays whose names tell its type."""
    if isinstance(value, str):
        arrays[f"{name}.text"] = np.frombuffer(value.encode(), dtype=np.uint8)
    elif isinstance(value, Positions):
        arrays[f"{name}.ids"], arrays[f"{name}.codes"] = value.text_ids, value.codes
    elif isinstance(value, InterleavedPiece):
        arrays[f"{name}.text"] = np.frombuffer(value.text.encode(), dtype=np.uint8)
        arrays[f"{name}.patches"] = value.patches
    else:
        arrays[f"{name}.patches"] = value


def _fetch(arrays: dict[str, Any], name: str) -> Any:
    """The inverse of `_store`."""
    text, patches = arrays.get(f"{name}.text"), arrays.get(f"{name}.patches")
    if text is not None:
        string = text.tobytes().decode()
        return string if patches is None else InterleavedPiece(string, patches)
    if patches is not None:
        return patches
    return Positions(arrays[f"{name}.ids"], arrays[f"{name}.codes"])
