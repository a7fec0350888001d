"""What the README promises: its Python example runs, its commands exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click
import pytest

from mimo_edge.cli import cli
from tests.golden.folder import Golden

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_python_example_runs(
    default_bundle: Path, golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As written, in a folder that has the files it names."""
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    shutil.copytree(default_bundle, tmp_path / "models" / "mimo")
    for name in ("question", "short"):
        shutil.copy(golden.folder / "audio" / f"{name}.wav", tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert (tmp_path / "talk.npz").stat().st_size > 0


def test_every_command_is_in_the_table() -> None:
    for name in cli.list_commands(click.Context(cli)):
        assert f"`mimo-edge {name} " in README, f"README does not mention `mimo-edge {name}`"


def test_commands_of_the_readme_exist() -> None:
    mentioned = set(re.findall(r"`?mimo-edge ([a-z][a-z-]*)", README))
    assert mentioned <= set(cli.list_commands(click.Context(cli)))
