"""Where a checkpoint comes from: a folder, or a repository of the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from mimo_edge.errors import BadInputError

__all__ = ["Kind", "Origin", "Prospect", "find_checkpoint", "look_up"]

Kind = Literal["model", "tokenizer"]
"""The language model or the audio tokenizer, by the name of the option."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REVISION = re.compile(r"[\w.-]+(/[\w.-]+)*")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The folder of a checkpoint and what to call it."""

    folder: Path
    name: str
    """The folder's name, or the repository's id (owner/name)."""
    revision: str | None
    """The commit of the repository; None for a folder."""

    @classmethod
    def of_folder(cls, folder: Path) -> Origin:
        """A checkpoint that was not downloaded here."""
        # A folder's name may hold bytes that are no text; a bundle keeps the name as text.
        name = os.fsencode(folder.resolve().name).decode(errors="replace")
        return cls(folder=folder, name=name, revision=None)

    @property
    def model_name(self) -> str:
        """The name without its owner."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What is known of a checkpoint before its weights are downloaded."""

    config: Path
    cache: Path
    """Folder that the downloads go to."""
    missing: int
    """Bytes still to download."""


def look_up(
    model: str, *, kind: Kind, revision: str | None = None, offline: bool = False
) -> Prospect | None:
    """A repository's configuration and what is missing of it, with a download of a few KB.

    None for a folder, and for a repository of which only the cache can be asked.

    Raises:
        MimoEdgeError: as `find_checkpoint`.
    """
    if _folder(model, kind, revision) or offline:
        return None
    from .hub import look_up_repository

    return look_up_repository(model, kind=kind, revision=revision)


def find_checkpoint(
    model: str, *, kind: Kind, revision: str | None = None, offline: bool = False
) -> Origin:
    """The folder `model` itself, or that of the hub's repository `model`, downloaded and checked.

    `kind` says which files are needed, `revision` which branch, tag or commit; None is the
    default branch. Offline (also with HF_HUB_OFFLINE=1) only the cache is looked at. With a
    folder the network is not touched.

    Raises:
        MimoEdgeError: neither a folder nor a repository, no access, no connection,
            no room.
    """
    if folder := _folder(model, kind, revision):
        return Origin.of_folder(folder)
    from .hub import download

    folder = download(model, kind=kind, revision=revision, offline=offline)
    return Origin(folder=folder, name=model, revision=folder.name)


def _folder(model: str, kind: Kind, revision: str | None) -> Path | None:
    """The folder `model`; None if it can be a repository's id, and the hub's library is loaded."""
    if folder := _existing_folder(model, kind):
        if revision is not None:
            raise BadInputError(
                f"the {kind} {model} is a folder and has no revision {revision!r}; leave the "
                "revision out, or give the id of a repository."
            )
        return folder
    if not _HUB_ID.fullmatch(model):
        raise BadInputError(
            f"the {kind} {model!r} is neither a folder nor the id of a repository (owner/name); "
            "check the path."
        )
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise BadInputError(
            f"{revision!r} is no revision of the {kind} {model}; give a branch, a tag or a commit."
        )
    _check_endpoint()
    try:
        # Only now: it takes half a second, and looks at its settings while it is loaded.
        from . import hub  # noqa: F401
    except ValueError as error:
        raise BadInputError(
            f"the settings of the hub in the environment (HF_…) are not understood ({error}); "
            "mend or unset them."
        ) from error
    return None


def _check_endpoint() -> None:
    hub = os.environ.get("HF_ENDPOINT")
    if not hub:
        return
    try:
        parts = urlsplit(hub)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and parts.port != 0 and not re.search(r"\s", hub)
    except ValueError:
        usable = False
    if not usable:
        raise BadInputError(
            f"HF_ENDPOINT is {hub!r}; give the address of a hub, for example "
            "https://huggingface.co, or unset it."
        )


def _existing_folder(model: str, kind: Kind) -> Path | None:
    try:
        path = Path(model).expanduser()
        if model and path.is_dir():
            return path
        if model and path.exists():
            raise BadInputError(f"the {kind} {model} is a file; give the folder it is in.")
    except (OSError, RuntimeError, ValueError):  # too long for a name, or ~ of nobody
        return None
    return None
