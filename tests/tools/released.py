"""Write the sizes of the released model anew where recipes changed.

`python -m tests.tools.released` writes them into `mimo_edge/measure/released.py`, and from there
the table of speeds into the README.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from convert.backbone.writing import backbone_bytes
from convert.recipes import RECIPES, part_sizes
from convert.released import RELEASED_AUDIO, RELEASED_LANGUAGE
from mimo_edge.measure import released

README = Path(__file__).parents[2] / "README.md"
TABLE = re.compile(r"^\| GB/s \|.*?\n(?=\n)", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Write both files; a process that imports the first one anew makes the second."""
    write_sizes(Path(released.__file__))
    program = "from tests.tools.released import write_table; write_table()"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=README.parent)


def write_sizes(path: Path) -> None:
    """Bytes of every part of every recipe, from the smallest to the largest."""
    parts = {
        recipe.name: part_sizes(recipe, RELEASED_LANGUAGE, RELEASED_AUDIO) for recipe in RECIPES
    }
    stored = {recipe.name: recipe.backbone for recipe in RECIPES}
    names = sorted(parts, key=lambda name: sum(parts[name].values()))
    sizes, tables = "", ""
    for name in names:
        lines = "".join(f'            "{part}": {size:_},\n' for part, size in parts[name].items())
        sizes += f'        "{name}": {{\n{lines}        }},\n'
        of_backbone = backbone_bytes(RELEASED_LANGUAGE, stored[name])
        table, head = of_backbone["token_embd.weight"], of_backbone["output.weight"]
        tables += f'        "{name}": ({table:_}, {head:_}),\n'
    text = path.read_text(encoding="utf-8")
    text = _replaced(text, "PART_BYTES", sizes)
    path.write_text(_replaced(text, "TOKEN_BYTES", tables), encoding="utf-8")


def write_table() -> None:
    """The table of speeds, as `info` tells them."""
    from mimo_edge.measure.speed_table import markdown_table

    text = README.read_text(encoding="utf-8")
    README.write_text(TABLE.sub(lambda _: markdown_table(), text), encoding="utf-8")


def _replaced(text: str, name: str, entries: str) -> str:
    """The text with other entries in one of its mappings."""
    mapping = re.compile(rf"(^{name}: .*?\(\n    \{{\n).*?(^    \}}\n\))", re.MULTILINE | re.DOTALL)
    return mapping.sub(lambda found: found[1] + entries + found[2], text, count=1)


if __name__ == "__main__":
    main()
