"""`mimo-edge verify`: whether every file of a bundle or a packed folder arrived as it was sent."""

from __future__ import annotations

from pathlib import Path

import click

from ..bundle.verification import FileState, check_verified, listed_hashes, verify_folder
from .console import Console, one_line
from .option_kinds import output_options

__all__ = ["verify", "verify_listed_files"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@output_options
def verify(folder: Path, console: Console) -> None:
    """Compare every file of FOLDER with its listed hash.

    FOLDER is a bundle, or a folder that `mimo-edge pack` made. Says of each file whether it is
    whole, damaged, missing, or not in the list; what is not whole ends with exit status 1.
    """
    states = _verify(folder, console, say_each=True)
    check_verified(folder, states)
    size = sum(file.size or 0 for file in states)
    if not console.as_json:
        click.echo(one_line(f"{folder}: all {len(states)} files are whole ({size / 1e6:.1f} MB)"))


def verify_listed_files(folder: Path, console: Console) -> None:
    """Do the work of `mimo-edge verify` for another command, which says only what is wrong.

    Raises:
        MimoEdgeError: a file is damaged or missing, or one lies there that is not listed.
    """
    check_verified(folder, _verify(folder, console, say_each=False))


def _verify(folder: Path, console: Console, *, say_each: bool) -> list[FileState]:
    hashes = listed_hashes(folder)
    states: list[FileState] = []
    read = 0
    with console.busy("comparing hashes") as tell:

        def progress(name: str, size: int) -> None:
            nonlocal read
            read += size
            tell(f"comparing hashes: {name}, {read / 1e9:.1f} GB read")

        for file in verify_folder(folder, hashes, progress):
            states.append(file)
            if say_each:
                console.record(file=file.name, state=file.state, size=file.size)
                if not console.as_json:
                    click.echo(one_line(f"{file.state:<10}  {file.name}"))
    return states
