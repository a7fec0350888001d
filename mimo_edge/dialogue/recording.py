"""Both sides of a conversation on disk while it runs: two recordings and a transcript.

Whatever ends the program, what was said until then is there: the headers of the WAV files are
rewritten with every piece of sound, and every line of the transcript is written at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import struct
import threading
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..atomic import check_output, made_folder
from ..errors import OutputError
from ..json_lines import JsonLines, json_line, write_all
from ..windows_names import check_name

__all__ = ["TRACKS", "TRANSCRIPT", "Recording", "Side", "check_recording"]

Side = Literal["user", "assistant"]
TRACKS: dict[Side, str] = {"user": "user.wav", "assistant": "assistant.wav"}
TRANSCRIPT = "transcript.jsonl"
_FILES = (*TRACKS.values(), TRANSCRIPT)

_TOLERANCE_S = 0.1
"""Times of blocks jitter; sound that is this close to the end of a track continues it."""
_MEAN_S = 1.0
_DRIFT_S = 0.02
_QUIET = 0.01
"""-40 dB, the peak of a room's noise. On the mean of a second, times do not jitter: where a track
has drifted this far from them, as after a device's first blocks, which come at once, it is mended
in the next pause."""
_LARGEST_WAV = 2**32 - 1
"""Bytes; the header counts them in 32 bits. 24 hours at 24 kHz."""
_HEADER_BYTES = 44
_CLOSING_S = 10.0
_MOST_WAITING = 20_000
"""Pieces that a slow disk may be behind: more than a minute of both sides."""

_log = logging.getLogger(__name__)
_Job = tuple[Side, NDArray[np.float32], "float | None"] | str | None


def check_recording(folder: Path) -> None:
    """Find out whether a recording can be made there, before anything else; changes nothing.

    Raises:
        MimoEdgeError: as `Recording` would.
    """
    check_name(folder)
    _check_new(folder)
    check_output(_first_that_exists(folder) / TRANSCRIPT)


def _first_that_exists(folder: Path) -> Path:
    """The folder or one above it; also one that the system refuses, of which writing says why."""
    for one in (folder, *folder.parents):
        try:
            one.stat()  # `exists` is False from Python 3.14 on where a name is too long
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            pass
        return one
    return folder


class Recording:
    """`user.wav`, `assistant.wav` (mono, 16 bits, both from the same moment) and the transcript.

    `write` and `note` may be called from any thread, also from a sound system's callback: a
    thread of its own writes. When that fails, `problem` says why and the rest is dropped;
    what was written until then stays, and nothing is raised.
    """

    def __init__(self, folder: Path, rate: int = 24000, *, began: float | None = None) -> None:
        """Begin at the time `began` of `time.monotonic()`, by default now.

        Raises:
            MimoEdgeError: the folder cannot be written to or holds a recording.
        """
        self.began = time.monotonic() if began is None else began
        self.problem: str | None = None
        """Why the recording stopped, one sentence; None: all is well."""
        _check_new(folder)
        try:
            with made_folder(folder):
                self._open(folder, rate)
        except OSError as error:
            raise OutputError(
                f"{folder} cannot be recorded to ({error.strerror or error}); check the folder, "
                "its permissions and the free disk, or choose another one."
            ) from error
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mimo_edge recording", daemon=True)
        self._thread.start()

    def _open(self, folder: Path, rate: int) -> None:
        try:
            self._tracks = {side: _Track(folder / TRACKS[side], rate) for side in TRACKS}
            self._transcript = JsonLines(folder / TRANSCRIPT, "new")
        except OSError:
            for name in _FILES:  # all of them are new, and would be in the way of the next try
                with contextlib.suppress(OSError):
                    (folder / name).unlink()
            raise

    def write(self, side: Side, samples: NDArray[np.float32], at: float | None = None) -> None:
        """Add sound, float32 [n]: its first sample belongs at `at` of `time.monotonic()`.

        Silence fills a gap before it, and what would lie before the end of the track is cut
        off. None, or a time within 0.1 s of the end: it follows what was written before, and
        the mean of the difference is corrected in a pause.
        """
        self._add((side, np.array(samples, dtype=np.float32), at))

    def note(self, record: dict[str, Any]) -> None:
        """Add a line to the transcript; by convention `start` and `end` are seconds of `began`."""
        self._add(json_line(record))

    def close(self) -> None:
        """Write what waits, make both recordings equally long, close the files; no error."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join(_CLOSING_S)

    def __enter__(self) -> Recording:
        """Return the recording, which the end of the block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the recording."""
        self.close()

    def _add(self, job: _Job) -> None:
        if self.problem is None:
            self._jobs.put(job)
            if self._jobs.qsize() > _MOST_WAITING:
                self._stop("the disk is too slow")

    def _stop(self, reason: str) -> None:
        if self.problem is None:
            self.problem = f"the recording stopped ({reason}); the conversation goes on without it."
            _log.warning("%s", self.problem)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self.problem is None:
                self._try(job)
        longest = max(track.length for track in self._tracks.values())
        for track in self._tracks.values():
            track.close(longest if self.problem is None else None)
        self._transcript.close()

    def _try(self, job: tuple[Side, NDArray[np.float32], float | None] | str) -> None:
        try:
            if isinstance(job, str):
                self._transcript.write_line(job)
            else:
                side, samples, at = job
                self._tracks[side].write(samples, None if at is None else at - self.began)
        except OSError as error:
            self._stop(error.strerror or str(error))
        except _TooLong:
            self._stop("a WAV file holds 4 GiB, about 24 hours, and is full")


