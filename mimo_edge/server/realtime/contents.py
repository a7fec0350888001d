"""What the items of a conversation hold: words and sound of both sides.

The model's thread reads them while the event loop writes them: every attribute says who writes it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInputError, MimoEdgeError
from ...generation.events import TurnEnd
from ...listener import Listener
from .pcm import PcmWriter

__all__ = ["Content", "InputAudio", "InputText", "OutputAudio", "OutputText", "Spoken", "Utterance"]

Samples = NDArray[np.float32]


class Utterance:
    """One stretch of sound of the user, and the patches that the model gets of it."""

    def __init__(self, samples: Samples) -> None:
        """Float32 [n] at the model's rate."""
        self.length = len(samples)
        self._samples: Samples | None = samples
        self._patches: NDArray[np.int64] | MimoEdgeError | None = None
        self._lock = threading.Lock()
        """The answer and the transcript both want the patches, in two threads."""

    @property
    def samples(self) -> Samples | None:
        """The sound; None once it was forgotten."""
        return self._samples

    def pcm(self, rate: int, client_rate: int) -> NDArray[np.int16] | None:
        """The sound at the client's rate; `rate` is its own. None once it was forgotten."""
        if (samples := self._samples) is None:
            return None
        writer = PcmWriter(rate, client_rate)
        return np.concatenate([writer.write(samples), writer.finish()])

    def patches(self, listener: Listener) -> NDArray[np.int64]:
        """The sound as the model gets it: int64 [patches, group, channels]; encoded once.

        Raises:
            MimoEdgeError: it is silent, too short, too long, or was forgotten before it was heard.
        """
        with self._lock:
            if self._patches is None:
                self._patches = self._encode(listener)
            if isinstance(self._patches, MimoEdgeError):
                raise self._patches
            return self._patches

    def holds(self, samples: Samples) -> bool:
        """Whether it is exactly this sound."""
        return self._samples is not None and np.array_equal(self._samples, samples)

    def forget_sound(self) -> None:
        """Free the samples; what the model heard of them stays."""
        self._samples = None

    def _encode(self, listener: Listener) -> NDArray[np.int64] | MimoEdgeError:
        samples = self._samples
        if samples is None:
            return BadInputError("the sound is too old to be heard; send it again.")
        try:
            return listener.patches(samples)
        except MimoEdgeError as error:
            return error


@dataclass(kw_only=True, eq=False)
class InputText:
    """What the user wrote, or what instructions say."""

    text: str

    def shown(self) -> dict[str, Any]:
        """As a client sees it."""
        return {"type": "input_text", "text": self.text}


@dataclass(kw_only=True, eq=False)
class InputAudio:
    """What the user said."""

    utterance: Utterance | None
    """None: silence, after which the server spoke up by itself."""
    transcript: str | None = None
    """Once it is known."""

    def shown(self) -> dict[str, Any]:
        """As a client sees it, without its sound."""
        return {"type": "input_audio", "transcript": self.transcript}

    def pcm(self, rate: int, client_rate: int) -> NDArray[np.int16] | None:
        """The sound at the client's rate; `rate` is the model's. None: there is none any more."""
        return self.utterance.pcm(rate, client_rate) if self.utterance is not None else None

    def forget_sound(self) -> None:
        """Free the samples."""
        if self.utterance is not None:
            self.utterance.forget_sound()


@dataclass(kw_only=True, eq=False)
class OutputText:
    """What the model wrote, or is said to have written."""

    text: str = ""

    def shown(self) -> dict[str, Any]:
        """As a client sees it."""
        return {"type": "output_text", "text": self.text}


@dataclass(kw_only=True, eq=False)
class Spoken:
    """An answer as the model made it, and how much of it was heard."""

    end: TurnEnd | None = None
    """Its positions, however it ended. Written by the model's thread, before its next job."""
    heard: int | None = None
    """Samples at the model's rate that the user heard; None: all. Written by the event loop."""


@dataclass(kw_only=True, eq=False)
class OutputAudio:
    """What the model said, or is said to have said. Rates are the model's and the client's."""

    transcript: str | None = ""
    """None: the answer was cut, and nobody knows exactly behind which word."""
    spoken: Spoken | None = None
    """None: it was said elsewhere."""
    utterance: Utterance | None = None
    """Its sound, if it was said elsewhere and the client gave it."""
    client_rate: int = 24_000
    sent: list[NDArray[np.int16]] = field(default_factory=list)
    """The sound that the client got, at its rate."""
    sent_samples: int = 0
    """How much that was, even if it is forgotten."""
    heard_samples: int | None = None
    """How much of it was heard; None: all, as far as is known."""

    @property
    def sent_ms(self) -> float:
        """How long the sound is that the client got."""
        return 1000 * self.sent_samples / self.client_rate

    def send(self, pcm: NDArray[np.int16]) -> None:
        """The client gets int16 [n] more."""
        self.sent.append(pcm)
        self.sent_samples += len(pcm)

    def cut(self, samples: int, rate: int) -> None:
        """Only the first samples, at the client's rate, were heard; `rate` is the model's.

        The words go: some of them were not heard. A later call may know better, either way.
        """
        self.heard_samples = min(samples, self.sent_samples)
        self.transcript = None
        if self.spoken is not None:
            self.spoken.heard = self.heard_samples * rate // self.client_rate

    def shown(self) -> dict[str, Any]:
        """As a client sees it, without its sound."""
        return {"type": "output_audio", "transcript": self.transcript}

    def pcm(self, rate: int, client_rate: int) -> NDArray[np.int16] | None:
        """What was heard of the sound, at the rate in which it was sent; if the client gave it, all
        of it, at the client's rate; `rate` is the model's. None: there is none any more.
        """
        if self.utterance is not None:
            return self.utterance.pcm(rate, client_rate)
        if not self.sent:
            return None
        return np.concatenate(self.sent)[: self.heard_samples]

    def forget_sound(self) -> None:
        """Free the samples."""
        self.sent.clear()
        if self.utterance is not None:
            self.utterance.forget_sound()


Content = InputText | InputAudio | OutputText | OutputAudio
"""One part of a message."""
