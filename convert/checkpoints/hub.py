"""Downloads from the Hugging Face Hub, continued where they stopped, and checked.

They go into huggingface_hub's cache, and the endpoint (HF_ENDPOINT), the token (HF_TOKEN) and
offline mode (HF_HUB_OFFLINE) are its business. Two things are added. It throws away what it had
of a file when it is stopped, and shards have gigabytes, so weights are fetched here first, into
`blobs/{etag}.incomplete`, and are continued there. And it compares sizes only: here every file,
the cached ones included, is compared with the hash that the hub states, and fetched again if it
is another.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import RevisionNotFoundError
from huggingface_hub.file_download import are_symlinks_supported, repo_folder_name
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

from mimo_edge.bundle.documents import CARD, LEGAL_TEXTS
from mimo_edge.errors import BadBundleError, MimoEdgeError

from ..room import Need, check_room
from .checkpoint import CONFIG_FILE, INDEX_FILE, TEXT_TOKENIZER_FILES
from .file_hashes import differing_files, differs, remove_cached
from .hub_errors import HTTP_ERROR, check_token, explained
from .hub_fetch import fetch_rest
from .origin import Kind, Prospect

__all__ = ["download", "look_up_repository"]

_LOGGER = logging.getLogger(__name__)

_WEIGHTS = "*.safetensors"
_TEXTS = (CARD, *LEGAL_TEXTS)
"""What goes into the bundle as it is."""
_PATTERNS: dict[Kind, tuple[str, ...]] = {
    "model": (CONFIG_FILE, *TEXT_TOKENIZER_FILES, INDEX_FILE, _WEIGHTS, *_TEXTS),
    "tokenizer": (CONFIG_FILE, INDEX_FILE, _WEIGHTS, *_TEXTS),
}
_IN_FOLDERS = "*/*"
"""Nothing below the top of a repository is part of the public layout."""
_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class _Weight:
    """One file to fetch and where it goes."""

    url: str
    location: str
    """Where `url` leads: often another host, with a signature that ends soon."""
    size: int
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


def look_up_repository(model: str, *, kind: Kind, revision: str | None) -> Prospect | None:
    """Fetch the configuration and add up what is missing; None if the hub cannot be asked.

    Raises:
        MimoEdgeError: no access, no such revision, or no checkpoint.
    """
    what = f"the {kind} {model}"
    with explained(what, revision):
        check_token()
        info = _ask(model, revision)
        if info is None or info.sha is None:
            return None
        wanted = [file for file in info.siblings or () if _is_needed(file.rfilename, kind)]
        if not any(file.rfilename == CONFIG_FILE for file in wanted):
            raise BadBundleError(
                f"{what} has no {CONFIG_FILE}, so it is not a checkpoint; check the id."
            )
        config = Path(hf_hub_download(model, CONFIG_FILE, revision=info.sha))
        if differs(config, _stated_hashes(info, info.sha).get(CONFIG_FILE)):
            return None  # whoever downloads all of it finds that, too, and mends it
        missing = sum(_missing_bytes(model, info.sha, file) for file in wanted)
        return Prospect(config=config, cache=Path(constants.HF_HUB_CACHE), missing=missing)


def _is_needed(name: str, kind: Kind) -> bool:
    return "/" not in name and any(fnmatch(name, pattern) for pattern in _PATTERNS[kind])


def _missing_bytes(model: str, commit: str, file: RepoSibling) -> int:
    storage = _storage(model)
    if (storage / "snapshots" / commit / file.rfilename).exists():
        return 0
    digest = file.lfs.sha256 if file.lfs else file.blob_id
    partial = storage / "blobs" / f"{digest}.incomplete"
    have = partial.stat().st_size if partial.exists() else 0
    return max((file.size or 0) - have, 0)


def _storage(model: str) -> Path:
    """The repository's folder in the cache."""
    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model")


def download(model: str, *, kind: Kind, revision: str | None, offline: bool) -> Path:
    """The snapshot of a repository in the cache, whole and as the hub states it.

    The folder's name is the commit.

    Raises:
        MimoEdgeError: no access, no connection, no room, or files that arrive damaged each time.
    """
    what = f"the {kind} {model}"
    with explained(what, revision):
        check_token()
        damaged: list[Path] = []
        for _ in range(_ATTEMPTS):
            info = None if offline else _ask(model, revision)
            if info is not None:
                _fetch_weights(model, info)
            folder = Path(
                snapshot_download(
                    model,
                    revision=revision,
                    allow_patterns=list(_PATTERNS[kind]),
                    ignore_patterns=[_IN_FOLDERS],
                    local_files_only=offline,
                )
            )
            damaged = differing_files(folder, _stated_hashes(info, folder.name))
            if not damaged:
                return folder
            names = ", ".join(path.name for path in damaged)
            remove_cached(damaged, Path(constants.HF_HUB_CACHE))
            if offline or constants.HF_HUB_OFFLINE:
                raise BadBundleError(
                    f"{what}: {names} in the cache was damaged and is removed; run the command "
                    "once with a connection to fetch it again."
                )
            _LOGGER.warning("%s: %s is damaged and is fetched again", model, names)
    raise MimoEdgeError(
        f"{what}: {damaged[0].name} arrived damaged {_ATTEMPTS} times: it has not the hash that "
        f"{constants.ENDPOINT} states; nothing of it was kept; try again later, or without the "
        "proxy or mirror in between."
    )


def _ask(model: str, revision: str | None) -> ModelInfo | None:
    """What the hub says about the repository's files; None when it cannot be reached.

    What went wrong is left to `snapshot_download`, which may still find all in its cache.
    """
    try:
        return HfApi().model_info(model, revision=revision, files_metadata=True)
    except RevisionNotFoundError:
        raise
    except (OSError, HTTP_ERROR) as error:
        _LOGGER.debug("%s cannot be asked for its files: %s", model, error)
        return None


def _stated_hashes(info: ModelInfo | None, commit: str) -> dict[str, str]:
    """File → SHA-256, or git's SHA-1 of a small file, as the hub states them for this commit."""
    if info is None or info.sha != commit:
        return {}
    stated = {}
    for file in info.siblings or ():
        if digest := file.lfs.sha256 if file.lfs else file.blob_id:
            stated[file.rfilename] = digest
    return stated


def _fetch_weights(model: str, info: ModelInfo) -> None:
    names = [s.rfilename for s in info.siblings or () if Path(s.rfilename).match(_WEIGHTS)]
    found = (_weight(model, name, str(info.sha)) for name in names if "/" not in name)
    weights = [weight for weight in found if weight is not None and weight.missing]
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    missing = sum(weight.missing for weight in weights)
    check_room([Need(what=f"the download of {model}", folder=cache, size=missing)])
    for weight in weights:
        _fetch(weight)


def _weight(model: str, name: str, commit: str) -> _Weight | None:
    cache, storage = Path(constants.HF_HUB_CACHE), _storage(model)
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
        # Without symbolic links the cache keeps the file itself in the snapshot.
        target=blob if are_symlinks_supported(cache) else snapshot,
        partial=blob.with_name(f"{metadata.etag}.incomplete"),
        lock=cache / ".locks" / storage.name / f"{metadata.etag}.lock",
    )


def _fetch(weight: _Weight) -> None:
    """Download one file, from where an earlier attempt stopped."""
    for path in (weight.lock, weight.partial, weight.target):
        path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(weight.lock):
        if weight.target.exists():
            return
        fetch_rest(weight.url, weight.location, weight.partial, weight.size)
        weight.partial.replace(weight.target)
