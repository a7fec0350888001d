"""A failing command prints one line, whatever the names in it, and leaves no folder behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mimo_edge.bundle.default_bundle import demo_bundle
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


@pytest.mark.skipif(sys.platform != "linux", reason="where the cache is, is set as on Linux")
def test_a_model_of_noise_of_an_earlier_version(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo bundle has no GGUF of its patch stages, as those had none."""
    bundle = demo_bundle()
    assert bundle is not None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "mimo_edge").mkdir()
    (tmp_path / "mimo_edge" / "synthetic-7b").symlink_to(bundle)
    said = command("bench", "--synthetic", "7b", "--patches", "gguf").sentence
    assert "earlier version" in said and "--remove-synthetic" in said
