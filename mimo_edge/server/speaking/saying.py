"""A text of any length as sound: spoken part by part, joined without a click."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...generation.events import AudioChunk, StopReason, TurnEnd, TurnStats
from ...generation.sound import SoundOptions
from ...model import MimoAudio
from ...prompt.spoken_text import TextPart, spoken_parts
from ...tasks import Overrides, Speak
from ...trained_tasks import longest_spoken

__all__ = ["Said", "say"]

Samples = NDArray[np.float32]

_FADE_S = 0.005
_PAUSE_S = 0.2
"""Between two sentences that are spoken one by one."""
_NOTHING_S = 0.3
"""Of silence, where a text has nothing in it to say: `…`."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """How it went, once all is said."""

    reason: StopReason
    """Why the first part ended that did not end by itself; `stop` if all did."""
    stats: Sequence[TurnStats]
    """Of each part."""
    seconds: float
    """Of sound."""

    @property
    def input_tokens(self) -> int:
        """Positions of the prompts of all parts."""
        return sum(stats.prompt_positions for stats in self.stats)

    @property
    def output_tokens(self) -> int:
        """Positions that were generated: text tokens and patches."""
        return sum(stats.text_tokens + stats.patches for stats in self.stats)


def say(
    model: MimoAudio, task: Speak, *, cancel: threading.Event, sound: SoundOptions
) -> Generator[Samples | Said, None, None]:
    """The sound of a text as it is made, float32 [n] at the model's rate, and how it went.

    A text that is longer than what the model was trained to speak at once is spoken in parts, one
    answer after the other (`prompt/spoken_text.py`). All of them draw from one seed, so that they
    sound alike. Of a text in which there is nothing to say comes a short silence.

    Raises:
        MimoEdgeError: the model cannot speak, or not in this voice or style.
    """
    model.manifest.check_speaks()
    rate = model.sample_rate
    parts = spoken_parts(task.text, longest_spoken(model.manifest))
    overrides = task.overrides or Overrides()
    if overrides.seed is None:
        overrides = replace(overrides, seed=secrets.randbits(32))
    ends: list[TurnEnd] = []
    samples = 0
    for piece in _sound(model, parts, replace(task, overrides=overrides), cancel, sound, ends):
        samples += len(piece)
        yield piece
    if not parts:
        samples = round(_NOTHING_S * rate)
        yield np.zeros(samples, dtype=np.float32)
    reasons = [end.reason for end in ends]
    yield Said(
        reason=next((reason for reason in reasons if reason != "stop"), "stop"),
        stats=[end.stats for end in ends],
        seconds=samples / rate,
    )


def _sound(
    model: MimoAudio,
    parts: list[TextPart],
    task: Speak,
    cancel: threading.Event,
    sound: SoundOptions,
    ends: list[TurnEnd],
) -> Generator[Samples, None, None]:
    """The sound of all parts with pauses between them; their last events go into `ends`."""
    pause = np.zeros(round(_PAUSE_S * model.sample_rate), dtype=np.float32)
    for index, part in enumerate(parts):
        if index and parts[index - 1].ends_sentence:
            yield pause
        seam = _Seam(round(_FADE_S * model.sample_rate))
        events = model.stream(replace(task, text=part.text), cancel=cancel, sound=sound)
        with contextlib.closing(events):
            for event in events:
                if isinstance(event, AudioChunk) and len(ready := seam.push(event.samples)):
                    yield ready
                if isinstance(event, TurnEnd):
                    ends.append(event)
        if len(rest := seam.finish()):
            yield rest
        if cancel.is_set():
            return


class _Seam:
    """Makes a sound begin and end at zero, since what is in front of it and behind it does too."""

    def __init__(self, fade: int) -> None:
        self._fade = fade
        self._rising = np.linspace(0, 1, fade, dtype=np.float32)
        self._held = np.zeros(0, dtype=np.float32)

    def push(self, samples: Samples) -> Samples:
        """The next samples but for those that may be the last."""
        rising = self._rising[: len(samples)]
        if len(rising):
            samples = np.concatenate([samples[: len(rising)] * rising, samples[len(rising) :]])
            self._rising = self._rising[len(rising) :]
        known = np.concatenate([self._held, samples])
        cut = max(0, len(known) - self._fade)
        self._held = known[cut:]
        return known[:cut]

    def finish(self) -> Samples:
        """The last samples."""
        falling = np.linspace(1, 0, len(self._held), dtype=np.float32)
        return np.asarray(self._held * falling, dtype=np.float32)
