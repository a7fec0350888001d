"""What the model can be asked to do: prompt, samplers and stops of every task.

The table of the reference (`task_sampler_configs`). Codes are never sampled greedily: that
gives flat, broken speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .errors import MimoEdgeError
from .generation.generate import GenerationOptions
from .prompt import prompts
from .prompt.positions import Piece
from .prompt.prompts import Reply, Turn
from .stages.sampling import SamplerOptions

__all__ = ["Overrides", "Task", "converse", "task"]

Patches = NDArray[np.int64]

_CODES = SamplerOptions(temperature=0.9, top_p=0.95)
_TEXT_ENDS = ("<|endoftext|>", "<|im_end|>")
_SPEECH_ENDS = ("<|endoftext|>", "<|eostm|>", "<|im_end|>")


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
            raise MimoEdgeError(
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


@dataclass(frozen=True, kw_only=True)
class Task:
    """A prompt and how to answer it."""

    name: str
    pieces: Sequence[Piece]
    options: GenerationOptions
    speaks: bool
    """Whether the answer may hold speech."""


def _options(
    text: SamplerOptions, stops: tuple[str, ...], codes: SamplerOptions = _CODES
) -> GenerationOptions:
    return GenerationOptions(text=text, codes=codes, stops=stops)


_OPTIONS = {
    "transcribe": _options(SamplerOptions(greedy=True), _TEXT_ENDS),
    "speak": _options(SamplerOptions(temperature=0.6), _SPEECH_ENDS),
    "understand": _options(SamplerOptions(temperature=0.3, top_p=0.95), _TEXT_ENDS),
    "spoken dialogue": _options(SamplerOptions(temperature=0.6, top_p=0.95), _SPEECH_ENDS),
    "speech-to-text dialogue": _options(SamplerOptions(temperature=0.6, top_p=0.95), _TEXT_ENDS),
    "text dialogue": _options(SamplerOptions(temperature=0.4, top_p=0.95), _TEXT_ENDS),
    "few-shot": _options(SamplerOptions(greedy=True), ("<|endoftext|>", "<|eostm|>")),
    "continue": _options(
        SamplerOptions(temperature=0.6, top_k=50, top_p=0.95),
        ("<|endoftext|>", "<|eosp|>", "<|eostm|>"),
        SamplerOptions(temperature=0.9, top_k=50, top_p=0.95),
    ),
}
_SPEAKING = frozenset({"speak", "spoken dialogue", "few-shot", "continue"})


def task(name: str, pieces: Sequence[Piece], overrides: Overrides | None = None) -> Task:
    """A task of the table by its name."""
    options = (overrides or Overrides()).apply(_OPTIONS[name])
    return Task(name=name, pieces=pieces, options=options, speaks=name in _SPEAKING)


def converse(
    turns: Sequence[Turn],
    reply: Reply,
    *,
    system: str | None = None,
    voice: Patches | None = None,
    overrides: Overrides | None = None,
) -> Task:
    """The next answer of a conversation; its options follow the last request and the reply."""
    if reply == "speech":
        name = "spoken dialogue"
    else:
        text = isinstance(turns[-1].request, str)
        name = "text dialogue" if text else "speech-to-text dialogue"
    pieces = prompts.conversation(turns, reply, system=system, voice=voice)
    return task(name, pieces, overrides)
