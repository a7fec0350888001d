"""Calibration of a bundle that is half made: its parts that listen hear and read the speech."""

from __future__ import annotations

import logging
from pathlib import Path

from mimo_edge.bundle.manifest import BACKBONE_FILE
from mimo_edge.engine import Engine
from mimo_edge.stages.machine.runtime_options import RuntimeOptions

from ..backbone.gguf_file import Progress
from ..checkpoints.source import Source
from ..checkpoints.tensors import RecordedWeights
from ..graphs.blocks import Packed
from ..manifest import listening_manifest
from ..recipes import Recipe
from .hidden_states import spoken_patches
from .patch_decoder import calibrate_patch_decoder, patches_wanted
from .speech import calibration_clips

__all__ = ["rounded_patch_decoder"]

_LOGGER = logging.getLogger(__name__)
_CONTEXT = 512


def rounded_patch_decoder(
    source: Source,
    work: Path,
    recipe: Recipe,
    *,
    folder: Path | None,
    threads: int,
    tell: Progress,
) -> dict[str, Packed]:
    """The patch decoder's matrices, rounded for the speech in `folder` (None: what ships).

    `work` holds the backbone and the graphs that listen, as they will be used.

    Raises:
        MimoEdgeError: the folder holds no speech, or the parts do not run.
    """
    clips = calibration_clips(folder)
    manifest = listening_manifest(source, work / BACKBONE_FILE, recipe)
    context = min(_CONTEXT, manifest.backbone.max_positions)
    options = RuntimeOptions(threads=threads, context=context, conversations=1)
    engine = Engine.load(work, options, manifest)
    try:
        spoken = spoken_patches(
            engine,
            clips,
            patches_wanted(source.language),
            lambda done, total: tell("listening", done, total),
        )
    finally:
        engine.close()
    _LOGGER.info("calibrating with %d patches of speech", len(spoken.codes))
    return calibrate_patch_decoder(
        RecordedWeights(source.language_checkpoint),
        source.language,
        spoken,
        recipe.patch_decoder,
        lambda done, total: tell("calibrating patch_decoder", done, total),
    )
