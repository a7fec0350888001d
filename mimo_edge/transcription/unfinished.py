"""A transcription that was begun, in a file beside the one that it becomes.

A line of JSON says of what it is: the recording by a hash of its samples, the model by that of its
files, and how it was asked. Each part adds a line when it is done, so that a program that is ended,
however that happens, loses only the parts that it was at. The file only grows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..atomic import output_errors
from ..audio import SurveyedSound
from ..bundle.manifest import Manifest
from ..bundle.untrusted_json import parse_json, validate
from ..errors import BadInputError
from ..json_lines import JsonLines
from ..one_writer import lock_beside, only_writer
from ..tasks import Transcribe
from .segments import Segment

__all__ = ["Unfinished"]

_VERSION = 1
_REMEDY = "make room, or give another name"
_WHAT = {
    "version": "another version of this program",
    "recording": "another recording",
    "bundle": "another bundle",
    "options": "the same recording with other options",
}
"""Key of the first line → what the file is of, if its value is another one."""


class Unfinished:
    """The parts that are done, and the file that they are in."""

    def __init__(self, path: Path, lines: JsonLines, known: Mapping[int, Segment]) -> None:
        self.path = path
        self.known = dict(known)
        """Those that were done when the file was opened, by their numbers."""
        self.holds_parts = bool(known)
        """Whether the file keeps any part."""
        self._lines = lines

    @staticmethod
    def path_for(output: Path) -> Path:
        """The file for a transcription that becomes the file `output`."""
        return output.with_name(f"{output.name}.partial")

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        output: Path,
        manifest: Manifest,
        task: Transcribe,
        recording: SurveyedSound,
        *,
        restart: bool = False,
    ) -> Iterator[Unfinished]:
        """Go on where a transcription of the same recording stopped, or begin one.

        After the block the file is closed, and still there if it holds parts: `remove` it when the
        output is.

        Raises:
            MimoEdgeError: it is of something else and may not be begun anew with `restart`, another
                program is at it, or the file cannot be written.
        """
        path, header = cls.path_for(output), _header(manifest, task, recording)
        refusal = (
            f"{output} is being written by another transcription; wait until it has ended, or give "
            "another name."
        )
        with contextlib.ExitStack() as stack:
            with output_errors(path, _REMEDY):
                stack.enter_context(only_writer(lock_beside(output), refusal))
                known = None if restart else _read(path, header)
                lines = JsonLines(path, "replace" if known is None else "append")
            unfinished = cls(path, lines, known or {})
            stack.callback(unfinished._remove_if_empty)
            stack.enter_context(lines)
            if known is None:
                with output_errors(path, _REMEDY):
                    lines.write(header)
            yield unfinished

    def add(self, segment: Segment) -> None:
        """Put a part behind that is done.

        Raises:
            OutputError: the disk is full; the parts before are still there.
        """
        with output_errors(self.path, f"{_REMEDY}; what was done before is kept there"):
            self._lines.write(asdict(segment))
        self.holds_parts = True

    def remove(self) -> None:
        """Delete the file, which must be closed.

        Raises:
            OutputError: the system refuses.
        """
        with output_errors(self.path, "delete it"):
            self.path.unlink(missing_ok=True)

    def _remove_if_empty(self) -> None:
        if not self.holds_parts:
            with contextlib.suppress(OSError):  # the next run takes it for none
                self.path.unlink(missing_ok=True)


def _header(manifest: Manifest, task: Transcribe, recording: SurveyedSound) -> dict[str, Any]:
    overrides = {} if task.overrides is None else asdict(task.overrides)
    return {
        "version": _VERSION,
        "recording": recording.digest,
        "bundle": manifest.fingerprint(),
        "options": {
            "instruction": task.instruction,
            "language": task.language,
            **{name: value for name, value in overrides.items() if value is not None},
        },
    }


def _read(path: Path, header: Mapping[str, Any]) -> dict[int, Segment] | None:
    """The parts in a file that begins with this header; None: there is none, or no part in it.

    Half a line at its end, as a power failure leaves it, is cut off.
    """
    if not path.exists():
        return None
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if not whole:
        return None
    try:
        first, *lines = [parse_json(line) for line in whole.splitlines()]
        if not isinstance(first, dict) or first.keys() != header.keys():
            raise ValueError("it begins otherwise")
        segments = [validate(Segment, line) for line in lines]
    except ValueError as error:
        raise BadInputError(
            f"{path} is no unfinished transcription that can be read ({error}); delete it, or give "
            "another name.",
            about="restart",
        ) from error
    if not segments:  # whatever it was to be of, nothing is lost
        return None
    for key, value in header.items():
        if first[key] != value:
            raise BadInputError(
                f"{path} is an unfinished transcription of {_WHAT[key]}; finish that one, delete "
                "it, or give another name.",
                about="restart",
            )
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return {segment.number: segment for segment in segments}
