"""Where a bundle is fetched from: a folder, or a repository of a hub, file by file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url

from mimo_edge.bundle.files import check_bundle_path
from mimo_edge.bundle.manifest import MANIFEST_FILE
from mimo_edge.errors import BadBundleError, BadInputError

from ..checkpoints.hub_errors import check_token, explained
from ..checkpoints.hub_fetch import fetch_rest

__all__ = ["FolderSource", "HubSource", "Source", "find_source", "is_repository"]

_PIECE = 1 << 22


class Source(Protocol):
    """A place where the files of one bundle lie."""

    def names(self) -> set[str]:
        """Names of the files that lie there."""

    def fetch(self, name: str, partial: Path) -> None:
        """Bring a file into `partial`, which may hold the beginning of it already.

        Raises:
            MimoEdgeError: it is not there, or does not come.
        """


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """A bundle in a folder, maybe of another machine."""

    folder: Path

    def names(self) -> set[str]:
        """Names of the files in the folder."""
        with self._explained(self.folder):
            return {path.name for path in self.folder.iterdir() if path.is_file()}

    def fetch(self, name: str, partial: Path) -> None:
        """Copy what `partial` lacks.

        Raises:
            MimoEdgeError: the file cannot be read.
            OSError: `partial` cannot be written.
        """
        source = self.folder / name
        with self._explained(source):
            read = source.open("rb")
        with read, partial.open("ab") as write:
            read.seek(0, 2)
            if write.tell() > read.tell():
                write.truncate(0)
            read.seek(write.tell())
            while piece := self._read(read, source):
                write.write(piece)

    def _read(self, stream: object, source: Path) -> bytes:
        with self._explained(source):  # a share that is gone says so here
            data: bytes = stream.read(_PIECE)  # type: ignore[attr-defined]
            return data

    @contextmanager
    def _explained(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BadBundleError(
                f"{path} cannot be read ({error.strerror or error}); mend its permissions or the "
                "connection and run the same command again."
            ) from error


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A bundle in a repository of a hub, at one commit."""

    repository: str
    commit: str
    files: frozenset[str]
    into: Path
    """The folder that is written, for sentences about its disk."""

    @classmethod
    def ask(cls, repository: str, revision: str | None, into: Path) -> HubSource:
        """Look up which files the repository has.

        Raises:
            MimoEdgeError: the hub cannot be asked, or there is no such repository or revision.
        """
        with explained(f"the bundle {repository}", revision, into=into):
            check_token()
            info = HfApi().model_info(repository, revision=revision)
        names = frozenset(file.rfilename for file in info.siblings or ())
        if MANIFEST_FILE not in names:
            raise BadBundleError(
                f"the repository {repository} has no {MANIFEST_FILE}, so it is no bundle; check "
                "the id, or convert the checkpoint in it with `mimo-edge convert`."
            )
        return cls(repository=repository, commit=str(info.sha), files=names, into=into)

    def names(self) -> set[str]:
        """Names of the files at the top of the repository."""
        return {name for name in self.files if "/" not in name}

    def fetch(self, name: str, partial: Path) -> None:
        """Download what `partial` lacks.

        Raises:
            MimoEdgeError: it does not come, or the disk is full.
        """
        with explained(f"{name} of the bundle {self.repository}", self.commit, into=self.into):
            url = hf_hub_url(self.repository, name, revision=self.commit)
            metadata = get_hf_file_metadata(url)
            fetch_rest(url, metadata.location, partial, metadata.size)


def is_repository(name: str) -> bool:
    """Whether a name means OWNER/NAME on a hub, and no folder."""
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and not name.startswith((".", "~")) and "\\" not in name


def find_source(name: str, *, revision: str | None, into: Path) -> Source:
    """The folder of this name, or else the repository.

    Raises:
        MimoEdgeError: it is neither.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        check_bundle_path(folder)
        if revision is not None:
            raise BadInputError(f"{name} is a folder, which has no revisions; leave that out.")
        return FolderSource(folder=folder)
    if not is_repository(name):
        raise BadInputError(
            f"{name[:200]!r} is neither a folder nor the id of a hub's repository (OWNER/NAME); "
            "check the spelling."
        )
    return HubSource.ask(name, revision, into)
