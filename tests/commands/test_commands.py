"""The commands that no other test runs to a good end, with all their options."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import soundfile

from tests.tools.command_line import QUICK, Command


@pytest.mark.parametrize("task", ["few-shot", "continue"])
def test_speech_of_the_base_model(
    command: Command, clips: dict[str, Path], tmp_path: Path, task: str
) -> None:
    out, clip = tmp_path / "a.flac", clips["short"]
    arguments = ("--instruction", "Repeat.", "--example", clips["tiny"], clip, "Hello.")
    result = command(
        task, clip, *(arguments if task == "few-shot" else ()), "-o", out, "-v", *QUICK
    )
    # A random model may say nothing; what it says is written.
    if result.status:
        assert "answered without speech" in result.sentence and not out.exists()
    else:
        assert soundfile.info(out).samplerate == 24_000 and "cached" in result.err


def test_chat_writes_answers_and_a_transcript(
    command: Command, clips: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "folder"
    files = [part for name in ("question", "short") for part in ("--input", clips[name])]
    options = ("--output", out, "--format", "ogg", "--system", "Be kind.", "--transcribe")
    result = command("chat", *files, *options, "--voice", clips["voice"], *QUICK)
    assert result.status == 0, result.err
    lines = (out / "transcript.jsonl").read_text("utf-8").splitlines()
    turns = [json.loads(line) for line in lines]
    assert [turn["turn"] for turn in turns] == [1, 2]
    assert turns[1]["stats"]["cached_positions"] > turns[1]["stats"]["evaluated_positions"]
    written = {path.name for path in out.iterdir()} - {"transcript.jsonl"}
    assert written == {turn["audio"] for turn in turns if turn["audio"]}
    assert written <= {"answer-1.ogg", "answer-2.ogg"}
    for turn in turns:
        assert turn["text"] in result.out and turn["question"] is not None


@pytest.mark.parametrize("way", ["--text-only", "--think"])
def test_chat_in_text(command: Command, clips: dict[str, Path], tmp_path: Path, way: str) -> None:
    result = command("chat", "--input", clips["short"], "--output", tmp_path, way, *QUICK)
    assert result.status == 0, result.err
    assert [path.name for path in tmp_path.iterdir()] == ["transcript.jsonl"]
    assert f"{tmp_path / 'transcript.jsonl'}: " in result.err


def test_chat_without_recordings_or_microphone(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before the model is loaded; a machine with a microphone would listen."""
    monkeypatch.setattr("mimo_edge.devices.choice.list_devices", lambda: [])
    sentence = command("chat", "--model", "missing").sentence
    assert "no microphone" in sentence and "--input FILE" in sentence


def test_several_recordings_and_an_instruction(command: Command, clips: dict[str, Path]) -> None:
    one = command("transcribe", clips["short"], *QUICK)
    two = command("transcribe", clips["short"], clips["tiny"], *QUICK)
    other = command("transcribe", clips["short"], "--instruction", "Translate it.", *QUICK)
    assert two.status == other.status == 0
    first, second = two.out.splitlines(keepends=True)
    assert first == f"{clips['short']}: {one.out}" and second.startswith(f"{clips['tiny']}: ")
    assert other.out != one.out


def test_speech_with_style_and_voice(
    command: Command, clips: dict[str, Path], tmp_path: Path
) -> None:
    out, options = tmp_path / "a.wav", (*QUICK, "--max-new-tokens", "40")
    for extra in (("--style", "softly"), ("--style-in-text",), ("--voice", clips["voice"])):
        result = command("speak", "Say softly: hello.", "-o", out, *extra, *options)
        assert result.status == 0 or "answered without speech" in result.sentence


def test_a_transcript_that_is_something_else(
    command: Command, clips: dict[str, Path], tmp_path: Path
) -> None:
    """A FIFO would wait for a reader that never comes, after the work."""
    base = ("chat", "--input", clips["short"], "--model", "missing", "--output", tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "transcript.jsonl")
        assert "no regular file" in command(*base).sentence
        (tmp_path / "transcript.jsonl").unlink()
    (tmp_path / "answer-1.flac").mkdir()
    assert "answer-1.flac cannot be written" in command(*base, "--format", "flac").sentence


def test_options_that_would_be_ignored(
    command: Command, clips: dict[str, Path], tmp_path: Path
) -> None:
    """Said before anything is done; what is kept of nothing is said, too."""
    recorded = ("chat", "--input", clips["short"], "--model", "missing")
    for option in (
        ("--record", tmp_path / "r"),
        ("--push-to-talk",),
        ("--input-device", "x"),
        ("--barge-in", "off"),
        ("--end-silence", 1),
        ("--plain",),
    ):
        sentence = command(*recorded, *option).sentence
        assert f"{option[0]} is for a live conversation" in sentence
    for option in (("--output", tmp_path / "o"), ("--format", "ogg")):
        sentence = command("chat", "--model", "missing", *option).sentence
        assert f"{option[0]} is for recorded turns" in sentence
    assert not list(tmp_path.iterdir())
    spoken = command("chat", "--input", clips["short"], *QUICK)
    assert spoken.status == 0 and "sound of the answers is not kept: --output DIR" in spoken.err
    written = command("chat", "--input", clips["short"], "--text-only", *QUICK)
    assert written.status == 0 and "not kept" not in written.err


def test_what_was_saved_is_said(command: Command, clips: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "talk.npz"
    base = ("chat", "--input", clips["short"], "--text-only", "--save-session", path, *QUICK)
    assert f"the conversation is saved in {path}" in command(*base).err
    inside = tmp_path / "new" / "talk.npz"  # in the folder that --output makes
    assert command(*base, "--output", inside.parent, "--save-session", inside).status == 0
    assert inside.is_file()
    last = command(*base, "--json").out.splitlines()[-1]
    assert json.loads(last) == {"event": "saved", "session": str(path), "recording": None}
