"""Checkpoint folders → bundle folder, whole or not at all.

Everything is written into a hidden folder beside the target, which gets its name at the
end; the manifest, without which no folder is a bundle, is written last.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mimo_edge.config import (
    BACKBONE_FILE,
    CODE_EMBEDDINGS_FILE,
    GRAPHS,
    HIDDEN_DOWNCAST_FILE,
    MANIFEST_FILE,
    Manifest,
)
from mimo_edge.errors import MimoEdgeError

from .backbone import expected_backbone_tensors, write_backbone
from .gguf_file import Progress
from .manifest import make_manifest
from .patch_decoder import decoder_input_tables
from .recipes import Recipe, build_graph, part_sizes
from .source import Source
from .tensors import RecordedWeights

__all__ = ["check_target", "convert"]

_LOGGER = logging.getLogger(__name__)

_LITTLE_SPACE = 64 << 20
"""Bytes free, under which a failed write is blamed on the disk."""


def convert(
    source: Source,
    out: Path,
    recipe: Recipe,
    *,
    name: str,
    imatrix: Path | None = None,
    threads: int = 0,
    force: bool = False,
    progress: Progress | None = None,
    verify: Callable[[Path, Manifest], None] | None = None,
) -> Manifest:
    """Write the bundle `out`; `verify` is called with the finished folder before it gets its name.

    Raises:
        MimoEdgeError: `out` is in the way, the disk is full, or a part cannot be made.
    """
    tell = progress or (lambda stage, done, total: None)
    check_target(out, force=force)
    work = out.with_name(f".{out.name}.partial")
    with _working_folder(work, out):
        _check_room(source, recipe, out)
        parameters = _write_parts(source, work, recipe, name, imatrix, threads, tell)
        manifest = make_manifest(source, work, recipe, name, parameters, tell)
        if verify:
            verify(work, manifest)
        (work / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
        _put_in_place(work, out)
    return manifest


def check_target(out: Path, *, force: bool) -> None:
    """Raise MimoEdgeError if `out` is taken: a bundle needs `force`, anything else stays."""
    if not out.exists():
        return
    if out.is_dir() and (out / MANIFEST_FILE).is_file():
        if not force:
            raise MimoEdgeError(f"{out} is a bundle already; give --force to replace it.")
        return
    if not out.is_dir() or any(out.iterdir()):
        raise MimoEdgeError(f"{out} exists and is no bundle; choose another --out.")


def _write_parts(
    source: Source,
    work: Path,
    recipe: Recipe,
    name: str,
    imatrix: Path | None,
    threads: int,
    tell: Progress,
) -> dict[str, int]:
    """Write all files but the manifest; file name → parameters it holds."""
    write_backbone(
        source.language_checkpoint,
        source.language,
        source.text,
        work / BACKBONE_FILE,
        type=recipe.backbone,
        name=name,
        imatrix=imatrix,
        threads=threads,
        progress=tell,
    )
    shapes = expected_backbone_tensors(source.language).values()
    parameters = {BACKBONE_FILE: sum(int(np.prod(shape)) for shape in shapes)}
    for graph in GRAPHS:
        parameters |= _write_graph(source, work, graph, recipe, tell)
    weights = RecordedWeights(source.language_checkpoint)
    table, downcast = decoder_input_tables(weights, source.language)
    np.save(work / CODE_EMBEDDINGS_FILE, np.ascontiguousarray(table))
    np.save(work / HIDDEN_DOWNCAST_FILE, np.ascontiguousarray(downcast))
    parameters[CODE_EMBEDDINGS_FILE] = 0
    parameters[HIDDEN_DOWNCAST_FILE] = int(downcast.size)
    return parameters


def _write_graph(
    source: Source, work: Path, name: str, recipe: Recipe, tell: Progress
) -> dict[str, int]:
    weights = {
        "audio": RecordedWeights(source.audio_checkpoint),
        "language": RecordedWeights(source.language_checkpoint),
    }
    precision: Any = recipe.precisions()[name]
    graph = build_graph(name, precision, lambda part: weights[part], source.language, source.audio)
    total, done = graph.weight_bytes(), 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        tell(f"writing {name}", done, total)

    _LOGGER.debug("writing %s as %s", name, precision)
    path = work / f"{name}.onnx"
    graph.save(path, advance)
    tell(f"writing {name}", total, total)  # the smallest tensors lie in the graph, unannounced
    return {path.name: 0, f"{path.name}.data": sum(w.parameters() for w in weights.values())}


def _check_room(source: Source, recipe: Recipe, out: Path) -> None:
    """Fail before the first byte if the disk cannot hold the bundle and the intermediate GGUF."""
    sizes = part_sizes(recipe, source.language, source.audio)
    names = expected_backbone_tensors(source.language)
    intermediate = sum(source.language_checkpoint.info(name).nbytes for name in names)
    float_types = ("f32", "f16", "bf16")
    needed = sum(sizes.values()) + (0 if recipe.backbone in float_types else intermediate)
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise MimoEdgeError(
            f"{out.parent} has {free / 1e9:.1f} GB free and the conversion needs "
            f"{needed / 1e9:.1f} GB; free some disk or choose a smaller --recipe."
        )


@contextmanager
def _working_folder(work: Path, out: Path) -> Iterator[None]:
    """A fresh folder, removed afterwards whatever happens; one that a kill left goes first."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        yield
    except OSError as error:
        # NumPy's short writes carry no errno.
        if error.errno == errno.ENOSPC or (
            error.errno is None and shutil.disk_usage(out.parent).free < _LITTLE_SPACE
        ):
            raise MimoEdgeError(
                f"the disk of {out.parent} is full; free some and run the same command again."
            ) from error
        raise MimoEdgeError(
            f"{error.filename or out} cannot be written ({error.strerror or error}); "
            "choose another --out or mend its permissions."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _put_in_place(work: Path, out: Path) -> None:
    """Rename; a bundle of that name steps aside first and goes last."""
    aside = out.with_name(f".{out.name}.replaced")
    shutil.rmtree(aside, ignore_errors=True)
    if out.exists():
        out.rename(aside)
    try:
        work.rename(out)
    except BaseException:
        if aside.exists():
            aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)
