"""A failing command prints one line, whatever the names in it, and leaves no folder behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.command_line import QUICK, Command


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb\x1b[31m", r"a\nb\x1b[31m "),
        ("a\u2028b\u202ec\u2066", r"a\u2028b\u202ec\u2066 "),
        ("日本 é 👩\u200d👧", "日本 é 👩\u200d👧 "),
    ],
)
def test_names_that_a_terminal_would_obey(command: Command, name: str, shown: str) -> None:
    assert command("info", name).sentence.startswith(f"mimo-edge: {shown}is not a folder")


def test_an_endless_name(command: Command) -> None:
    said = command("speak", "Hello.", "-o", "a" * 50_000).sentence
    assert len(said) < 1100 and "aaaa … aaaa" in said and said.endswith(".")


def test_a_folder_for_answers_that_never_came(
    command: Command, clips: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "session.npz").write_bytes(b"nothing")
    (tmp_path / "old").mkdir()
    for folder in ("new/folder", "old"):
        arguments = ("--load-session", tmp_path / "session.npz", "--output", tmp_path / folder)
        said = command("chat", "--input", clips["tiny"], *arguments, *QUICK).sentence
        assert "is not a saved session" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "session.npz"]
