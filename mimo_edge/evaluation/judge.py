"""Spoken answers as text: who writes them down."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..audio import write_audio
from ..errors import BadInputError, MimoEdgeError
from ..measure.answers_apart import transcript
from ..model import MimoAudio

__all__ = ["OWN_JUDGE", "Recognizer", "RecognizerError", "command_judge", "own_judge"]

Recognizer = Callable[[NDArray[np.float32], int], str]
"""(samples float32 [n], rate in Hz) → what is said."""

OWN_JUDGE = "the model itself"
_LONGEST_S = 600
_PLACE = "{file}"


class RecognizerError(MimoEdgeError):
    """The program that writes spoken answers down does not work; that ends a run, since no answer
    could be judged."""


def own_judge(model: MimoAudio) -> Recognizer:
    """The model writes down what it said itself.

    It may hear its own voice better, or worse, than people do: figures judged so say less.
    """
    return lambda samples, rate: transcript(model, samples, rate)


def command_judge(command: str) -> Recognizer:
    """A program that prints what is said in the file `{file}`, a WAV file.

    Raises:
        MimoEdgeError: the command has no `{file}`, or cannot be read.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise BadInputError(f"the recognizer's command {command!r}: {error}; mend it.") from error
    if not any(_PLACE in word for word in words):
        raise BadInputError(
            f"the recognizer's command {command!r} has no {_PLACE}, which stands for the recording "
            f"to write down; give one like 'whisper-cli -nt -f {_PLACE}'."
        )

    def recognize(samples: NDArray[np.float32], rate: int) -> str:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "answer.wav"
            write_audio(file, samples, rate)
            return _printed([word.replace(_PLACE, str(file)) for word in words])

    return recognize


def _printed(words: list[str]) -> str:
    """What a program prints.

    Raises:
        MimoEdgeError: it does not start, fails or does not end.
    """
    name = words[0]
    try:
        done = subprocess.run(
            words, capture_output=True, stdin=subprocess.DEVNULL, timeout=_LONGEST_S, check=False
        )
    except OSError as error:
        raise RecognizerError(
            f"the recognizer {name!r} does not start ({error.strerror}); give another command."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise RecognizerError(
            f"the recognizer {name!r} did not end within {_LONGEST_S} s; give another command."
        ) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RecognizerError(
            f"the recognizer {name!r} ended with status {done.returncode}"
            f"{f' ({said[-1]})' if said else ''}; give another command."
        )
    return " ".join(done.stdout.decode("utf-8", "replace").split())
