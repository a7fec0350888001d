"""`transcribe` with long recordings: files in every format, runs that are stopped and go on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from mimo_edge.bundle.default_bundle import MODEL_VARIABLE
from mimo_edge.commands import transcript_output
from tests.commands.test_bundle_commands import ROOT, run
from tests.commands.test_terminal import on_terminal
from tests.tools.command_line import QUICK, Command
from tests.tools.exact_demo import exact_demo
from tests.tools.full_disk import largest_file
from tests.tools.signals import hear_ctrl_c
from tests.transcription.recordings import Said, word_errors, write_recording

HANGS_S = 120
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT and no SIGKILL")


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own run the demo model as it says the same everywhere."""
    monkeypatch.setenv(MODEL_VARIABLE, str(exact_demo()))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Said]]:
    path = tmp_path_factory.mktemp("recording") / "talk.flac"
    return path, write_recording(path, 20, seed=3)


def test_every_format(recording: tuple[Path, list[Said]], tmp_path: Path) -> None:
    path, said = recording
    texts = [one.text for one in said]
    for name in ("a.txt", "a.srt", "a.vtt", "a.json", "A.SRT"):
        done = run("transcribe", path, "-o", tmp_path / name)
        assert done.returncode == 0 and not done.stdout, done.stderr
        assert f"{len(said)} parts" in done.stderr
    assert (tmp_path / "a.txt").read_text("utf-8") == " ".join(texts) + "\n"
    srt = (tmp_path / "a.srt").read_text("utf-8")
    assert re.findall(r"-->.*\n(.+)\n", srt) == texts and (tmp_path / "A.SRT").read_text() == srt
    vtt = (tmp_path / "a.vtt").read_text("utf-8")
    assert vtt.startswith("WEBVTT\n\n") and re.findall(r"-->.*\n(.+)\n", vtt) == texts
    told = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert told["text"] == " ".join(texts) and told["language"] == "unknown"
    for segment, one in zip(told["segments"], said, strict=True):
        assert segment["text"] == f" {one.text}"
        assert segment["start"] == pytest.approx(one.begin_s, abs=0.8)
        assert segment["end"] == pytest.approx(one.end_s, abs=0.8)
    assert {file.name for file in tmp_path.iterdir()} == {
        "a.txt", "a.srt", "a.vtt", "a.json", "A.SRT",
    }  # fmt: skip
    printed = run("transcribe", path, "--output-format", "srt", "--parallel", 1)
    assert printed.stdout == srt and not printed.stderr


def test_lines_of_json_tell_the_times(command: Command, clips: dict[str, Path]) -> None:
    record = json.loads(command("transcribe", clips["short"], "--json", *QUICK).out)
    assert record["language"] is None and record["output"] is None
    (segment,) = record["segments"]
    assert segment["start"] == 0 and segment["text"] == record["text"] and record["text"]


def test_several_into_a_folder(command: Command, clips: dict[str, Path], tmp_path: Path) -> None:
    names = list(clips.values())[:2]
    out = tmp_path / "out"
    out.mkdir()
    done = command("transcribe", *names, "-o", out, "--output-format", "vtt", *QUICK)
    assert done.status == 0, done.err
    assert {path.name for path in out.iterdir()} == {f"{name.stem}.vtt" for name in names}
    for arguments, said in (
        (("-o", tmp_path / "one.txt"), "one file for 2 recordings"),
        (("--output-format", "srt"), "would run into each other"),
    ):
        assert said in command("transcribe", *names, *arguments, *QUICK).sentence
    copy = tmp_path / names[0].name
    copy.write_bytes(names[0].read_bytes())
    sentence = command("transcribe", names[0], copy, "-o", out, *QUICK).sentence
    assert "several recordings would be written to" in sentence
    sentence = command("transcribe", names[0], "--json", "--output-format", "srt", *QUICK).sentence
    assert "both write to standard output" in sentence


