"""Answers whose text is given, id by id, so that what is measured does not depend on the weights.

Random weights would never say a text as it was given, and end where they like.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine import Engine
from ..generation.answer import GenerationOptions, RunningAnswer
from ..generation.drafting.drafts import Drafts
from ..generation.drafting.rhythm import Marks
from ..generation.position_cache import PositionCache
from ..prompt.positions import PATCH_RUN, TEXT_RUN, Positions
from ..stages.llama.batch import BackboneOutput
from ..stages.sampling import SamplerOptions

__all__ = ["ForcedAnswer", "speech_prompt", "spoken_ids"]

_SAMPLING = GenerationOptions(
    text=SamplerOptions(temperature=0.6, top_p=0.95),
    codes=SamplerOptions(temperature=0.9, top_p=0.95),
    stops=(),
    seed=0,
)
_PROMPT_IDS, _SPOKEN_IDS = (0, 200), (200, 256)
"""Ordinary tokens of every vocabulary; different ones, so that nothing is guessed from the prompt.
"""


class ForcedAnswer(RunningAnswer):
    """Says the text ids it is given; its patches are drawn as ever."""

    def __init__(
        self,
        engine: Engine,
        cache: PositionCache,
        prompt: Positions,
        text_ids: Sequence[int],
        *,
        known: bool = False,
    ) -> None:
        """`known`: whether the text was given, as to `speak`, so that it can be guessed."""
        words = [each for each in text_ids if _SPOKEN_IDS[0] <= each < _SPOKEN_IDS[1]]
        super().__init__(
            cache,
            prompt,
            _SAMPLING,
            engine.layout,
            frozenset(),
            drafts=_drafts(engine, prompt, [words] if known else []),
        )
        self._text_ids = text_ids
        self._vocabulary = engine.manifest.backbone.vocab_size
        self._chooses_patches = not engine.generation.keeps_format

    @property
    def _next_id(self) -> int:
        """The text id of the next position; at the end the last one goes on."""
        return self._text_ids[min(self.generated, len(self._text_ids) - 1)]

    @property
    def wants_logits(self) -> bool:
        """Whether the next text id is one that has to be chosen from all: never that of a patch,
        where the format is relied on."""
        return self._chooses_patches or self._next_id != self._layout.empty_id

    def take(self, output: BackboneOutput) -> bool:
        """Draw the next text id as ever, since that takes time, too; but only one can be drawn."""
        logits = np.full(self._vocabulary, -np.inf, dtype=np.float32)
        logits[self._next_id] = 0
        return super().take(BackboneOutput(logits=logits, hidden=output.hidden))


def speech_prompt(engine: Engine, positions: int) -> Positions:
    """So many positions of text, behind which speech begins."""
    ids = np.random.default_rng(0).integers(*_PROMPT_IDS, positions - 1)
    return engine.layout.text([*ids.tolist(), engine.tokenizer.id("<|sostm|>")])


def spoken_ids(engine: Engine, tokens: int, patches: int) -> list[int]:
    """The text ids of speech in the model's format: runs of text and of patches by turns.

    The last token says that the text is over; the patches that are left follow it.
    """
    words = np.random.default_rng(1).permutation(np.arange(*_SPOKEN_IDS))[: tokens - 1].tolist()
    text = [*words, engine.tokenizer.id("<|eot|>")]
    ids: list[int] = []
    left = patches
    for start in range(0, tokens, TEXT_RUN):
        run = min(PATCH_RUN, left) if start + TEXT_RUN < tokens else left
        ids += [*text[start : start + TEXT_RUN], *[engine.layout.empty_id] * run]
        left -= run
    return ids


def _drafts(engine: Engine, prompt: Positions, known: list[list[int]]) -> Drafts | None:
    price = engine.generation.guess_price
    if price is None:
        return None
    marks = Marks(
        patch=engine.layout.empty_id,
        speech=engine.tokenizer.id("<|sostm|>"),
        text_end=engine.tokenizer.id("<|eot|>"),
        speech_end=engine.tokenizer.id("<|eostm|>"),
    )
    return Drafts(prompt.text_ids, marks, known, price=price)
