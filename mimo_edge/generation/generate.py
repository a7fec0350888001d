"""The interleaved loop over text and patches (report, section 4; reference: `slm_sample`).

generate_steps   one position after the other
stream           the same as events: text, sound, end of the turn
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import MimoEdgeError
from ..prompt.positions import Layout, Positions, concatenate
from ..prompt.text_tokenizer import Detokenizer, TextTokenizer
from ..stages.audio_tokenizer import AudioTokenizer
from ..stages.patch_decoder import PatchDecoder
from ..stages.sampling import SamplerOptions, sample
from .events import AudioChunk, Event, StopReason, TextDelta, TurnEnd, TurnStats
from .position_cache import PositionCache
from .sound import SoundOptions, SoundThread

__all__ = ["GenerationOptions", "Stages", "Step", "generate_steps", "stream"]


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How an answer is sampled and when it ends."""

    text: SamplerOptions
    codes: SamplerOptions
    stops: tuple[str, ...]
    """Control tokens that end the answer."""
    max_new_tokens: int = 2048
    """Positions: text tokens and patches together."""
    seed: int | None = None
    """None: another answer every time."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        if self.max_new_tokens < 1:
            raise MimoEdgeError(
                f"the longest answer is {self.max_new_tokens} positions; give 1 or more."
            )
        if self.seed is not None and self.seed < 0:
            raise MimoEdgeError(f"the seed is {self.seed}; give 0 or more.")


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The parts of a model that a generation runs through."""

    tokenizer: TextTokenizer
    layout: Layout
    patch_decoder: PatchDecoder
    audio_tokenizer: AudioTokenizer


@dataclass(frozen=True)
class Step:
    """One generated position."""

    text_id: int
    patch: NDArray[np.int64] | None
    """[group, channels] if the text id is `<|empty|>`."""


@dataclass
class _Clock:
    """Seconds spent per stage, filled in while steps are made."""

    prefill: float = 0.0
    backbone: float = 0.0
    patch: float = 0.0
    cached: int = 0
    reason: StopReason = "stop"


def generate_steps(
    cache: PositionCache,
    prompt: Positions,
    stages: Stages,
    options: GenerationOptions,
    *,
    cancel: threading.Event | None = None,
    clock: _Clock | None = None,
) -> Iterator[Step]:
    """Yield positions until a stop token (which is yielded too), a limit, or `cancel`.

    A position enters the cache only when the next one is asked for, so whatever ends the
    generation, the cache holds what was generated before.
    """
    clock = clock or _Clock()
    rng = np.random.default_rng(options.seed)
    stops = {stages.tokenizer.id(name) for name in options.stops}
    start = time.perf_counter()
    output, clock.cached = cache.prefill(prompt, cancel)
    clock.prefill = time.perf_counter() - start
    if output is None:
        clock.reason = "cancelled"
        return
    for count in range(options.max_new_tokens):
        if cancel is not None and cancel.is_set():
            clock.reason = "cancelled"
            return
        start = time.perf_counter()
        text_id = sample(output.logits, options.text, rng)
        patch = None
        middle = time.perf_counter()
        if text_id == stages.layout.empty_id:
            patch = stages.patch_decoder.decode(output.hidden, options.codes, rng)
        end = time.perf_counter()
        clock.backbone += middle - start
        clock.patch += end - middle
        yield Step(text_id, patch)
        if text_id in stops:
            clock.reason = "stop"
            return
        if count + 1 == options.max_new_tokens:
            clock.reason = "length"
            return
        if not cache.room:
            clock.reason = "context"
            return
        start = time.perf_counter()
        if patch is None:
            output = cache.append(stages.layout.text([text_id]))
        else:
            output = cache.append(stages.layout.audio(patch[None]))
        clock.backbone += time.perf_counter() - start


@dataclass
class _Answer:
    """What a running generation has produced."""

    stages: Stages
    sound: SoundThread | None
    runs: list[Positions] = field(default_factory=list)
    patches: int = 0
    speech_ended: bool = False

    def add(self, step: Step) -> None:
        layout = self.stages.layout
        if step.patch is None:
            self.runs.append(layout.text([step.text_id]))
        else:
            self.runs.append(layout.audio(step.patch[None]))
            self.patches += 1

    def hear(self, step: Step) -> None:
        """Have the step's patch decoded, if it belongs to the speech and sound is wanted."""
        if step.text_id == self.stages.tokenizer.id("<|eostm|>"):
            self.speech_ended = True
        if self.sound is not None and step.patch is not None and not self.speech_ended:
            self.sound.push(step.patch)


def stream(
    cache: PositionCache,
    prompt: Positions,
    stages: Stages,
    options: GenerationOptions,
    *,
    cancel: threading.Event | None = None,
    sound: SoundOptions | None = None,
) -> Generator[Event, None, None]:
    """Events of one answer, the last of which is `TurnEnd`.

    With `sound`, the speech is decoded beside the generation; otherwise the caller decodes the
    codes of `TurnEnd` when they are complete. Sound that is not decoded yet when the answer is
    cancelled is dropped.
    """
    with contextlib.ExitStack() as opened:
        thread = None
        if sound is not None:
            decoder = stages.audio_tokenizer.stream(sound.lookahead)
            thread = SoundThread(decoder, stages.layout.group_size, sound, cancel)
            opened.callback(thread.close)
        yield from _events(cache, prompt, _Answer(stages, thread), options, cancel)


def _events(
    cache: PositionCache,
    prompt: Positions,
    answer: _Answer,
    options: GenerationOptions,
    cancel: threading.Event | None,
) -> Iterator[Event]:
    clock, stages, sound = _Clock(), answer.stages, answer.sound
    detokenizer = Detokenizer(stages.tokenizer)
    stops = {stages.tokenizer.id(name) for name in options.stops}
    for step in generate_steps(cache, prompt, stages, options, cancel=cancel, clock=clock):
        answer.hear(step)
        if step.text_id not in stops:
            answer.add(step)
            if text := detokenizer.push(step.text_id):
                yield TextDelta(text=text)
        if sound is not None:
            yield from (AudioChunk(samples=samples) for samples in sound.ready())
    if text := detokenizer.finish():
        yield TextDelta(text=text)
    if sound is not None and clock.reason != "cancelled":
        yield from (AudioChunk(samples=samples) for samples in sound.finish())
    yield _turn_end(answer, len(prompt), clock)


def _turn_end(answer: _Answer, prompt_positions: int, clock: _Clock) -> TurnEnd:
    stages = answer.stages
    positions = concatenate([stages.layout.text([]), *answer.runs])
    config = stages.audio_tokenizer.config
    group = positions.codes.shape[1]
    return TurnEnd(
        reason=clock.reason,
        text_ids=positions.text_ids,
        codes=positions.codes,
        stats=TurnStats(
            prompt_positions=prompt_positions,
            cached_positions=clock.cached,
            text_tokens=len(positions) - answer.patches,
            patches=answer.patches,
            prefill_seconds=clock.prefill,
            backbone_seconds=clock.backbone,
            patch_seconds=clock.patch,
            audio_seconds=answer.patches * group * config.samples_per_step / config.sample_rate,
        ),
    )
