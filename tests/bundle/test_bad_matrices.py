"""The patch decoder's two matrices, damaged or made by somebody else, in a bundle that fits."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import CODE_EMBEDDINGS_FILE, HIDDEN_DOWNCAST_FILE

from .test_bad_bundle import complaint, sign


@pytest.fixture
def bundle(default_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle, tmp_path / "bundle"))


def saved(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def zipped(array: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("name", [CODE_EMBEDDINGS_FILE, HIDDEN_DOWNCAST_FILE])
def test_matrices_that_are_none(bundle: Path, name: str) -> None:
    manifest = load_manifest(bundle)
    path = bundle / name
    good, data = np.load(path), path.read_bytes()
    spoiled = good.copy()
    spoiled[-1, -1] = np.nan
    large = np.full_like(good, 3e38)
    infinite = good.copy()
    infinite[0, 0] = -np.inf
    shape = str(good.shape).encode()

    def claims(other: bytes) -> bytes:
        """The same header with another shape, as long as before."""
        padded = data[:128].replace(shape, other).rstrip(b" \n")
        return padded.ljust(127) + b"\n" + data[128:]

    files = [
        *(b"", b"text", data[:64], data[:-4], data + b"more", zipped(good)),
        *(
            saved(spoiled),
            saved(infinite),
            saved(large),
            saved(np.asfortranarray(good)),
            saved(good[:-1]),
        ),
        *(saved(good.astype(kind)) for kind in ("<f8", ">f4", "<f2", "<i4", "?", "S4")),
        *(saved(good.ravel()), saved(good[None]), saved(np.array(1.0, np.float32))),
        saved(np.array([[{}]], dtype=object), allow_pickle=True),
        *map(claims, (b"(-1, 5)", b"(True, 5)", b"(9999999999999, 9)", b"(((((", b"()")),
        data.replace(b"'<f4'", b"'|O8'"),
    ]
    for content in files:
        path.write_bytes(content)
        sign(bundle, manifest)
        assert name in complaint(bundle)
