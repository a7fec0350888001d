"""Nothing is written over what a command reads; that is refused before a model is loaded."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.tools.command_line import QUICK, Command

LOST = "is an input as well and would be written over"


@pytest.fixture
def clip(clips: dict[str, Path], tmp_path: Path) -> Path:
    """A recording that may be lost."""
    return Path(shutil.copy(clips["short"], tmp_path / "mine.wav"))


@pytest.mark.parametrize(
    "arguments",
    [
        "transcribe CLIP -o OUT",
        "transcribe CLIP OTHER --output-format json -o FOLDER",
        "speak Hello. --voice CLIP -o OUT",
        "continue CLIP -o OUT",
        "few-shot OTHER --instruction Repeat. --example CLIP OTHER Hello. -o OUT",
        "decode CLIP -o OUT",
        "chat --input CLIP --save-session OUT",
        "chat --input OTHER --voice CLIP --save-session OUT",
    ],
)
def test_an_output_that_is_an_input(
    command: Command, clips: dict[str, Path], clip: Path, arguments: str
) -> None:
    before = clip.read_bytes()
    out = clip.parent / "nowhere" / ".." / clip.name
    (clip.parent / "nowhere").mkdir()
    os.link(clip, clip.with_name("mine.json"))
    words = {"CLIP": clip, "OUT": out, "FOLDER": clip.parent, "OTHER": clips["tiny"]}
    given = [words.get(word, word) for word in arguments.split()]
    assert LOST in command(*given, "--model", "missing").sentence
    assert clip.read_bytes() == before


def test_codes_and_pictures(command: Command, clip: Path) -> None:
    codes, picture = clip.with_name("mine.npz"), clip.with_name("mine.png")
    for path in (codes, picture):
        clip.rename(path)
        clip = path
        task = "encode" if path == codes else "picture"
        assert LOST in command(task, clip, "-o", clip).sentence


@pytest.mark.parametrize(
    "ask", [("chat", "--model", "missing"), ("talk", "http://127.0.0.1:9")], ids=["chat", "talk"]
)
def test_an_answer_that_is_a_later_turn(
    command: Command, clips: dict[str, Path], clip: Path, ask: tuple[str, ...]
) -> None:
    """The model would answer itself."""
    turn = clip.rename(clip.with_name("answer-2.wav"))
    base = (*ask, "--output", turn.parent, "--input", clips["tiny"], "--input")
    assert f"{turn} {LOST}" in command(*base, turn).sentence
    assert LOST not in command(*base, turn, "--text-only").sentence  # no sound is written
    other = turn.rename(turn.with_name("answer-3.wav"))
    assert LOST not in command(*base, other).sentence


def test_the_numbers_of_a_conversation_that_goes_on(command: Command, clip: Path) -> None:
    saved, folder = clip.with_name("talk.npz"), clip.parent
    turn = ("--output", folder, "--save-session", saved, *QUICK)
    assert command("chat", "--input", clip, "--text-only", *turn).status == 0
    first, second = (clip.with_name(f"answer-{number}.wav") for number in (1, 2))
    shutil.copy(clip, second)
    on = ("chat", "--load-session", saved)
    assert f"{second} {LOST}" in command(*on, "--input", second, *turn).sentence
    second.rename(first)
    assert command(*on, "--input", first, *turn).status == 0
    lines = (folder / "transcript.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["turn"] for line in lines] == [1, 2]
    assert first.read_bytes() == clip.read_bytes()
