"""Recordings come as names of every kind, open files, bytes, pipes; other things are refused."""

from __future__ import annotations

import io
import os
import threading
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pytest
import soundfile

from mimo_edge.audio import read_audio
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from tests.tools.command_line import QUICK, Command

RATE = 24_000


def test_standard_input(command: Command, clips: dict[str, Path]) -> None:
    from_file = command("transcribe", clips["short"], *QUICK)
    piped = command("transcribe", "-", *QUICK, stdin=clips["short"].read_bytes())
    assert piped.status == from_file.status == 0
    assert piped.out == from_file.out
    assert command("transcribe", "-", *QUICK).sentence == (
        "mimo-edge: standard input is empty (0 bytes); record it again."
    )
    sentence = command("transcribe", "-", *QUICK, stdin=b"no sound").sentence
    assert "standard input is not a sound file" in sentence


def test_open_files_and_bytes(model: MimoAudio, clips: dict[str, Path], tmp_path: Path) -> None:
    config = model.manifest.audio
    expected = read_audio(clips["short"], config)
    data = clips["short"].read_bytes()
    content: Any
    for content in (data, bytearray(data), io.BytesIO(data)):
        np.testing.assert_array_equal(read_audio(content, config), expected)
    with clips["short"].open("rb") as file:
        np.testing.assert_array_equal(read_audio(file, config), expected)
        assert not file.closed
    inside = io.BytesIO(b"something else" + data)
    inside.seek(14)
    np.testing.assert_array_equal(read_audio(inside, config), expected)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.wav", data)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("a.wav") as member:
        np.testing.assert_array_equal(read_audio(cast(BinaryIO, member), config), expected)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (None, "None .NoneType. is no recording"),
        (3, "3 .int. is no recording"),
        (True, "is no recording"),
        (0.5, "is no recording"),
        ({"a": 1}, "is no recording"),
        ([0.1, 0.2], "is no recording"),
        (b"a.wav", "the audio in memory is not a sound file"),
        (b"", "is empty"),
        ("", "is not a file"),
        ("a\0b.wav", "cannot be a file's name"),
        ("\ud800.wav", "cannot be a file's name"),
        ("n" * 300, r"nnn…nnn\S* cannot be read .*; give another"),
        (io.StringIO("text"), "is open as text"),
        (io.BytesIO(b"no sound"), "the stream is not a sound file"),
    ],
    ids=lambda value: repr(value)[:12] if not isinstance(value, str) else None,
)
def test_what_is_no_recording(model: MimoAudio, wrong: object, complaint: str) -> None:
    with pytest.raises(MimoEdgeError, match=complaint) as raised:
        read_audio(wrong, model.manifest.audio)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 250


def test_names_of_every_kind(command: Command, clips: dict[str, Path], tmp_path: Path) -> None:
    """Not UTF-8, with an ending that means something else, with words for a terminal."""
    expected = command("transcribe", clips["short"], *QUICK)
    names = [b"caf\xe9.wav", b"x.raw", b"[bold].mp3", b"a b\t.txt", b"no-ending"]
    for name in names:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.write_bytes(clips["short"].read_bytes())
        found = command("transcribe", path, *QUICK)
        assert (found.status, found.out) == (0, expected.out), (name, found.err)
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.flac"))
    path.write_bytes(b"no sound")
    assert r"caf\xe9.flac is not a sound file" in command("transcribe", path, *QUICK).sentence


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo(model: MimoAudio, clips: dict[str, Path], tmp_path: Path) -> None:
    """As of process substitution: cannot be rewound, and its name may be asked only once."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(clips["short"].read_bytes(),))
    writer.start()
    found = read_audio(fifo, model.manifest.audio)
    writer.join()
    np.testing.assert_array_equal(found, read_audio(clips["short"], model.manifest.audio))


class Pipe(io.RawIOBase):
    """Cannot be rewound; counts what is taken from it."""

    def __init__(self, data: bytes, times: int = 1) -> None:
        self.left, self.data, self.taken = times, data, 0

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        self.left -= 1
        self.taken += len(self.data)
        return self.data if self.left >= 0 else b""


def test_a_pipe_of_something_else_is_not_read_to_its_end(model: MimoAudio) -> None:
    endless = Pipe(b"yes\n" * 65_536, times=1 << 40)
    with pytest.raises(MimoEdgeError, match="the stream is not a sound file"):
        read_audio(endless, model.manifest.audio)  # type: ignore[arg-type]
    assert endless.taken <= 2 << 20


def test_long_recordings_through_pipes(model: MimoAudio, tmp_path: Path) -> None:
    """Longer than what is looked at before the rest is read."""
    samples = np.random.default_rng(0).normal(0, 0.1, 45 * RATE)
    for kind in ("WAV", "FLAC", "AIFF", "CAF"):
        file = io.BytesIO()
        soundfile.write(file, samples, RATE, format=kind)
        found = read_audio(Pipe(file.getvalue()), model.manifest.audio)  # type: ignore[arg-type]
        assert len(found) == len(samples)


class Failing(io.BytesIO):
    """A disk that breaks, or a user who presses Ctrl-C, in the middle."""

    def __init__(self, data: bytes, failure: BaseException) -> None:
        super().__init__(data)
        self.failure, self.reads = failure, 0

    def read(self, count: int | None = -1) -> bytes:
        self.reads += 1
        if self.tell() > 60_000:
            raise self.failure
        return super().read(count)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG", "CAF"])
def test_what_goes_wrong_while_reading_is_not_taken_for_the_end(
    model: MimoAudio, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Decoders call back from C, where an exception would only be printed."""
    samples = np.random.default_rng(0).normal(0, 0.1, 20 * RATE)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=kind)
    with pytest.raises(MimoEdgeError, match=r"the stream cannot be read \(.*broken"):
        read_audio(Failing(file.getvalue(), OSError(5, "broken")), model.manifest.audio)
    with pytest.raises(KeyboardInterrupt):
        read_audio(Failing(file.getvalue(), KeyboardInterrupt()), model.manifest.audio)
    assert "Traceback" not in capfd.readouterr().err


def test_a_closed_file(model: MimoAudio, clips: dict[str, Path]) -> None:
    with clips["short"].open("rb") as file:
        pass
    with pytest.raises(MimoEdgeError, match="is closed; open it again"):
        read_audio(file, model.manifest.audio)