class _TooLong(Exception):
    """The WAV header cannot count any further."""


class _Track:
    """One WAV file that can be read after every write, whatever ends the program.

    It is not written with libsndfile, which hides why the system refuses to write, and keeps
    sound in memory.
    """

    def __init__(self, path: Path, rate: int) -> None:
        self.length = 0
        """Samples."""
        self._rate = rate
        self._gaps = 0.0
        self._counted = 0
        self._behind = 0
        """Samples by which the times said, in the last second, that the track is too short."""
        self._file = path.open("xb", buffering=0)
        self._write_header()

    def write(self, samples: NDArray[np.float32], at: float | None) -> None:
        if at is not None and len(samples):
            gap = self._correction(samples, round(at * self._rate) - self.length)
            samples = samples[max(0, -gap) :]
            self._extend(max(0, gap))
        pcm = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
        self._check(len(pcm))
        self._file.seek(_HEADER_BYTES + 2 * self.length)
        write_all(self._file, pcm.tobytes())
        self.length += len(pcm)
        self._write_header()

    def _correction(self, samples: NDArray[np.float32], gap: int) -> int:
        """Samples of silence to put before the given ones, or if negative to cut off them."""
        if not self.length or abs(gap) > _TOLERANCE_S * self._rate:
            self._gaps, self._counted, self._behind = 0.0, 0, 0
            return gap
        self._gaps += gap * len(samples)
        self._counted += len(samples)
        if self._counted >= _MEAN_S * self._rate:
            mean = self._gaps / self._counted
            self._behind = round(mean) if abs(mean) > _DRIFT_S * self._rate else 0
            self._gaps, self._counted = 0.0, 0
        if not self._behind or np.abs(samples).max() > _QUIET:
            return 0
        correction = max(self._behind, -len(samples))
        self._behind -= correction
        self._gaps, self._counted = 0.0, 0
        return correction

    def close(self, length: int | None) -> None:
        """Fill with silence up to `length` samples, if that is still possible, and close."""
        try:
            if length is not None:
                self._extend(length - self.length)
                self._write_header()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            _log.warning("%s: %s", self._file.name, error)

    def _extend(self, silence: int) -> None:
        """Add silence, as a hole in the file: it takes no room on most file systems."""
        if silence > 0:
            self._check(silence)
            self._file.truncate(_HEADER_BYTES + 2 * (self.length + silence))
            self.length += silence

    def _check(self, more: int) -> None:
        if _HEADER_BYTES + 2 * (self.length + more) > _LARGEST_WAV:
            raise _TooLong

    def _write_header(self) -> None:
        self._file.seek(0)
        write_all(self._file, self._header())

    def _header(self) -> bytes:
        size = 2 * self.length
        riff = struct.pack("<4sI4s", b"RIFF", _HEADER_BYTES - 8 + size, b"WAVE")
        # PCM, one channel, bytes per second, bytes per sample, bits per sample
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, self._rate, 2 * self._rate, 2, 16)
        return riff + form + struct.pack("<4sI", b"data", size)


def _check_new(folder: Path) -> None:
    for name in _FILES:
        if os.path.lexists(folder / name):
            raise OutputError(
                f"{folder} holds a recording already ({name}); choose another folder."
            )
