"""The commands `mimo-edge pull` and `mimo-edge push`."""

from __future__ import annotations

from pathlib import Path

import click

from mimo_edge.bundle.manifest import Manifest
from mimo_edge.commands.console import Console, one_line
from mimo_edge.commands.option_kinds import output_options
from mimo_edge.errors import BadInputError

from .pulling import pull
from .pushing import push
from .sources import FolderSource, find_source, is_repository

__all__ = ["pull_command", "push_command"]

_FOLDER = click.Path(path_type=Path)


@click.command("pull")
@click.argument("source")
@click.option("-o", "--out", type=_FOLDER, required=True, help="Folder to make.")
@click.option("--revision", metavar="COMMIT", help="Branch, tag or commit.  [default: main]")
@click.option("--fingerprint", metavar="HASH", help="Take this bundle only, as `push` named it.")
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@output_options
def pull_command(
    source: str,
    out: Path,
    revision: str | None,
    fingerprint: str | None,
    force: bool,
    console: Console,
) -> None:
    """Fetch a bundle from SOURCE: a folder, or OWNER/NAME on a hub.

    Every file is compared with its listed hash. What has arrived when the command is stopped is
    kept, and the same command goes on.
    """
    with console.busy("fetching") as tell:
        manifest = pull(
            lambda: find_source(source, revision=revision, into=out),
            out,
            force=force,
            fingerprint=fingerprint,
            tell=lambda name: tell(f"fetching {name}"),
        )
    _say(console, str(out), manifest)


@click.command("push")
@click.argument("bundle", type=_FOLDER)
@click.argument("destination")
@click.option("--private", is_flag=True, help="Make a new repository a private one.")
@click.option("--revision", metavar="BRANCH", help="Branch of the repository.  [default: main]")
@click.option("--force", is_flag=True, help="Replace a bundle in a folder.")
@output_options
def push_command(
    bundle: Path,
    destination: str,
    private: bool,
    revision: str | None,
    force: bool,
    console: Console,
) -> None:
    """Bring BUNDLE to DESTINATION: OWNER/NAME on a hub, or a folder (./NAME, /PATH).

    Model card and licence (README.md, LICENSE) that lie in the bundle come along. HF_TOKEN must
    hold a token that may write to the repository.
    """
    if is_repository(destination) and not Path(destination).is_dir():
        with console.busy("uploading") as tell:
            pushed = push(bundle, destination, private=private, revision=revision, tell=tell)
        console.record(**vars(pushed))
        if not console.as_json:
            click.echo(
                one_line(
                    f"{destination} has it at commit {pushed.commit}; fetch it with `mimo-edge "
                    f"pull {destination} -o FOLDER --fingerprint {pushed.fingerprint}`"
                )
            )
        return
    if private or revision:
        raise BadInputError(
            f"{destination} is a folder, which is neither private nor has it branches; name a "
            "repository (OWNER/NAME), or leave that out."
        )
    out = Path(destination).expanduser()
    with console.busy("copying"):
        manifest = pull(lambda: FolderSource(folder=bundle), out, force=force)
    _say(console, str(out), manifest)


def _say(console: Console, where: str, manifest: Manifest) -> None:
    size = sum(file.size for file in manifest.files)
    fingerprint = manifest.fingerprint()
    console.record(folder=where, name=manifest.name, size=size, fingerprint=fingerprint)
    if not console.as_json:
        click.echo(
            one_line(
                f"{where}: {manifest.name}, recipe {manifest.recipe}, {size / 1e6:.1f} MB, every "
                f"file has its listed hash; fingerprint {fingerprint}"
            )
        )
