"""A checkpoint named on the command line: a folder, or a repository of the Hugging Face Hub.

Downloads go into huggingface_hub's cache, and the endpoint (HF_ENDPOINT), the token
(HF_TOKEN) and offline mode (HF_HUB_OFFLINE) are its business. One thing is added: it
throws away what it had of a file when it is stopped, and shards have gigabytes, so
weights are fetched here first, into `blobs/{etag}.incomplete`, and are continued there.
"""

from __future__ import annotations

import errno
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import are_symlinks_supported, http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

from mimo_edge.bundle_files import file_sha256
from mimo_edge.errors import MimoEdgeError

from .checkpoint import CONFIG_FILE, INDEX_FILE, TEXT_TOKENIZER_FILES

__all__ = ["resolve"]

_LOGGER = logging.getLogger(__name__)

Kind = Literal["model", "tokenizer"]
"""The language model or the audio tokenizer, by the name of the option."""

_WEIGHTS = "*.safetensors"
_PATTERNS: dict[Kind, tuple[str, ...]] = {
    "model": (CONFIG_FILE, *TEXT_TOKENIZER_FILES, INDEX_FILE, _WEIGHTS),
    "tokenizer": (CONFIG_FILE, INDEX_FILE, _WEIGHTS),
}
_IN_FOLDERS = "*/*"
"""Nothing below the top of a repository is part of the public layout."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]
"""What every failure of the HTTP library huggingface_hub is built on derives from;
which library that is has changed between its major versions."""


@dataclass(frozen=True, kw_only=True)
class _Weight:
    """One file to fetch and where it goes."""

    url: str
    location: str
    """Where `url` leads: often another host, with a signature that ends soon."""
    size: int
    etag: str
    target: Path
    partial: Path
    lock: Path

    @property
    def missing(self) -> int:
        """Bytes still to fetch."""
        if self.target.exists():
            return 0
        have = self.partial.stat().st_size if self.partial.exists() else 0
        return self.size - have if have <= self.size else self.size


def resolve(model: str, *, kind: Kind, offline: bool = False) -> Path:
    """The folder of the checkpoint `model`: the folder itself, or a hub repository's, downloaded.

    `kind` says which files are needed. Offline (also with HF_HUB_OFFLINE=1) only the
    cache is looked at. An interrupted download continues where it stopped.

    Raises:
        MimoEdgeError: neither a folder nor a repository, no access, no connection,
            no room; the message names `--model` or `--tokenizer`.
    """
    path = Path(model).expanduser()
    if model and path.is_dir():
        return path
    if model and path.exists():
        raise MimoEdgeError(f"--{kind} {model} is a file; give the folder it is in.")
    if not _HUB_ID.fullmatch(model):
        raise MimoEdgeError(
            f"--{kind} {model!r} is neither a folder nor the id of a repository (owner/name); "
            "check the path."
        )
    with _explained(model, kind):
        if not offline:
            weights = _weights_to_fetch(model)
            _check_room(weights)
            for weight in weights:
                _fetch(weight)
        return Path(
            snapshot_download(
                model,
                allow_patterns=list(_PATTERNS[kind]),
                ignore_patterns=[_IN_FOLDERS],
                local_files_only=offline,
            )
        )


def _weights_to_fetch(model: str) -> list[_Weight]:
    """The repository's weights that are not in the cache yet; none when it cannot be reached.

    What went wrong is left to `snapshot_download`, which may still find all in its cache.
    """
    try:
        info = HfApi().model_info(model)
        names = [s.rfilename for s in info.siblings or () if Path(s.rfilename).match(_WEIGHTS)]
        found = (_weight(model, name, str(info.sha)) for name in names if "/" not in name)
        return [weight for weight in found if weight is not None and weight.missing]
    except (OSError, _HTTP_ERROR) as error:
        _LOGGER.debug("%s cannot be asked for its files: %s", model, error)
        return []


def _weight(model: str, name: str, commit: str) -> _Weight | None:
    cache = Path(constants.HF_HUB_CACHE)
    storage = cache / repo_folder_name(repo_id=model, repo_type="model")
    snapshot = storage / "snapshots" / commit / name
    if snapshot.exists():
        return None
    url = hf_hub_url(model, name, revision=commit)
    metadata = get_hf_file_metadata(url)
    if not metadata.etag or not metadata.size:
        return None
    blob = storage / "blobs" / metadata.etag
    return _Weight(
        url=url,
        location=metadata.location,
        size=metadata.size,
        etag=metadata.etag,
        # Without symbolic links the cache keeps the file itself in the snapshot.
        target=blob if are_symlinks_supported(cache) else snapshot,
        partial=blob.with_name(f"{metadata.etag}.incomplete"),
        lock=cache / ".locks" / storage.name / f"{metadata.etag}.lock",
    )


def _check_room(weights: list[_Weight]) -> None:
    need = sum(weight.missing for weight in weights)
    folder = Path(constants.HF_HUB_CACHE)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise MimoEdgeError(
            f"The download needs {need / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free; "
            "make room, or set HF_HOME to a folder on another disk."
        )


def _fetch(weight: _Weight) -> None:
    """Download one file, from where an earlier attempt stopped."""
    for path in (weight.lock, weight.partial, weight.target):
        path.parent.mkdir(parents=True, exist_ok=True)
    headers = build_hf_headers()
    if urlsplit(weight.location).netloc != urlsplit(weight.url).netloc:
        headers.pop("authorization", None)  # the token is the hub's, not its CDN's
    with WeakFileLock(weight.lock):
        if weight.target.exists():
            return
        have = weight.size - weight.missing
        with weight.partial.open("ab") as stream:
            stream.truncate(have)
            http_get(
                weight.location,
                stream,
                resume_size=have,
                headers=headers,
                expected_size=weight.size,
                displayed_filename=weight.url.rpartition("/")[2],
            )
        _check_hash(weight, resumed=have > 0)
        weight.partial.replace(weight.target)


def _check_hash(weight: _Weight, *, resumed: bool) -> None:
    """The ETag of a large file is its SHA-256; files put together from pieces are checked."""
    if not resumed or not _SHA256.fullmatch(weight.etag):
        return
    if file_sha256(weight.partial) != weight.etag:
        weight.partial.unlink()
        raise MimoEdgeError(
            f"{weight.url} arrived damaged and was removed; run the command again to fetch it anew."
        )


@contextmanager
def _explained(model: str, kind: Kind) -> Iterator[None]:
    try:
        yield
    except (OSError, HFValidationError, _HTTP_ERROR) as error:
        raise _explanation(error, f"--{kind} {model}") from error


def _explanation(error: Exception, what: str) -> MimoEdgeError:
    hub = constants.ENDPOINT
    if isinstance(error, GatedRepoError):
        return MimoEdgeError(
            f"{what} is gated; accept its terms on {hub} and set HF_TOKEN to your token."
        )
    if isinstance(error, (RepositoryNotFoundError, HFValidationError)):
        return MimoEdgeError(
            f"{what} is neither a folder here nor a repository on {hub}; check the spelling, "
            "or set HF_TOKEN if it is private."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MimoEdgeError(
            f"{what} cannot be downloaded: the disk of {constants.HF_HUB_CACHE} is full; make "
            "room, or set HF_HOME to a folder on another disk."
        )
    if isinstance(error, LocalEntryNotFoundError):
        cause = error.__cause__
        if cause is None or isinstance(cause, OfflineModeIsEnabled):
            return MimoEdgeError(
                f"{what} is not wholly in the cache {constants.HF_HUB_CACHE} and offline mode "
                "forbids the download; unset HF_HUB_OFFLINE, or give a folder."
            )
        error = cause if isinstance(cause, Exception) else error
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return MimoEdgeError(
            f"{what} cannot be downloaded: {hub} answered with status {status}; try again later, "
            "what has arrived is kept."
        )
    reason = " ".join(str(error).split()) or type(error).__name__
    return MimoEdgeError(
        f"{what} cannot be downloaded from {hub} ({reason}); check the connection and run the "
        "command again, what has arrived is kept."
    )
