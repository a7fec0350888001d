"""The speech that a conversion is calibrated with: a folder of the user's, or what ships.

What ships is made by flite (voices rms, slt, awb, kal16; see `speech/LICENSE`), with the words that
it was given. Nobody says what is spoken in a folder of the user's: the model writes that down.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mimo_edge.errors import BadInputError

__all__ = ["Clip", "calibration_clips", "check_folder"]

SHIPPED = Path(__file__).parent / "speech"
_TEXTS = "texts.json"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A recording."""

    path: Path
    text: str | None
    """What is said in it, if that is known."""


def calibration_clips(folder: Path | None) -> list[Clip]:
    """The recordings of a folder and of those in it, in the order of their names; None: what ships.

    Whether a file is a recording says its content, so that all files are given, but hidden ones.

    Raises:
        MimoEdgeError: the folder is none, or holds no file.
    """
    if folder is None:
        texts = json.loads((SHIPPED / _TEXTS).read_text(encoding="utf-8"))
        return [Clip(path=SHIPPED / name, text=text) for name, text in texts.items()]
    if not folder.is_dir():
        raise BadInputError(f"{folder} is not a folder; give one with recordings of speech.")
    clips = [Clip(path=path, text=None) for path in _files(folder)]
    if not clips:
        raise no_recordings(folder)
    return clips


def check_folder(folder: Path | None) -> None:
    """Refuse, before the work, a folder that cannot be calibrated with.

    Raises:
        MimoEdgeError: see `calibration_clips`.
    """
    calibration_clips(folder)


def no_recordings(folder: Path | None) -> BadInputError:
    """The error for a folder in which nothing is a recording."""
    return BadInputError(
        f"{folder or SHIPPED} holds no recording that can be read; give a folder with a few "
        "minutes of speech (wav, flac, mp3, ogg, opus)."
    )


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path
