"""The parts of an unfinished bundle that turn recordings into what the backbone gets."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mimo_edge.bundle.backbone_check import check_backbone
from mimo_edge.bundle.manifest import Manifest
from mimo_edge.errors import BadInputError, NotSoundError
from mimo_edge.generation.cache_shelf import CacheShelf
from mimo_edge.hearing import Hearing
from mimo_edge.prompt.positions import Layout, Positions
from mimo_edge.prompt.text_tokenizer import TextTokenizer
from mimo_edge.stages.audio_tokenizer import AudioTokenizer
from mimo_edge.stages.backbone import Backbone
from mimo_edge.stages.machine.placement import share_cores, useful_threads
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.stages.patch_encoder import PatchEncoder
from mimo_edge.system.spare_cores import SpareCores

from .prompts import Utterance
from .speech import Clip

__all__ = ["Ears"]

_LOGGER = logging.getLogger(__name__)
_LONGEST_S = 10.0
"""Seconds of a recording that are one utterance."""
_MOST_PARTS = 6
"""Utterances of one recording."""


class Ears:
    """Hears recordings and embeds prompts; evaluates nothing."""

    def __init__(
        self, layout: Layout, hearing: Hearing, backbone: Backbone, patch_encoder: PatchEncoder
    ) -> None:
        self.layout = layout
        self._hearing = hearing
        self._shelf = CacheShelf(backbone, patch_encoder, layout)

    @classmethod
    @contextlib.contextmanager
    def open(
        cls, folder: Path, backbone: Path, manifest: Manifest, *, threads: int = 0
    ) -> Iterator[Ears]:
        """The graphs in `folder` and the vocabulary of the GGUF `backbone`, to its end.

        Of `manifest` only the dimensions and the special tokens matter, not the files.

        Raises:
            MimoEdgeError: a part does not load.
        """
        options = RuntimeOptions(threads=threads, device="cpu")
        place = share_cores(useful_threads(threads), backbone.stat().st_size)
        spare = SpareCores()
        with contextlib.ExitStack() as opened:
            model = Backbone.load(
                backbone,
                check_backbone(backbone, manifest),
                manifest.backbone,
                options,
                place.backbone,
                spare,
            )
            opened.callback(model.close)
            encoder = PatchEncoder.load(folder, manifest, place.patch_encoder)
            opened.callback(encoder.close)
            tokenizer = AudioTokenizer.load(folder, manifest, place, spare)
            opened.callback(tokenizer.close)
            layout = Layout(TextTokenizer(model, manifest.special_tokens), manifest.patch)
            hearing = Hearing(manifest, tokenizer, context=model.context, check_memory=lambda: None)
            yield cls(layout, hearing, model, encoder)

    def hear(self, clip: Clip) -> Iterator[Utterance]:
        """A recording as the model hears it, the beginning of a long one; nothing if it is none."""
        try:
            parts = self._hearing.parts(clip.path, _LONGEST_S)
            for part in itertools.islice(parts, _MOST_PARTS):
                patches = self._hearing.listen_samples(part.samples)
                yield Utterance(patches=patches, text=clip.text)
        except NotSoundError:
            _LOGGER.debug("a file of the calibration is no recording")
        except BadInputError as error:  # silent, or damaged: not what somebody hoped for
            _LOGGER.warning("left out of the calibration: %s", error)

    def embed(self, positions: Positions) -> NDArray[np.float32]:
        """What the backbone gets, [positions, hidden]."""
        return self._shelf.embed(positions)
