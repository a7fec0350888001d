"""What a caller sets differently from the options that a task has by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .errors import BadInputError
from .generation.answer import GenerationOptions
from .stages.sampling import SamplerOptions

__all__ = ["Overrides"]


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What a caller sets differently from the task's own options; None leaves them."""

    temperature: float | None = None
    """Of the text; 0: always the likeliest token."""
    top_p: float | None = None
    top_k: int | None = None
    code_temperature: float | None = None
    """Of the sound; 0 is refused."""
    code_top_p: float | None = None
    code_top_k: int | None = None
    max_new_tokens: int | None = None
    seed: int | None = None

    def apply(self, options: GenerationOptions) -> GenerationOptions:
        """The options with the overrides in place."""
        text = _change(options.text, self.temperature, self.top_p, self.top_k)
        codes = _change(options.codes, self.code_temperature, self.code_top_p, self.code_top_k)
        if codes.takes_best:
            raise BadInputError(
                f"the temperature of the sound is {self.code_temperature}: sound that is always "
                "the likeliest is flat and broken; give at least 0.1, and for the same sound "
                "every time a seed."
            )
        if self.max_new_tokens is not None:
            options = replace(options, max_new_tokens=self.max_new_tokens)
        if self.seed is not None:
            options = replace(options, seed=self.seed)
        return replace(options, text=text, codes=codes)


def _change(
    sampler: SamplerOptions, temperature: float | None, top_p: float | None, top_k: int | None
) -> SamplerOptions:
    if temperature is not None:
        # Who asks for a temperature asks for sampling, but for 0.
        sampler = replace(sampler, temperature=temperature, greedy=False)
    if top_p is not None:
        sampler = replace(sampler, top_p=top_p)
    if top_k is not None:
        sampler = replace(sampler, top_k=top_k)
    return sampler
