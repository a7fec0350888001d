"""Kinds of mutants of a bundle; the manifest is made to fit, unless they are to be noticed."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from mimo_edge.bundle.files import file_sample, file_sha256
from mimo_edge.bundle.manifest import CHECKSUM_KEY, MANIFEST_FILE, checksum

from .damage import damage
from .gguf_files import mutate_gguf
from .mutant import Mutant, World, link_folder, run_bundle
from .npy_files import mutate_npy
from .onnx_files import mutate_graph, mutate_weights
from .values import dump, edit_json

__all__ = ["foreign_gguf", "foreign_graph", "foreign_manifest", "foreign_matrix", "noticed"]


def noticed(rng: Random, folder: Path, world: World) -> Mutant:
    """Any file damaged, and the checksums left as they are."""
    name = rng.choice(sorted(path.name for path in world.bundle.iterdir()))
    content, what = damage(rng, (world.bundle / name).read_bytes())
    _place(folder, world, name, content)
    run = run_bundle(rng, world, name)
    if rng.random() < 0.2:
        run["arguments"] = ("info", "bundle", "--verify")
    return Mutant(what=f"{name}: {what}", content=content, **run)


def foreign_manifest(rng: Random, folder: Path, world: World) -> Mutant:
    """A manifest with another value, whose own checksum fits."""
    values = _manifest(world.bundle)
    values, what = edit_json(rng, values)
    link_folder(world.bundle, folder / "bundle", MANIFEST_FILE)
    content = _write_manifest(folder / "bundle", values)
    return Mutant(what=what, content=content, **run_bundle(rng, world, MANIFEST_FILE))


def foreign_gguf(rng: Random, folder: Path, world: World) -> Mutant:
    """A GGUF with other metadata, another table of tensors or other bytes."""
    content, what, moved = mutate_gguf(rng, world.bundle / "backbone.gguf")
    _place(folder, world, "backbone.gguf", content, fits=True, moved=moved)
    return Mutant(what=what, content=content, **run_bundle(rng, world, "backbone.gguf"))


def foreign_graph(rng: Random, folder: Path, world: World) -> Mutant:
    """A graph with other operators, constants, shapes or weights."""
    path = world.bundle / rng.choice(sorted(path.name for path in world.bundle.glob("*.onnx")))
    if rng.random() < 0.25:
        path = path.with_name(f"{path.name}.data")
        content, what = mutate_weights(rng, path.read_bytes())
    else:
        content, what = mutate_graph(rng, path)
    _place(folder, world, path.name, content, fits=True)
    return Mutant(what=f"{path.name}: {what}", content=content, **run_bundle(rng, world, path.name))


def foreign_matrix(rng: Random, folder: Path, world: World) -> Mutant:
    """A matrix of another type, another shape or with values out of any range."""
    path = rng.choice(sorted(world.bundle.glob("*.npy")))
    content, what = mutate_npy(rng, path.read_bytes())
    _place(folder, world, path.name, content, fits=True)
    return Mutant(what=f"{path.name}: {what}", content=content, **run_bundle(rng, world, path.name))


def _place(
    folder: Path, world: World, name: str, content: bytes, *, fits: bool = False, moved: int = 0
) -> None:
    """The bundle with one other file; with `fits`, its manifest says so."""
    bundle = folder / "bundle"
    link_folder(world.bundle, bundle, name, MANIFEST_FILE)
    (bundle / MANIFEST_FILE).write_bytes((world.bundle / MANIFEST_FILE).read_bytes())
    path = bundle / name
    path.write_bytes(content)
    if fits:
        values = _manifest(world.bundle)
        values["backbone"]["embedding_offset"] += moved
        for file in values["files"]:
            if file["name"] == name:
                file |= {
                    "size": len(content),
                    "sha256": file_sha256(path),
                    "sample": file_sample(path),
                }
        _write_manifest(bundle, values)


def _manifest(bundle: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((bundle / MANIFEST_FILE).read_bytes())
    del values[CHECKSUM_KEY]
    return values


def _write_manifest(bundle: Path, values: dict[str, Any]) -> bytes:
    try:
        values = values | {CHECKSUM_KEY: checksum(values)}
    except UnicodeEncodeError:  # a lone surrogate has no bytes to hash
        values = values | {CHECKSUM_KEY: "0" * 64}
    content = dump(values)
    (bundle / MANIFEST_FILE).write_bytes(content)
    return content
