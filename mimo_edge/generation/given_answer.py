"""An answer whose text is given: nothing is drawn, it only tells how likely every id was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..prompt.positions import Layout, Positions
from ..stages.llama.batch import BackboneOutput
from .answer import GenerationOptions, RunningAnswer
from .position_cache import PositionCache

__all__ = ["GivenAnswer"]


class GivenAnswer(RunningAnswer):
    """Takes the text ids it is given one by one; each `Step.logprob` is that of the model."""

    def __init__(
        self,
        cache: PositionCache,
        prompt: Positions,
        text_ids: Sequence[int],
        options: GenerationOptions,
        layout: Layout,
    ) -> None:
        """At least one id, none of which is that of a patch."""
        options = replace(options, logprobs=True, max_new_tokens=len(text_ids))
        super().__init__(cache, prompt, options, layout, frozenset())
        self._text_ids = text_ids

    def _draw(self, output: BackboneOutput) -> int:
        return self._text_ids[self.generated]
