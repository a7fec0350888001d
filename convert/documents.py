"""The licences and model cards of both checkpoints, on their way into the bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mimo_edge.bundle.documents import CARD, LEGAL_TEXTS
from mimo_edge.bundle.manifest import Document
from mimo_edge.bundle.untrusted_json import printable_name
from mimo_edge.errors import BadBundleError

from .checkpoints.origin import Origin
from .checkpoints.source import Source

__all__ = ["copy_documents"]

_LARGEST = 1 << 22
"""Bytes; the cards and licences of models have some kilobytes."""


def copy_documents(source: Source, work: Path) -> tuple[Document, ...]:
    """Copy what lies beside the weights into the folder `work`; what the manifest says of it.

    Of two texts that are the same, one is enough.

    Raises:
        BadBundleError: one cannot be read, or is no text by its size.
    """
    documents: list[Document] = []
    for origin, path, name in _found(source):
        data = _read(path)
        digest = hashlib.sha256(data).hexdigest()
        if digest in {document.sha256 for document in documents}:
            continue
        (work / name).write_bytes(data)
        documents.append(
            Document(
                name=name,
                size=len(data),
                sha256=digest,
                source=printable_name(f"{origin.name}/{path.name}"),
            )
        )
    return tuple(documents)


def _found(source: Source) -> Iterator[tuple[Origin, Path, str]]:
    """Every such file, and what it is called in the bundle."""
    for origin, legal, card in (
        (source.language_origin, "", "README-model.md"),
        (source.audio_origin, "tokenizer-", "README-tokenizer.md"),
    ):
        names = {name: f"{legal}{name}" for name in LEGAL_TEXTS} | {CARD: card}
        for name, ours in names.items():
            if (origin.folder / name).is_file():
                yield origin, origin.folder / name, ours


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise BadBundleError(
                f"{path} has {size} bytes, more than a text about a model; move it out of the "
                "checkpoint's folder."
            )
        return path.read_bytes()
    except OSError as error:
        raise BadBundleError(
            f"{path} cannot be read ({error.strerror or error}); mend its permissions, or move it "
            "out of the checkpoint's folder."
        ) from error