def test_a_folder_on_other_systems(
    command: Command, clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows ends the name of one in either way; there, and on a Mac, capitals do not count."""
    capital = tmp_path / clips["short"].name.upper()
    capital.write_bytes(clips["short"].read_bytes())
    asked = ("transcribe", clips["short"], "--model", "missing", "-o")
    sentence = command(*asked, tmp_path, capital).sentence
    assert "several recordings would be written to" in sentence
    monkeypatch.setattr(transcript_output, "os", SimpleNamespace(sep="\\"))
    for end in "/\\":
        sentence = command(*asked, f"{tmp_path / 'out'}{end}").sentence
        assert "there is no folder" in sentence and "make it" in sentence


@pytest.mark.parametrize("what", ["folder", "missing", "text", "silent", "nowhere"])
def test_what_cannot_be_done(
    command: Command, clips: dict[str, Path], tmp_path: Path, what: str
) -> None:
    """One sentence, and no file is left."""
    path, out = tmp_path / "recording.wav", tmp_path / "out.srt"
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("no sound")
    elif what == "silent":  # for an hour
        with soundfile.SoundFile(path, "w", 8000, 1, "PCM_U8") as file:
            for _ in range(60):
                file.write(np.zeros(60 * 8000, np.float32))
    elif what == "nowhere":
        path, out = clips["short"], tmp_path / "missing" / "out.srt"
    sentence = command("transcribe", path, "-o", out, *QUICK).sentence
    said = {
        "folder": "is not a file but a folder",
        "missing": "is not a file",
        "text": "is not a sound file",
        "silent": "is silent (peak",
        "nowhere": "there is no folder",
    }[what]
    assert said in sentence
    assert not list(tmp_path.glob("out*"))


@posix
def test_progress_on_a_terminal(recording: tuple[Path, list[Said]], tmp_path: Path) -> None:
    """And none where the text itself is shown while it is made."""
    environment = {**os.environ, "TERM": "xterm"}
    asked = ("transcribe", recording[0], "-o", tmp_path / "a.txt")
    shown = b"".join(piece for piece, _ in on_terminal(asked, environment)).decode()
    assert "talk.flac" in shown and "100%" in shown
    assert recording[1][0].text in (tmp_path / "a.txt").read_text("utf-8")
    shown = b"".join(piece for piece, _ in on_terminal(asked[:2], environment)).decode()
    assert " ".join(one.text for one in recording[1]) in shown and "%" not in shown


def _stopped(
    path: Path, out: Path, number: signal.Signals, parts: int
) -> tuple[subprocess.Popen[str], str]:
    """A run that gets a signal once so many parts are done; the process, and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mimo_edge", "transcribe", path, "-o", out, "--parallel", "2"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    partial, deadline = out.with_name(f"{out.name}.partial"), time.monotonic() + HANGS_S
    while time.monotonic() < deadline and process.poll() is None:
        if partial.exists() and partial.read_bytes().count(b"\n") > parts:
            break
        time.sleep(0.01)
    process.send_signal(number)
    return process, process.communicate(timeout=HANGS_S)[1]


@posix
def test_a_run_that_is_stopped_goes_on(tmp_path: Path) -> None:
    path, out = tmp_path / "talk.wav", tmp_path / "talk.txt"
    said = write_recording(path, 240, seed=4)
    partial = tmp_path / "talk.txt.partial"
    killed, _ = _stopped(path, out, signal.SIGKILL, 3)
    assert killed.returncode == -signal.SIGKILL and not out.exists()
    first = partial.read_bytes()
    assert len(first.splitlines()) >= 4
    stopped, told = _stopped(path, out, signal.SIGINT, len(first.splitlines()) + 3)
    assert stopped.returncode == 130 and not out.exists()
    assert told.split("\n") == [
        f"mimo-edge: what was done is in {partial}; the same command goes on from there.",
        "",  # click's, behind what a terminal shows of Ctrl-C
        "mimo-edge: interrupted",
        "",
    ]
    second = partial.read_bytes()
    assert second.startswith(first) and len(second) > len(first)
    refused = run("transcribe", path, "-o", out, "--instruction", "Write.")
    assert refused.returncode == 1 and "with other options" in refused.stderr
    assert "(--restart begins anew)" in refused.stderr and partial.read_bytes() == second
    # What the file says was done is taken from it.
    marked = second.replace(b'"text": "', b'"text": "known ')
    partial.write_bytes(marked)
    done = run("transcribe", path, "-o", out)
    assert done.returncode == 0, done.stderr
    text = out.read_text("utf-8")
    assert text.count("known ") == len(second.splitlines()) - 1
    assert word_errors(said, text.replace("known ", ""))[0] <= 0.01 * len(text.split())
    assert {file.name for file in tmp_path.iterdir()} == {"talk.wav", "talk.txt"}
    done = run("transcribe", path, "-o", out, "--restart")
    assert out.read_text("utf-8") == text.replace("known ", "")


@posix
def test_a_full_disk(recording: tuple[Path, list[Said]], tmp_path: Path) -> None:
    """One sentence more says where the rest is; the next run needs no more than the end."""
    out = tmp_path / "talk.srt"
    with largest_file(2000):
        full = run("transcribe", recording[0], "-o", out, "--parallel", 1)
    assert full.returncode == 1 and not out.exists()
    kept, sentence = full.stderr.splitlines()
    assert "what was done is in" in kept and "cannot be written (File too large)" in sentence
    partial = tmp_path / "talk.srt.partial"
    assert len(partial.read_bytes().splitlines()) > 1
    done = run("transcribe", recording[0], "-o", out)
    assert done.returncode == 0 and not partial.exists() and out.exists()


def test_a_run_that_fails_at_once_keeps_nothing(
    command: Command, clips: dict[str, Path], tmp_path: Path
) -> None:
    """And says of nothing that it is kept."""
    asked = ("transcribe", clips["short"], "-o", tmp_path / "a.srt", *QUICK)
    assert "context" in command(*asked, "--ctx", 16).sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="a device to write to")  # noqa: PTH110
def test_a_device_keeps_nothing(command: Command, clips: dict[str, Path]) -> None:
    assert command("transcribe", clips["short"], "-o", "/dev/null", *QUICK).status == 0
    assert not Path("/dev/null.partial").exists()


PEAK = """
import sys, resource
from mimo_edge.commands.cli import main
try:
    main(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB there alone")
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    """Measured: 209 MB for ten minutes and 216 MB for an hour, whose samples would be 350 MB."""
    peaks = []
    for minutes in (6, 24):
        path = tmp_path / f"{minutes}.wav"
        write_recording(path, 60 * minutes, seed=5)
        out = str(tmp_path / "out.txt")
        command = [sys.executable, "-c", PEAK, "transcribe", str(path), "-o", out]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        peaks.append(1024 * int(done.stderr.splitlines()[-1]))
    assert peaks[1] - peaks[0] < 25_000_000
