"""The recordings that a command is given: all are looked at before the work on the first begins."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterable
from pathlib import Path

from ..audio import check_recording
from ..audio.source import printable
from ..errors import BadInputError, MimoEdgeError
from .console import one_line

__all__ = [
    "STANDARD_INPUT",
    "check_apart",
    "check_recordings",
    "label_of",
    "recordings_in",
    "unreadable",
]

STANDARD_INPUT = "-"
"""How the command line names it."""
_ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm", ".aiff", ".aif", ".caf")
"""Files that are taken for recordings in a folder; one that is named itself may be called anything.
"""


def check_recordings(paths: Iterable[str | None]) -> None:
    """Refuse recordings that cannot be read, before a model is loaded for them.

    None stands for a recording that was not given. Standard input and FIFOs cannot be looked
    at without taking from them; what is wrong with those is found when they are read.

    Raises:
        MimoEdgeError: what is wrong with the first one, and the names of all others.
    """
    faults = unreadable(path for path in paths if path is not None)
    if not faults:
        return
    sentence, *others = faults.values()
    if others:
        names = ", ".join(map(label_of, list(faults)[1:]))
        sentence = f"{sentence.rstrip('.')} (the same goes for {names})."
    raise BadInputError(sentence)


def check_apart(inputs: Iterable[str | Path | None], outputs: Iterable[Path | None]) -> None:
    """Refuse to write over what a command reads: it would be lost, or read when it is another.

    None stands for a file that was not given.

    Raises:
        MimoEdgeError: an output is one of the inputs, under this name or another one.
    """
    there = {_identity(path): path for path in outputs if path is not None and path.is_file()}
    for name in inputs if there else ():
        if name is None or name == STANDARD_INPUT:
            continue
        with contextlib.suppress(OSError, ValueError):  # which reading it will explain
            if (path := there.get(_identity(name))) is not None:
                raise BadInputError(
                    f"{path} is an input as well and would be written over; give the output "
                    "another place."
                )


def _identity(path: str | Path) -> tuple[int, int]:
    """What two names of one file have in common; of many files, comparing pairs takes long."""
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def recordings_in(paths: Iterable[str]) -> list[str]:
    """The recordings of these names, each folder replaced by the recordings anywhere in it.

    Raises:
        MimoEdgeError: a folder holds none.
    """
    found: list[str] = []
    for path in paths:
        folder = Path(path)
        if not folder.is_dir():
            found.append(path)
            continue
        inside = sorted(str(file) for file in folder.rglob("*") if file.suffix.lower() in _ENDINGS)
        if not inside:
            raise BadInputError(
                f"{path} holds no recordings ({', '.join(_ENDINGS)}); name another folder."
            )
        found += inside
    return found


def unreadable(paths: Iterable[str]) -> dict[str, str]:
    """Name of each recording that cannot be read → the sentence that says why.

    Raises:
        MimoEdgeError: standard input is given more than once.
    """
    paths = list(paths)
    if paths.count(STANDARD_INPUT) > 1:
        raise BadInputError(
            f"standard input ({STANDARD_INPUT}) is given {paths.count(STANDARD_INPUT)} times, "
            "but can be read only once; save it to a file and name that."
        )
    checked = {path: _fault(path) for path in paths if path != STANDARD_INPUT}
    return {path: fault for path, fault in checked.items() if fault is not None}


def label_of(path: str) -> str:
    """The name of a recording in front of its result, where there are several; one line."""
    return "(standard input)" if path == STANDARD_INPUT else one_line(printable(path))


def _fault(path: str) -> str | None:
    with contextlib.suppress(OSError, ValueError):  # which reading it will explain
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return None
    try:
        check_recording(path)
    except MimoEdgeError as error:
        return str(error)
    return None
