"""Bringing a bundle to a repository of a hub, in one commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RevisionNotFoundError

from mimo_edge.bundle.documents import CARD, COMPANIONS, has_own_card
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import MANIFEST_FILE, Manifest
from mimo_edge.bundle.replacement import BUNDLE_FILES

from ..card import model_card
from ..checkpoints.hub_errors import check_token, explained
from .listed import check_hashes, listed_files

__all__ = ["Pushed", "push"]


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """Where a bundle is to be found."""

    repository: str
    commit: str
    fingerprint: str
    """What whoever fetches it can compare: the hash of all its files' hashes."""


def push(
    bundle: Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Pushed:
    """Upload a bundle with its model card and licence.

    The repository is made if there is none, and so is the branch `revision`.

    Files that the hub has are not sent again. Until all have arrived, the repository shows what it
    showed before.

    Raises:
        MimoEdgeError: the bundle is damaged, or the hub cannot be reached or refuses.
    """
    tell = tell or (lambda what: None)
    manifest = load_manifest(bundle)
    tell("comparing hashes")
    check_hashes(bundle, manifest)
    tell("uploading")
    with explained(f"the bundle for {repository}", revision, done="uploaded"):
        check_token()
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        there = _branch_files(api, repository, revision)
        files = _operations(bundle, manifest, repository)
        sent = {operation.path_in_repo for operation in files}
        old = sorted((there & (BUNDLE_FILES | set(COMPANIONS))) - sent)
        result = api.create_commit(
            repository,
            [*files, *(CommitOperationDelete(path_in_repo=name) for name in old)],
            commit_message=f"{manifest.name}, recipe {manifest.recipe}",
            revision=revision,
        )
    return Pushed(repository=repository, commit=str(result.oid), fingerprint=manifest.fingerprint())


def _branch_files(api: HfApi, repository: str, branch: str | None) -> set[str]:
    """What lies on the branch, which is made if there is none of that name."""
    try:
        return set(api.list_repo_files(repository, revision=branch))
    except RevisionNotFoundError:
        if branch is None:
            raise
        api.create_branch(repository, branch=branch)
        return set(api.list_repo_files(repository, revision=branch))


def _operations(bundle: Path, manifest: Manifest, repository: str) -> list[CommitOperationAdd]:
    names = [file.name for file in listed_files(bundle, manifest)] + [MANIFEST_FILE]
    names += [name for name in COMPANIONS if name not in names and (bundle / name).is_file()]
    files: dict[str, str | bytes] = {name: str(bundle / name) for name in names}
    if CARD not in names or _is_as_converted(bundle, manifest):
        files[CARD] = model_card(manifest, bundle, repository).encode()
    return [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in files.items()
    ]


def _is_as_converted(bundle: Path, manifest: Manifest) -> bool:
    """Whether the card is the one that a conversion wrote, and nobody has added to it."""
    return has_own_card(bundle) and (bundle / CARD).read_bytes() == (
        model_card(manifest, bundle).encode()
    )
