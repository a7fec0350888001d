"""The arrows between the rooms of `mimo_edge` point downward."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mimo_edge

HOUSE = Path(mimo_edge.__file__).parent

LAYERS = (
    {"__main__", "chat"},
    {"commands"},
    {"evaluation"},
    {"measure", "server", "devices", "remote"},
    {"dialogue", "transcription"},
    {
        "__init__",
        "model",
        "named_tasks",
        "session",
        "session_file",
        "history",
        "listener",
        "prompt_cache",
        "engine",
        "loading",
        "tasks",
    },
    {"answer", "hearing", "overrides"},
    {"trained_tasks"},
    {"generation"},
    {"stages", "prompt", "audio"},
    {"bundle"},
    {"system", "json_lines", "one_writer", "entry"},
    {"atomic", "installation"},
    {"windows_names"},
    {"errors"},
)
"""From the top to the bottom; a room may use those of its own layer and those below."""

APART = (
    ({"measure", "server", "devices", "remote"}, "they serve the commands, not each other"),
    ({"prompt", "audio"}, "what is said to the model is not how sound is stored"),
)
"""Rooms of one layer that nevertheless do not use each other."""

OWNERS = {
    # library → files that may import it, as paths below mimo_edge
    "click": ("commands/",),
    "rich": ("commands/",),
    "sounddevice": ("devices/",),
    "prometheus_client": ("server/",),
    "starlette": ("server/",),
    "uvicorn": ("server/",),
    "websockets": ("remote/",),
    "wyoming": ("server/wyoming/",),
    "zeroconf": ("server/wyoming/",),
    "huggingface_hub": ("evaluation/fetching.py",),
    "pyarrow": ("evaluation/tables.py",),
    "llama_cpp": ("stages/llama/", "stages/backbone"),
    "onnxruntime": ("stages/graphs/",),
}

KNOWN = {
    "stages/machine/gpu.py": "asks llama.cpp for its GPUs, before there is a backbone",
}
"""Files that import a library of others, and why."""


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(dotted name, whether it is relative to `mimo_edge`) of everything a file imports."""
    package = path.relative_to(HOUSE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or "", False
        elif isinstance(node, ast.ImportFrom):
            folder = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((".".join((*folder, name)), True) for name in names)


def files() -> list[Path]:
    return sorted(
        path for path in HOUSE.rglob("*.py") if path.relative_to(HOUSE).parts[0] != "convert"
    )


def room_of(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def layer_of(room: str) -> int:
    return next(index for index, rooms in enumerate(LAYERS) if room in rooms)


def test_every_room_has_a_layer() -> None:
    assert {room_of(path) for path in files()} <= set().union(*LAYERS)


def test_imports_point_downward() -> None:
    wrong = []
    for path in files():
        room = room_of(path)
        for name, is_ours in imports(path):
            other = name.split(".")[0]
            if not is_ours or other == room or room == "__init__":  # which exports from all rooms
                continue
            apart = any({room, other} <= rooms for rooms, _ in APART)
            if apart or layer_of(other) < layer_of(room):
                wrong.append(f"{path.relative_to(HOUSE)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_library_has_one_owner() -> None:
    wrong = []
    for path in files():
        place = path.relative_to(HOUSE).as_posix()
        for name, is_ours in imports(path):
            owners = OWNERS.get(name.split(".")[0])
            if is_ours or owners is None or place.startswith(owners):
                continue
            if place not in KNOWN:
                wrong.append(f"{place} imports {name}")
    assert not wrong, "\n".join(wrong)
    assert all((HOUSE / place).is_file() for place in KNOWN)


def test_only_the_commands_print() -> None:
    for path in files():
        if room_of(path) != "commands":
            calls = [
                node.lineno
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "print"
            ]
            assert not calls, f"{path} prints in lines {calls}"
