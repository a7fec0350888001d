"""Folders with bundles that cost nothing, for tests of what a conversion does to its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from convert.target import claim
from mimo_edge.bundle.manifest import MANIFEST_FILE, checksum

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "models" / "demo"


def fill(folder: Path, name: str = "demo") -> Path:
    """A bundle whose files are links to the demo model's, so that it costs nothing."""
    folder.mkdir(exist_ok=True)
    raw = json.loads((DEMO / MANIFEST_FILE).read_bytes())
    for file in raw["files"]:
        (folder / file["name"]).symlink_to(DEMO / file["name"])
    write_manifest(folder, lambda values: values.update(name=name))
    return folder


def write_manifest(
    folder: Path, change: Callable[[dict[str, Any]], object], *, fits: bool = True
) -> None:
    """The demo model's manifest, changed, with a checksum that fits or not."""
    values = json.loads((DEMO / MANIFEST_FILE).read_bytes())
    stated = values.pop("checksum")
    change(values)
    values["checksum"] = checksum(values) if fits else stated
    (folder / MANIFEST_FILE).write_text(json.dumps(values))


def replace(out: Path, name: str, *, force: bool = True) -> None:
    """What a conversion does with its folder."""
    with claim(out, force=force) as target, target.working_folder() as work:
        fill(work, name)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
