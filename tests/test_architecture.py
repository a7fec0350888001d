"""What ARCHITECTURE.md and the README's layout say of files and folders is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w-]+\.\w+)?)`")


def test_every_file_it_names_exists() -> None:
    named = set(PATH.findall(PAGE))
    assert len(named) > 40
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_room_is_named() -> None:
    rooms = [path.parent for path in (ROOT / "mimo_edge").glob("*/__init__.py")]
    assert not [room.name for room in rooms if f"`mimo_edge/{room.name}/`" not in PAGE]


def test_names_in_code_exist() -> None:
    """`next_rows`, `Backbone.evaluate` and the like are written like that in one of the files."""
    code = "\n".join(
        (ROOT / name).read_text("utf-8") for name in PATH.findall(PAGE) if name.endswith(".py")
    )
    for name in re.findall(r"`(?:\w+\.)?([A-Za-z_]+)`", PAGE):
        assert name in ("next", "py", "json") or re.search(rf"(?:def|class) {name}\b", code), name


def test_the_readme_names_the_same_rooms() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    layout = readme[readme.index("## Layout") :]
    for room in re.findall(r"`mimo_edge/(\w+/)`", PAGE):
        assert f"`{room}`" in layout, room
    assert not [
        name
        for name in re.findall(r"`((?:\w+/)+)`", layout)
        if not (ROOT / name).exists() and not (ROOT / "mimo_edge" / name).exists()
    ]
    assert "ARCHITECTURE.md" in layout
