"""Several recordings for one command: all are checked first, a bad one does not stop the others."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tools.command_line import QUICK, Command, Result


@pytest.fixture
def bad(tmp_path: Path) -> dict[str, Path]:
    """Recordings that cannot be read, by what is wrong with them."""
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "folder.wav").mkdir()
    return {name: tmp_path / f"{name}.wav" for name in ("empty", "text", "folder", "missing")}


def faults(result: Result) -> list[str]:
    """What is said of recordings that failed, without the notes on other answers."""
    return [line for line in result.err.splitlines() if line.startswith("mimo-edge: ")]


def test_the_good_ones_are_transcribed(
    command: Command, clips: dict[str, Path], bad: dict[str, Path]
) -> None:
    good = clips["short"]
    text = command("transcribe", good, *QUICK).out
    result = command("transcribe", good, *bad.values(), good, *QUICK)
    assert result.status == 1
    assert result.out == f"{good}: {text}" * 2
    *reasons, summary = faults(result)
    for reason, path in zip(reasons, bad.values(), strict=True):
        assert reason.startswith(f"mimo-edge: {path} ")
    assert "4 of 6 recordings" in summary and all(str(path) in summary for path in bad.values())


def test_a_recording_that_fails_later_is_named(
    command: Command, clips: dict[str, Path], tmp_path: Path
) -> None:
    """Its header is well; that it is silent shows only when it is read."""
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(24_000), 24_000)
    result = command("transcribe", silent, clips["short"], *QUICK)
    assert result.status == 1 and result.out.startswith(f"{clips['short']}: ")
    reason, summary = faults(result)
    assert str(silent) in reason and "silent (peak" in reason
    assert "1 of 2 recordings" in summary


def test_a_record_for_every_recording(
    command: Command, clips: dict[str, Path], bad: dict[str, Path]
) -> None:
    result = command("transcribe", bad["text"], clips["short"], bad["missing"], "--json", *QUICK)
    first, second, third = map(json.loads, result.out.splitlines())
    assert result.status == 1
    assert first["input"] == str(bad["text"]) and "not a sound file" in first["error"]
    assert second["input"] == str(clips["short"]) and "error" not in second
    assert third["input"] == str(bad["missing"]) and "not a file" in third["error"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are always text")
def test_names_that_are_no_text(command: Command, clips: dict[str, Path], tmp_path: Path) -> None:
    """Each stays on its line, recognizable, and rules no terminal."""
    names = (b"caf\xe9.wav", b"two\nlines\x1b[31m.wav")
    paths = [tmp_path / os.fsdecode(name) for name in names]
    for path in paths:
        shutil.copy(clips["short"], path)
    result = command("transcribe", *paths, *QUICK)
    assert result.status == 0, result.err
    first, second = result.out.splitlines()
    assert first.startswith(f"{tmp_path}/caf\\xe9.wav: ")
    assert second.startswith(f"{tmp_path}/two\\nlines\\x1b[31m.wav: ")


def test_only_bad_ones_need_no_model(command: Command, bad: dict[str, Path]) -> None:
    result = command("transcribe", *bad.values(), "--json", "--model", "nowhere")
    assert result.status == 1 and len(result.out.splitlines()) == 4
    assert "4 of 4 recordings" in result.err and "nowhere" not in result.err


@pytest.mark.skipif(os.name != "posix", reason="Windows asks others for permission")
def test_a_protected_recording(command: Command, clips: dict[str, Path], tmp_path: Path) -> None:
    protected = tmp_path / "protected.wav"
    protected.write_bytes(clips["short"].read_bytes())
    protected.chmod(0)
    if os.access(protected, os.R_OK):
        pytest.skip("this user may read everything")
    assert "Permission denied" in command("transcribe", protected).sentence


def test_standard_input_has_one_end(command: Command, clips: dict[str, Path]) -> None:
    data = clips["short"].read_bytes()
    result = command("transcribe", "-", clips["short"], *QUICK, stdin=data)
    assert result.status == 0, result.err
    first, second = result.out.splitlines()
    assert first.removeprefix("(standard input): ") == second.removeprefix(f"{clips['short']}: ")
    assert "only once" in command("transcribe", "-", "-", stdin=data).sentence


def test_every_command_looks_at_all_recordings_first(
    command: Command, clips: dict[str, Path], bad: dict[str, Path], tmp_path: Path
) -> None:
    """Before a model is loaded, and before anything is written; all bad ones are named."""
    good, text, missing, out = clips["short"], bad["text"], bad["missing"], tmp_path / "out"
    examples = ("--instruction", "Repeat.", "--example", good, text, "Hello.")
    nowhere = ("--model", "nowhere")
    for arguments in (
        ("chat", "--input", good, "--input", text, "--input", missing, "--output", out, *nowhere),
        ("chat", "--input", good, "--voice", text, *nowhere),
        ("picture", good, text, missing, "-o", tmp_path / "p.png"),
        ("ask", text, "What?", *nowhere),
        ("speak", "Hello.", "--voice", text, "-o", tmp_path / "a.wav", *nowhere),
        ("few-shot", good, *examples, "-o", tmp_path / "a.wav", *nowhere),
        ("continue", text, "-o", tmp_path / "a.wav", *nowhere),
        ("encode", text, "-o", tmp_path / "a.npz", *nowhere),
        ("lookahead", "nowhere", "--audio", good, "--audio", text),
        ("compare", "nowhere", "--reference", "nowhere", "--audio", text),
    ):
        sentence = command(*arguments).sentence
        assert str(text) in sentence and "nowhere" not in sentence, arguments
        assert (str(missing) in sentence) == (missing in arguments)
    assert {*tmp_path.iterdir()} == {*bad.values()} - {missing}
