"""Bringing a bundle to a repository of a hub, in one commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from mimo_edge.bundle.files import file_sha256, load_manifest
from mimo_edge.bundle.manifest import MANIFEST_FILE, Manifest
from mimo_edge.bundle.replacement import BUNDLE_FILES, COMPANIONS
from mimo_edge.errors import BadBundleError

from ..checkpoints.hub_errors import check_token, explained

__all__ = ["Pushed", "check_hashes", "model_card", "push"]

_CARD = "README.md"


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
    """Upload a bundle with its model card and licence; the repository is made if there is none.

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
        there = set(api.list_repo_files(repository, revision=revision))
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


def check_hashes(bundle: Path, manifest: Manifest) -> None:
    """Read every file and compare its hash.

    Raises:
        BadBundleError: one is not the listed file.
    """
    for file in manifest.files:
        if file_sha256(bundle / file.name) != file.sha256:
            raise BadBundleError(
                f"{bundle / file.name} has another hash than the manifest lists: it is damaged; "
                "copy it again or convert again."
            )


def _operations(bundle: Path, manifest: Manifest, repository: str) -> list[CommitOperationAdd]:
    names = [*(file.name for file in manifest.files), MANIFEST_FILE]
    names += [name for name in COMPANIONS if (bundle / name).is_file()]
    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(bundle / name)) for name in names
    ]
    if _CARD not in names:
        card = model_card(manifest, repository).encode()
        operations.append(CommitOperationAdd(path_in_repo=_CARD, path_or_fileobj=card))
    return operations


def model_card(manifest: Manifest, repository: str) -> str:
    """What a repository says of a bundle that has no model card of its own, in Markdown."""
    sources = sorted({file.name.rpartition("/")[0] for file in manifest.source})
    bases = "".join(f"- {name}\n" for name in sources if name.count("/") == 1)
    commits = sorted({file.revision for file in manifest.source if file.revision})
    rows = "".join(f"| {f.name} | {f.size} | `{f.sha256}` |\n" for f in manifest.files)
    return (
        "---\nlibrary_name: mimo_edge\ntags:\n- mimo_edge\n- gguf\n- onnx\n- speech\n"
        + (f"base_model:\n{bases}" if bases else "")
        + f"---\n\n# {manifest.name}, recipe {manifest.recipe}\n\n"
        f"A bundle of mimo_edge {version('mimo-edge')}, converted from "
        f"{' and '.join(sources) or 'a checkpoint'}"
        + (f" (commits {', '.join(commits)})" if commits else "")
        + ". The licence of that model applies to it.\n\n```sh\n"
        f"mimo-edge pull {repository} -o bundle --fingerprint {manifest.fingerprint()}\n```\n\n"
        f"| file | bytes | SHA-256 |\n| --- | --- | --- |\n{rows}"
    )
