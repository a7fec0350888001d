"""One answer as a state machine over text and patches (report, section 4; reference: `slm_sample`).

An answer says which positions it needs next (`next_rows`) and takes what the backbone says behind
them (`take`); it owns no thread and runs no stage. The scheduler steps all answers together.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError
from ..prompt.positions import Layout, Positions, concatenate
from ..stages.llama.batch import BackboneOutput
from ..stages.sampling import SamplerOptions, log_probability, sample
from .drafting.drafts import Drafts
from .evaluation import Evaluation, Readings
from .position_cache import New, PositionCache
from .text_format import TextFormat

__all__ = ["GenerationOptions", "RunningAnswer", "Step"]


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
    logprobs: bool = False
    """Whether each step tells how likely its text id was; half a millisecond each in the released
    model."""
    repeats: tuple[str, ...] = ()
    """Forms of a text that the answer speaks, the likeliest first. Only time depends on it: the
    text is guessed, and what was guessed right is not computed one by one."""
    marks: tuple[str, ...] = ()
    """Pieces of text that the model may write for programs, not for people, such as `<english>`:
    they are left out of what is told of the answer's text."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        if self.max_new_tokens < 1:
            raise BadInputError(
                f"the longest answer is {self.max_new_tokens} positions; give 1 or more."
            )
        if self.seed is not None and not (isinstance(self.seed, Integral) and self.seed >= 0):
            raise BadInputError(f"the seed is {self.seed}; give a whole number, 0 or more.")


@dataclass(frozen=True)
class Step:
    """One generated position."""

    text_id: int
    patch: NDArray[np.int64] | None
    """[group, channels] if the text id is `<|empty|>`."""
    logprob: float | None = None
    """Log-probability of the text id, if it was asked for."""


class RunningAnswer(Evaluation):
    """A prompt and what is generated behind it.

    A generated position enters the cache only when the next one is asked for, so whatever ends the
    answer, the cache holds what was generated before its last step.
    """

    def __init__(
        self,
        cache: PositionCache,
        prompt: Positions,
        options: GenerationOptions,
        layout: Layout,
        stops: frozenset[int],
        *,
        never: tuple[int, ...] = (),
        text_format: TextFormat | None = None,
        cancel: threading.Event | None = None,
        drafts: Drafts | None = None,
    ) -> None:
        """An answer to `prompt`, which ends with one of the text ids `stops`.

        The text ids `never` are not drawn: where nothing can be spoken, that of a patch. Only those
        are that come next in `text_format`; None: any. `drafts`
        guess ids that come next; without them it is the same answer, one position at a time.

        Raises:
            MimoEdgeError: the prompt does not fit the context.
        """
        super().__init__(cache, prompt, cancel=cancel)
        self.options = options
        self._layout = layout
        self._stops = stops
        self._never = never
        # How likely an id was is said of all of them.
        self._format = None if options.logprobs else text_format
        self._seed = secrets.randbits(64) if options.seed is None else options.seed
        self._generated: list[Positions] = []
        self._steps: deque[Step] = deque()
        self._drafts = drafts
        self.readings = Readings()
        self._text_id = 0
        self._logprob: float | None = None
        self.rng = np.random.default_rng()
        """For the position that is being made."""

    @property
    def length(self) -> int:
        """Positions that the cache is to hold: the prompt's and all that were generated."""
        return len(self.prompt) + len(self._generated)

    @property
    def wants_logits(self) -> bool:
        """Whether more than a few text ids can come next."""
        return self._possible() is None

    @property
    def unread(self) -> int:
        """Steps that nobody took yet."""
        return len(self._steps)

    def take(self, output: BackboneOutput) -> bool:
        """Draw the next text id; whether it stands for a patch, which `take_patch` then gives.

        Every position has random numbers of its own, which follow from the seed and the number of
        the position alone. So a seed gives the same answer whatever runs beside it, and a step
        that was interrupted can be done again.
        """
        self.rng = np.random.default_rng([self._seed, len(self._generated)])
        self._text_id = self._draw(output)
        if self.options.logprobs:
            self._logprob = log_probability(output.logits, self._text_id)
        if self._text_id == self._layout.empty_id:
            return True
        self._add(Step(self._text_id, None, self._logprob), self._layout.text([self._text_id]))
        return False

    def take_patch(self, patch: NDArray[np.int64]) -> None:
        """The patch [group, channels] at the position whose text id `take` drew."""
        self._add(Step(self._text_id, patch, self._logprob), self._layout.audio(patch[None]))

    def with_guesses(self, new: New, most: int) -> New:
        """The same new positions, the last of them with its output, and at most so many guesses
        behind it."""
        if self._drafts is None or not new.outputs:
            return new
        behind = self.options.max_new_tokens - len(self._generated) - 1
        room = self.cache.room - len(new.positions)
        guesses = self._drafts.next(min(most, behind, room))
        if not guesses:
            return new
        return New(
            new.cache,
            concatenate([new.positions, self._layout.text(guesses)]),
            outputs=new.outputs + len(guesses),
            guesses=len(guesses),
        )

    def accept_guess(self) -> bool:
        """Whether the position that was taken last was guessed, so that its output is known."""
        accepted = self.missing == 1 and self.cache.accept(self.next_rows(1).positions)
        self.readings.accepted += accepted
        return accepted

    def was_read(self, new: New) -> None:
        """The weights were read for these positions."""
        if new.outputs:
            self.readings.count += 1
            self.readings.guessing += new.guesses > 0
            self.readings.guessed += new.guesses

    def read(self) -> Step | None:
        """The oldest step that was not read yet."""
        return self._steps.popleft() if self._steps else None

    def _possible(self) -> tuple[int, ...] | None:
        """The text ids that can come next; None: any."""
        return self._format.possible() if self._format is not None else None

    def _draw(self, output: BackboneOutput) -> int:
        """The next text id. Where few are possible, logits of all are not looked at even if they
        are there, so that an answer does not depend on those beside it."""
        ids = self._possible()
        if ids is None:
            return sample(output.logits, self.options.text, self.rng, self._never)
        if len(ids) == 1:  # drawn all the same: patches take the random numbers that follow
            logits = np.zeros(1, dtype=np.float32)
        else:
            logits = self.cache.logits_of(output.hidden, ids)
        return ids[sample(logits, self.options.text, self.rng)]

    def _add(self, step: Step, position: Positions) -> None:
        count = len(self._generated) + 1
        if step.text_id in self._stops:
            self.reason = "stop"
        elif count == self.options.max_new_tokens:
            self.reason = "length"
        elif not self.cache.room:
            self.reason = "context"
        if self.reason is None:
            self._generated.append(position)
            if self._format is not None:
                self._format.take(step.text_id)
        self._steps.append(step)
        if self._drafts is not None:
            self._drafts.took(step.text_id)

    def _run(self, start: int, end: int) -> Positions:
        prompt = len(self.prompt)
        if end <= prompt:
            return self.prompt[start:end]
        generated = self._generated[max(0, start - prompt) : end - prompt]
        return concatenate([self.prompt[start:], *generated])
