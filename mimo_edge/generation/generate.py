"""The events of an answer: text, sound, its end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..prompt.positions import Layout, Positions, concatenate
from ..prompt.text_marks import MarkFilter
from ..prompt.text_tokenizer import Detokenizer, TextTokenizer
from ..stages.audio_tokenizer import AudioTokenizer
from ..stages.backbone_draft import DraftModel
from .answer import GenerationOptions, RunningAnswer, Step
from .drafting.drafts import Drafts
from .drafting.rhythm import Marks
from .events import AudioChunk, Event, TextDelta, TurnEnd, TurnStats
from .given_answer import GivenAnswer
from .position_cache import PositionCache
from .scheduler import Scheduler
from .sound import SoundOptions, SoundThread
from .speech import SpeechSpan
from .text_format import TextFormat

__all__ = ["Generation"]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Makes answers of one model, many at once."""

    scheduler: Scheduler
    tokenizer: TextTokenizer
    layout: Layout
    audio_tokenizer: AudioTokenizer
    speaks: bool
    """Whether the model can decode patches and their sound."""
    keeps_format: bool = False
    """Whether it is trusted to write spoken answers as `TextFormat` says."""
    guess_price: float | None = None
    """What a guess at the next text id costs (`drafting.chance.row_price`); None: never guess."""
    draft_model: DraftModel | None = None

    def steps(
        self,
        cache: PositionCache,
        prompt: Positions,
        options: GenerationOptions,
        *,
        cancel: threading.Event | None = None,
    ) -> Iterator[Step]:
        """The positions of an answer until a stop token (which is one, too), a limit, or `cancel`.

        Raises:
            MimoEdgeError: the prompt does not fit the context, or a stage fails.
        """
        with self.scheduler.running(self._answer(cache, prompt, options, cancel)) as answer:
            yield from self.scheduler.read(answer)

    def events(
        self,
        cache: PositionCache,
        prompt: Positions,
        options: GenerationOptions,
        *,
        cancel: threading.Event | None = None,
        sound: SoundOptions | None = None,
    ) -> Generator[Event, None, None]:
        """Events of one answer, the last of which is `TurnEnd`.

        With `sound`, the speech is decoded beside the generation; otherwise the caller decodes
        the codes of `TurnEnd` when they are complete. Sound that is not decoded yet when the
        answer is cancelled is dropped.

        Raises:
            MimoEdgeError: the prompt does not fit the context, or a stage fails.
        """
        with contextlib.ExitStack() as opened:
            thread = None
            if sound is not None:
                decoder = self.audio_tokenizer.stream(sound.lookahead)
                thread = SoundThread(decoder, self.layout.group_size, sound, cancel)
                opened.callback(thread.close)
            answer = self._answer(cache, prompt, options, cancel)
            opened.enter_context(self.scheduler.running(answer))
            yield from self._events(answer, thread)

    def log_probabilities(
        self,
        cache: PositionCache,
        prompt: Positions,
        text_ids: Sequence[int],
        options: GenerationOptions,
    ) -> NDArray[np.float64]:
        """How likely each of the given ids is behind those before it: natural logarithms [ids].

        Raises:
            MimoEdgeError: it does not fit the context, or a stage fails.
        """
        answer = GivenAnswer(cache, prompt, text_ids, options, self.layout)
        with self.scheduler.running(answer):
            return np.array([step.logprob for step in self.scheduler.read(answer)])

    def _answer(
        self,
        cache: PositionCache,
        prompt: Positions,
        options: GenerationOptions,
        cancel: threading.Event | None,
    ) -> RunningAnswer:
        stops = frozenset(self.tokenizer.id(name) for name in options.stops)
        never = () if self.speaks else (self.layout.empty_id,)
        follows = self.keeps_format and self.speaks
        return RunningAnswer(
            cache,
            prompt,
            options,
            self.layout,
            stops,
            never=never,
            text_format=TextFormat.behind(prompt, self.tokenizer, stops) if follows else None,
            cancel=cancel,
            drafts=self._drafts(prompt, options),
        )

    def _drafts(self, prompt: Positions, options: GenerationOptions) -> Drafts | None:
        if self.guess_price is None:
            return None
        known = [self.tokenizer.encode(text) for text in options.repeats]
        marks = Marks(
            patch=self.layout.empty_id,
            speech=self.tokenizer.id("<|sostm|>"),
            text_end=self.tokenizer.id("<|eot|>"),
            speech_end=self.tokenizer.id("<|eostm|>"),
        )
        return Drafts(prompt.text_ids, marks, known, price=self.guess_price, model=self.draft_model)

    def _events(self, answer: RunningAnswer, sound: SoundThread | None) -> Iterator[Event]:
        detokenizer, shown = Detokenizer(self.tokenizer), MarkFilter(answer.options.marks)
        speech = SpeechSpan.behind(answer.prompt, self.tokenizer)
        stops = {self.tokenizer.id(name) for name in answer.options.stops}
        said: list[Step] = []
        logprobs: list[float] = []
        for step in self.scheduler.read(answer):
            if step.logprob is not None:
                logprobs.append(step.logprob)
            if sound is not None and speech.holds(step.text_id) and step.patch is not None:
                sound.push(step.patch)
            if step.text_id not in stops:
                said.append(step)
                if text := shown.push(detokenizer.push(step.text_id)):
                    yield TextDelta(text=text)
            if sound is not None:
                yield from (AudioChunk(samples=samples) for samples in sound.ready())
        if text := shown.push(detokenizer.finish()) + shown.finish():
            yield TextDelta(text=text)
        if sound is not None and answer.reason != "cancelled":
            yield from (AudioChunk(samples=samples) for samples in sound.finish())
        end = replace(self._end(answer, said), marks=shown.found)
        if answer.options.logprobs:
            end = replace(end, logprobs=np.array(logprobs))
        yield end

    def _end(self, answer: RunningAnswer, said: list[Step]) -> TurnEnd:
        assert answer.reason is not None  # its steps were read to their end
        positions = concatenate([self.layout.text([]), *map(self._position, said)])
        patches = sum(step.patch is not None for step in said)
        config, clock = self.audio_tokenizer.config, answer.clock
        return TurnEnd(
            reason=answer.reason,
            text_ids=positions.text_ids,
            codes=positions.codes,
            spoken=SpeechSpan.behind(answer.prompt, self.tokenizer).mask(positions.text_ids),
            stats=TurnStats(
                prompt_positions=len(answer.prompt),
                cached_positions=answer.cached,
                text_tokens=len(said) - patches,
                patches=patches,
                prefill_seconds=clock.prefill,
                backbone_seconds=clock.backbone,
                patch_seconds=clock.patch,
                audio_seconds=patches
                * self.layout.group_size
                * config.samples_per_step
                / config.sample_rate,
                readings=answer.readings.count,
                guessing_readings=answer.readings.guessing,
                guessed_tokens=answer.readings.guessed,
                accepted_tokens=answer.readings.accepted,
            ),
        )

    def _position(self, step: Step) -> Positions:
        if step.patch is None:
            return self.layout.text([step.text_id])
        return self.layout.audio(step.patch[None])
