"""What turn-taking tells its caller, and its settings.

Positions count the microphone's samples since the start, ignored ones included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError

__all__ = [
    "BargeIn",
    "BargeInDismissed",
    "BargeInMode",
    "BargeInSuspected",
    "PauseStarted",
    "SpeechResumed",
    "TurnDropped",
    "TurnEvent",
    "TurnFinished",
    "TurnSettings",
    "TurnStarted",
]

BargeInMode = Literal["off", "headphones", "aec"]
"""What the microphone does while the model speaks: nothing; listen, since it cannot hear the
speaker; listen, since an echo canceller takes the speaker out of its sound."""


@dataclass(frozen=True, kw_only=True)
class TurnSettings:
    """When something counts as speech and as its end. Seconds are rounded to samples."""

    start_threshold: float = 0.5
    """Probability of voice from which a chunk counts as speech: Silero's own default."""
    stop_threshold: float = 0.35
    """Below it a chunk counts as silence; in between nothing changes, so that a probability
    around one threshold does not flicker. Silero uses the same distance of 0.15."""
    pre_roll_s: float = 0.3
    """Sound kept from before the first speech chunk: the detector notices quiet first
    consonants up to 0.1 s late, and the model should hear how the sentence begins."""
    min_speech_s: float = 0.16
    """Speech needed for a turn, five chunks: knocks and clicks reach two, "no" has ten."""
    pause_s: float = 0.2
    """Silence after which preparing the answer may start. Shorter gaps are inside words
    (stop consonants reach 0.15 s) and belong to the speech."""
    end_silence_s: float = 0.7
    """Silence that ends the turn: pauses within a sentence are mostly shorter than 0.6 s."""
    rest_s: float = 0.15
    """Silence left at the end of a turn's sound, where quiet last consonants are. Not longer
    than `pause_s`, so that the sound known at the pause is the sound of the turn."""
    max_turn_s: float = 60.0
    """A turn is cut there: 375 positions of the context, and 6 MB of sound at 24 kHz."""
    barge_in_threshold: float = 0.6
    """Instead of `start_threshold` while the model speaks, for a wrong interruption costs a
    whole answer. Not higher: an echo canceller also weakens the voice that interrupts."""
    barge_in_speech_s: float = 0.19
    """Instead of `min_speech_s` while the model speaks: six chunks."""
    barge_in_hold_s: float = 0.03
    """Speech after which the answer is held until `barge_in_speech_s` decides: one chunk, so that
    it falls silent within 0.2 s, of which the devices need a part. A cough or a knock costs a
    break of 0.3 s, which a second chunk would hardly save: knocks that reach one mostly reach
    two, and noise, hum, breath and 171 recorded keys reached none."""
    echo_s: float = 0.3
    """With an echo canceller, how long an answer that is held may still be heard, out of the
    device's buffer and in the room. What is heard in that time decides nothing: a rest of the
    echo, of which there are some while the canceller learns the room, ends with it, and a voice
    that the canceller took for one comes through."""
    echo_speech_s: float = 0.09
    """Voice needed after that, three chunks, instead of `barge_in_speech_s`."""
    tail_s: float = 0.25
    """With barge-in off, how long the microphone stays off after the model's last sample, for
    its sound to leave the speaker and the room."""

    def __post_init__(self) -> None:
        """Refuse values that contradict each other."""
        if not 0 < self.stop_threshold <= self.start_threshold <= self.barge_in_threshold < 1:
            raise BadInputError(
                f"the voice thresholds are {self.stop_threshold:g} (stop), "
                f"{self.start_threshold:g} (start) and {self.barge_in_threshold:g} (barge-in); "
                "give them in rising order between 0 and 1."
            )
        if not 0 <= self.rest_s <= self.pause_s < self.end_silence_s:
            raise BadInputError(
                f"the silences are {self.rest_s:g} s (rest), {self.pause_s:g} s (pause) and "
                f"{self.end_silence_s:g} s (end); give them in rising order from 0."
            )
        speech = (self.min_speech_s, self.barge_in_hold_s, self.barge_in_speech_s)
        if min(self.pre_roll_s, *speech, self.echo_s, self.echo_speech_s, self.tail_s) < 0:
            raise BadInputError("a duration of the turn-taking is negative; give 0 or more.")
        if self.max_turn_s < self.pre_roll_s + self.end_silence_s + self.min_speech_s:
            raise BadInputError(
                f"the longest turn is {self.max_turn_s:g} s; give more than its parts together, "
                f"{self.pre_roll_s + self.end_silence_s + self.min_speech_s:g} s."
            )


@dataclass(frozen=True, kw_only=True)
class BargeInSuspected:
    """The user may be speaking over the model: hold the answer until `BargeIn` or
    `BargeInDismissed` follows."""


@dataclass(frozen=True, kw_only=True)
class BargeInDismissed:
    """What held the answer was a cough or a knock: go on with the answer."""


@dataclass(frozen=True, kw_only=True)
class BargeIn:
    """The user speaks over the model: stop playing. `TurnStarted` follows."""


@dataclass(frozen=True, kw_only=True)
class TurnStarted:
    """The user speaks."""

    start: int
    """Position of the turn's first sample, pre-roll included."""


@dataclass(frozen=True, kw_only=True)
class PauseStarted:
    """The user is silent and may be done: prepare the answer to this sound, hold it back."""

    samples: NDArray[np.float32]
    """[n] the turn so far. If `TurnFinished` is the next event, its samples are the same."""


@dataclass(frozen=True, kw_only=True)
class SpeechResumed:
    """The user went on: throw away what was prepared at the pause."""


@dataclass(frozen=True, kw_only=True)
class TurnFinished:
    """The user's turn is over: silence, a full turn or a released key ended it."""

    samples: NDArray[np.float32]
    """[end - start], pre-roll included, trailing silence cut to a short rest."""
    start: int
    """Position of the first of the samples."""
    end: int
    """Position after the last of the samples."""


@dataclass(frozen=True, kw_only=True)
class TurnDropped:
    """The key was only touched: the turn that had started was none."""


TurnEvent = (
    BargeInSuspected
    | BargeInDismissed
    | BargeIn
    | TurnStarted
    | PauseStarted
    | SpeechResumed
    | TurnFinished
    | TurnDropped
)
