"""Recordings → patches, and what the backbone says before each of them.

The model that is being converted hears the recordings and reads them back in the prompts that it
was trained with, so that the patch decoder is calibrated for what it will really get: as the answer
to a request to speak a text, and as the answer of a spoken dialogue, in turns.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mimo_edge.engine import Engine
from mimo_edge.errors import BadInputError, NotSoundError
from mimo_edge.model import MimoAudio
from mimo_edge.prompt import prompts
from mimo_edge.prompt.positions import InterleavedPiece, Positions, concatenate
from mimo_edge.prompt.prompts import Exchange
from mimo_edge.tasks import Overrides

from .patch_decoder import SpokenPatches
from .speech import Clip, no_recordings

__all__ = ["spoken_patches"]

_LOGGER = logging.getLogger(__name__)

_LONGEST_S = 10.0
"""Seconds of a recording that are one utterance."""
_MOST_WORDS = 64
"""Text tokens that are written down of an utterance: 10 seconds have 30 to 40."""
_AT_ONCE = 64
"""Positions whose outputs are in memory at once, each with the logits of the whole vocabulary."""


def spoken_patches(
    engine: Engine, clips: Sequence[Clip], wanted: int, tell: Callable[[int, int], None]
) -> SpokenPatches:
    """About `wanted` patches of the clips, the same share of each; fewer if there are not so many.

    `tell` gets the patches done and the patches wanted.

    Raises:
        MimoEdgeError: none of the clips is a recording of anything.
    """
    hidden: list[NDArray[np.float32]] = []
    codes: list[NDArray[np.int64]] = []
    before: NDArray[np.int64] | None = None
    done = 0
    for text, patches in _utterances(engine, clips, wanted):
        dialogue = before is not None and len(codes) % 2 == 1
        prompt = (
            prompts.conversation([Exchange(request=before)], "speech")
            if dialogue and before is not None
            else prompts.speak(text)
        )
        opening = engine.layout.positions(prompt)
        # Behind the mark that speech begins, which the prompt ends with.
        said = engine.layout.positions([InterleavedPiece(text, patches)])[1:]
        hidden.append(_before_patches(engine, opening, said))
        codes.append(patches)
        before = patches
        done += len(patches)
        tell(min(done, wanted), wanted)
        if done >= wanted:
            break
    if not codes:
        raise no_recordings(clips[0].path.parent if clips else None)
    tell(wanted, wanted)
    return SpokenPatches(
        hidden=np.concatenate(hidden)[:wanted], codes=np.concatenate(codes)[:wanted]
    )


def _utterances(
    engine: Engine, clips: Sequence[Clip], wanted: int
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """(text, patches) of the parts of every clip, until it gave its share."""
    context = engine.backbone.context
    # A request and an answer of this length, and the text between them, have to fit.
    longest = min(_LONGEST_S, engine.hearing.seconds_of(context // 4))
    share = -(-wanted // len(clips))
    for clip in clips:
        given = 0
        try:
            for part in engine.hearing.parts(clip.path, longest):
                patches = engine.hearing.listen_samples(part.samples)
                yield clip.text or _write_down(engine, part.samples), patches
                given += len(patches)
                if given >= share:
                    break
        except NotSoundError:
            _LOGGER.debug("a file of the calibration is no recording")
        except BadInputError as error:  # silent, or damaged: not what somebody hoped for
            _LOGGER.warning("left out of the calibration: %s", error)


def _write_down(engine: Engine, samples: NDArray[np.float32]) -> str:
    """What is said, as far as the model hears it."""
    short = Overrides(max_new_tokens=_MOST_WORDS, seed=0)
    return MimoAudio(engine).transcribe(samples, overrides=short).text


def _before_patches(engine: Engine, prompt: Positions, said: Positions) -> NDArray[np.float32]:
    """The hidden state before every patch of `said`, which follows the prompt: [patches, hidden].

    The state before a position is the output of the position in front of it.
    """
    backbone = engine.backbone
    rows = engine.caches.embed(concatenate([prompt, said])[:-1])
    sequence = backbone.new_sequence()
    try:
        first = len(prompt) - 1
        backbone.evaluate([(sequence, rows[:first], 0)])
        outputs = []
        for start in range(first, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            [found] = backbone.evaluate([(sequence, part, len(part))])
            outputs += [output.hidden for output in found]
    finally:
        sequence.close()
    is_patch = said.text_ids == engine.layout.empty_id
    states: NDArray[np.float32] = np.stack(outputs)[is_patch]
    return states
