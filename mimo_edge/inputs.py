"""The recordings that a command is given: all are looked at before the work on the first begins."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import soundfile

from .errors import MimoEdgeError

__all__ = ["STANDARD_INPUT", "check_recordings", "label_of", "unreadable"]

STANDARD_INPUT = "-"
"""How the command line names it."""


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
        names = ", ".join(list(faults)[1:])
        sentence = f"{sentence.rstrip('.')} (the same goes for {names})."
    raise MimoEdgeError(sentence)


def unreadable(paths: Iterable[str]) -> dict[str, str]:
    """Name of each recording that cannot be read → the sentence that says why.

    Raises:
        MimoEdgeError: standard input is given more than once.
    """
    paths = list(paths)
    if paths.count(STANDARD_INPUT) > 1:
        raise MimoEdgeError(
            f"standard input ({STANDARD_INPUT}) is given {paths.count(STANDARD_INPUT)} times, "
            "but can be read only once; save it to a file and name that."
        )
    checked = {path: _fault(path) for path in paths if path != STANDARD_INPUT}
    return {path: fault for path, fault in checked.items() if fault is not None}


def label_of(path: str) -> str:
    """The name of a recording in front of its result, where there are several."""
    return "(standard input)" if path == STANDARD_INPUT else path


def _fault(path: str) -> str | None:
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            return f"{path} is not a file but a folder; give the recordings in it."
        if not stat.S_ISREG(mode):
            return None
        with _Nameless(io.FileIO(os.fsencode(path))) as file:
            if not file.peek(1):
                return f"{path} is empty (0 bytes); record it again."
            soundfile.info(file)
    except FileNotFoundError:
        return f"{path} is not a file; give a recording to read."
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"{path} cannot be opened ({reason}); give a recording to read."
    except soundfile.SoundFileError as error:
        reason = str(error).rsplit(": ", 1)[-1].strip().rstrip(".")
        return (
            f"{path} is not a sound file that libsndfile reads ({reason}); "
            "convert it to WAV, FLAC, MP3 or OGG."
        )
    return None


class _Nameless(io.BufferedReader):
    """An open file that libsndfile judges by its header, not by the ending of its name."""

    name = ""
