"""The command `mimo-edge pack`."""

from __future__ import annotations

from pathlib import Path

import click

from mimo_edge.commands.console import Console, one_line
from mimo_edge.commands.option_kinds import output_options

from .packing import pack

__all__ = ["pack_command"]

_FOLDER = click.Path(path_type=Path)


@click.command("pack")
@click.argument("bundle", type=_FOLDER)
@click.option(
    "--wheelhouse",
    "wheelhouses",
    type=_FOLDER,
    multiple=True,
    required=True,
    help="Folder of wheels (`make wheelhouse`); several times for several systems.",
)
@click.option("-o", "--out", type=_FOLDER, required=True, help="Folder to make.")
@click.option("--force", is_flag=True, help="Replace a packed folder.")
@output_options
def pack_command(
    bundle: Path, wheelhouses: tuple[Path, ...], out: Path, force: bool, console: Console
) -> None:
    """Put BUNDLE, wheels and start scripts into one folder, for a machine without a network.

    `sh start.sh` (on Windows start.bat) in that folder installs and talks; `mimo-edge verify`
    finds out whether it arrived whole.
    """
    copied = 0
    with console.busy("packing") as tell:

        def progress(name: str, size: int) -> None:
            nonlocal copied
            copied += size
            tell(f"packing: {name}, {copied / 1e9:.1f} GB copied")

        packed = pack(bundle, wheelhouses, out, force=force, progress=progress)
    console.record(folder=out, **vars(packed))
    if not console.as_json:
        click.echo(
            one_line(
                f"{out}: {packed.files} files, {packed.size / 1e6:.1f} MB, for "
                f"{', '.join(packed.systems)} with Python {', '.join(packed.pythons)}"
            )
        )
