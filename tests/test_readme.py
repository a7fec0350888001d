"""What the README promises: its Python example runs, its commands exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click
import pytest
import soundfile

from convert.cli import convert_command
from convert.sharing.pack_cli import pack_command
from convert.sharing.share_cli import pull_command, push_command
from mimo_edge.commands.cli import cli
from mimo_edge.measure.speed_table import markdown_table
from tests.tools.exact_demo import exact_demo
from tests.tools.readme_media import PICTURE, RECORDING, picture, words_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#+ (.*)$", README, flags=re.MULTILINE)


def test_python_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As written, on the recordings of a fresh checkout, with the demo model in float32."""
    examples = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(examples) == 2
    shutil.copytree(ROOT / "tests" / "data" / "demo", tmp_path / "tests" / "data" / "demo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIMO_EDGE_MODEL", str(exact_demo()))
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert out.startswith("what is seven plus five\nseven plus five is twelve")
    assert "you said what is seven plus five" in out and "positions were still known" in out
    assert soundfile.info(tmp_path / "twelve.wav").duration > 1
    assert (tmp_path / "talk.npz").stat().st_size > 0


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", README)
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link
    sections = {re.sub(r"[^a-z ]", "", line.lower()).replace(" ", "-") for line in HEADINGS}
    for anchor in re.findall(r"\]\(#([^)]+)\)", README):
        assert anchor in sections, anchor


def test_the_layout_names_what_is_there() -> None:
    layout = README[README.index("## Layout") :]
    places = (ROOT, ROOT / "mimo_edge")
    for name in re.findall(r"`([^`]+)`", layout):
        candidates = [place / f"{name}{ending}" for place in places for ending in ("", ".py")]
        assert any(path.exists() for path in candidates), name


def test_the_speeds_of_the_7b_are_those_that_info_tells() -> None:
    """`python -m tests.tools.released` writes them anew."""
    assert markdown_table() in README


def test_the_picture_shows_the_panel_as_it_is() -> None:
    """`python -m tests.tools.readme_media` makes it again."""
    shown = PICTURE.read_text(encoding="utf-8")
    assert words_of(shown) == words_of(picture())
    assert "seven plus five is twelve" in shown.replace("&#160;", " ")
    assert PICTURE.stat().st_size < 60_000


def test_the_recording_holds_a_conversation() -> None:
    assert 6 < soundfile.info(RECORDING).duration < 15
    assert RECORDING.stat().st_size < 60_000


def test_every_command_is_in_the_table() -> None:
    for name in cli.list_commands(click.Context(cli)):
        assert f"`mimo-edge {name} " in README, f"README does not mention `mimo-edge {name}`"


def test_commands_of_the_readme_exist() -> None:
    mentioned = set(re.findall(r"(?:`|^)mimo-edge ([a-z][a-z-]*)", README, flags=re.MULTILINE))
    assert mentioned <= set(cli.list_commands(click.Context(cli)))


def test_options_of_the_readme_exist() -> None:
    """Behind a command its own, elsewhere those of any command."""
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    commands |= {
        "convert": convert_command,
        "pack": pack_command,
        "pull": pull_command,
        "push": push_command,
    }
    known = {name: _options(command) for name, command in commands.items() if command is not None}
    for name, rest in re.findall(r"(?:`|^)mimo-edge ([a-z-]+)([^`#]*)", README, re.MULTILINE):
        written = set(re.findall(r"(?<=\s)--[a-z-]+", rest.split("\n\n")[0]))
        assert written <= known[name], (name, written - known[name])


def _options(command: click.Command) -> set[str]:
    named = {
        written
        for parameter in command.params
        for written in (*parameter.opts, *parameter.secondary_opts)
    }
    return {*named, "--help"}
