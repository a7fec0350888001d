"""Checkpoint folders → bundle folder, whole or not at all.

Everything is written into a hidden folder inside the target, and moved up at the end; the
manifest, without which no folder is a bundle, comes last. See `target`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from mimo_edge.bundle.documents import CARD
from mimo_edge.bundle.manifest import (
    BACKBONE_FILE,
    CODE_EMBEDDINGS_FILE,
    HIDDEN_DOWNCAST_FILE,
    MANIFEST_FILE,
    SPEAKING_PARTS,
    Manifest,
)

from .backbone.gguf_file import Progress
from .backbone.patch_stacks import write_patch_stack
from .backbone.writing import copy_bytes, expected_backbone_tensors, write_backbone
from .calibration.importance import backbone_importance
from .calibration.run import rounded_patch_decoder
from .calibration.speech import calibration_clips, check_folder
from .card import model_card
from .checkpoints.source import Source
from .checkpoints.tensors import RecordedWeights
from .documents import copy_documents
from .graphs.blocks import Packed
from .graphs.linear import CalibratedWeights
from .graphs.patch_decoder import decoder_input_tables
from .manifest import check_source, listening_manifest, make_manifest
from .memory import look_at_memory, memory_explained
from .recipes import Recipe, build_graph, fitting_recipe
from .room import check_room, conversion_needs
from .target import Target, claim

__all__ = ["convert", "convert_into", "write_decoder_inputs", "write_graph"]

_LOGGER = logging.getLogger(__name__)


def convert(
    source: Source,
    out: Path,
    recipe: Recipe,
    *,
    name: str,
    imatrix: Path | None = None,
    calibration: Path | None = None,
    threads: int = 0,
    force: bool = False,
    progress: Progress | None = None,
    verify: Callable[[Path, Manifest], None] | None = None,
) -> Manifest:
    """Convert two checkpoints into the bundle `out`, which is there whole or not at all.

    A bundle that is there already is replaced with `force`. `progress` is told the stage, the
    bytes done and all bytes; `verify` gets the finished folder before it takes its place.
    `calibration` is a folder of speech; None: the speech that ships. `imatrix` says which columns
    of the backbone's matrices matter; None: it is measured along that speech. Of a model that was
    never trained to speak, the bundle only listens.

    Raises:
        MimoEdgeError: `out` is in the way, the disk is full, or a part cannot be made.
    """
    with claim(out, force=force) as target:
        return convert_into(
            target,
            source,
            recipe,
            name=name,
            imatrix=imatrix,
            calibration=calibration,
            threads=threads,
            progress=progress,
            verify=verify,
        )


def convert_into(
    target: Target,
    source: Source,
    recipe: Recipe,
    *,
    name: str,
    imatrix: Path | None = None,
    calibration: Path | None = None,
    threads: int = 0,
    progress: Progress | None = None,
    verify: Callable[[Path, Manifest], None] | None = None,
) -> Manifest:
    """Write a bundle; `verify` is called with the finished folder before it takes its place.

    Raises:
        MimoEdgeError: the disk or the memory is full, or a part cannot be made.
    """
    tell = progress or (lambda stage, done, total: None)
    recipe = fitting_recipe(recipe, source.language)
    check_source(source, name)
    check_folder(calibration)
    with memory_explained(), target.working_folder() as work:
        _check_room(source, recipe, target.folder)
        parameters = _write_parts(source, work, recipe, name, imatrix, calibration, threads, tell)
        documents = copy_documents(source, work)
        manifest = make_manifest(source, work, recipe, name, parameters, tell, documents)
        (work / CARD).write_text(model_card(manifest, work), encoding="utf-8", newline="\n")
        if verify:
            verify(work, manifest)
        (work / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _write_parts(
    source: Source,
    work: Path,
    recipe: Recipe,
    name: str,
    imatrix: Path | None,
    calibration: Path | None,
    threads: int,
    tell: Progress,
) -> dict[str, int]:
    """Write all files but the manifest; file name → parameters it holds.

    What listens comes first, the backbone behind it, what speaks last: each is measured or
    rounded for what those before make of the speech.
    """
    shapes = expected_backbone_tensors(source.language).values()
    parameters = {BACKBONE_FILE: sum(int(np.prod(shape)) for shape in shapes)}
    listening = [graph for graph in recipe.graphs if graph not in SPEAKING_PARTS]
    for graph in listening:
        parameters |= write_graph(source, work, graph, recipe, tell)

    def measure(backbone: Path, out: Path) -> None:
        manifest = listening_manifest(source, backbone, recipe)
        backbone_importance(
            calibration_clips(calibration),
            work,
            backbone,
            manifest,
            out,
            threads=threads,
            progress=tell,
        )

    write_backbone(
        source.language_checkpoint,
        source.language,
        source.text,
        work / BACKBONE_FILE,
        type=recipe.backbone,
        name=name,
        imatrix=imatrix,
        measure=measure,
        threads=threads,
        progress=tell,
    )
    for graph in (name for name in recipe.graphs if name not in listening):
        rounded = {}
        if graph == "patch_decoder" and recipe.patch_decoder == "w4c":
            rounded = rounded_patch_decoder(
                source, work, recipe, folder=calibration, threads=threads, tell=tell
            )
        parameters |= write_graph(source, work, graph, recipe, tell, rounded)
    if recipe.speaks:
        parameters |= write_decoder_inputs(source, work)
    return parameters | write_patch_stacks(source, work, recipe, name, tell, threads=threads)


def write_patch_stacks(
    source: Source, work: Path, recipe: Recipe, name: str, tell: Progress, *, threads: int = 0
) -> dict[str, int]:
    """Write the patch stages that the recipe has as GGUF, too; file name → parameters."""
    parameters: dict[str, int] = {}
    for part, type in recipe.patch_stacks:
        parameters |= write_patch_stack(
            part,
            source.language_checkpoint,
            source.language,
            work,
            type=type,
            name=name,
            threads=threads,
            progress=tell,
        )
    return parameters


def write_decoder_inputs(source: Source, work: Path) -> dict[str, int]:
    """Write the matrices that make the patch decoder's inputs; file name → parameters."""
    weights = RecordedWeights(source.language_checkpoint)
    table, downcast = decoder_input_tables(weights, source.language)
    np.save(work / CODE_EMBEDDINGS_FILE, np.ascontiguousarray(table))
    np.save(work / HIDDEN_DOWNCAST_FILE, np.ascontiguousarray(downcast))
    # The code embeddings are counted with the patch encoder, which holds them, too.
    return {CODE_EMBEDDINGS_FILE: 0, HIDDEN_DOWNCAST_FILE: int(downcast.size)}


def write_graph(
    source: Source,
    work: Path,
    name: str,
    recipe: Recipe,
    tell: Progress,
    rounded: Mapping[str, Packed] = MappingProxyType({}),
) -> dict[str, int]:
    """Write one graph of a bundle; file name → parameters it holds.

    `rounded` are matrices that calibration rounded, by tensor; others of few bits are rounded to
    the nearest.
    """
    weights = {
        "audio": RecordedWeights(source.audio_checkpoint),
        "language": RecordedWeights(source.language_checkpoint),
    }
    precision: Any = recipe.precisions()[name]
    calibrated = {part: CalibratedWeights(weights[part], rounded) for part in weights}
    graph = build_graph(
        name, precision, lambda part: calibrated[part], source.language, source.audio
    )
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
    copied = copy_bytes(source.language_checkpoint, source.language)
    needs = conversion_needs(out, recipe, source.language, source.audio, backbone_bytes=copied)
    check_room(needs)
    look_at_memory(needs[0].size)
