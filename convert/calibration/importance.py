"""An importance matrix of the backbone, from recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mimo_edge.bundle.manifest import Manifest

from ..backbone.activations import Passage, measure_importance
from ..backbone.gguf_file import Progress
from .ears import Ears
from .prompts import Utterance, calibration_prompts, equal_shares
from .speech import Clip, no_recordings

__all__ = ["backbone_importance"]

_MOST_POSITIONS = 2048
"""Of all prompts together. More of them hardly change a mean, and each costs as much as a position
of a conversation with the model that is not quantized."""
_LONGEST = 384
"""Positions of a prompt: several prompts to a batch."""
_USES = {"mimo-audio": 4, "mimo-v2.5-asr": 1}
"""Prompts that an utterance's patches are in, about, by whose prompts they are."""


def backbone_importance(
    clips: Sequence[Clip],
    folder: Path,
    backbone: Path,
    manifest: Manifest,
    out: Path,
    *,
    threads: int,
    progress: Progress,
) -> None:
    """Write `out`, an importance matrix of the GGUF `backbone` beside it, measured along speech.

    `folder` holds the graphs that hear; see `Ears.open` for `manifest`.

    Raises:
        MimoEdgeError: no recording can be used, or a part does not run.
    """
    with Ears.open(folder, backbone, manifest, threads=threads) as ears:
        passages = list(_passages(ears, clips, manifest, progress))
    measure_importance(
        backbone,
        passages,
        out,
        threads=threads,
        progress=lambda done, total: progress("measuring the backbone", done, total),
    )


def _passages(
    ears: Ears, clips: Sequence[Clip], manifest: Manifest, progress: Progress
) -> Iterator[Passage]:
    wanted = _MOST_POSITIONS // _USES[manifest.prompts]
    utterances: list[Utterance] = []
    done = 0
    # Of many recordings some of each part of the folder, always the same ones.
    for index in np.random.default_rng(0).permutation(len(clips)):
        if done >= wanted:
            break
        for utterance in ears.hear(clips[index]):
            utterances.append(utterance)
            done += len(utterance.patches)
            progress("hearing speech", min(done, wanted), wanted)
    progress("hearing speech", wanted, wanted)
    if not utterances:
        raise no_recordings(clips[0].path.parent)
    longest = min(_LONGEST, manifest.backbone.max_positions)
    runs = calibration_prompts(ears.layout, utterances, longest=longest, whose=manifest.prompts)
    ends = np.cumsum([len(run) for run in runs])
    runs = runs[: max(1, int((ends <= _MOST_POSITIONS).sum()))]
    for run, weights in zip(runs, equal_shares(runs, ears.layout.empty_id), strict=True):
        yield Passage(embeddings=ears.embed(run), weights=weights)
