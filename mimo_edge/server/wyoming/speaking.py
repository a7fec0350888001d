"""Text to speech: sentence by sentence, while the text may still be coming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
from numpy.typing import NDArray
from wyoming.audio import AudioChunk, AudioStart, AudioStop

from ...generation.events import AudioChunk as Sound
from ...generation.sound import SoundOptions
from ...tasks import Speak
from ..service import Service, Work
from .peer import Peer
from .reading import BadEventError
from .sentences import Sentences

__all__ = ["Speech"]

_WIDTH, _CHANNELS = 2, 1


class Speech:
    """One text and its sound. `run` speaks what `add` gives, until `finish`."""

    def __init__(self, service: Service, peer: Peer, voice: str | None) -> None:
        self.pieces = 0
        """How often there came something to say."""
        self._service = service
        self._peer = peer
        self._voice = voice
        self._text = Sentences()
        self._characters = 0
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()

    def add(self, piece: str) -> None:
        """Say this too.

        Raises:
            BadEventError: it is too much in all.
        """
        self.pieces += 1
        self._characters += len(piece)
        most = self._service.options.limits.text_characters
        if self._characters > most:
            raise BadEventError(f"a text to speak has more than {most:,} characters")
        for sentence in self._text.add(piece):
            self._waiting.put_nowait(sentence)

    def finish(self) -> None:
        """Nothing more will come."""
        for sentence in self._text.rest():
            self._waiting.put_nowait(sentence)
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Send all of the sound, as one: Home Assistant makes one WAV file of it.

        A turn with the model is a sentence long: who waits for more text keeps nobody waiting.

        Raises:
            ApiError, MimoEdgeError: the model is not ready, is busy, or cannot speak this.
        """
        rate = self._service.model.sample_rate
        sent = 0
        while (sentence := await self._waiting.get()) is not None:
            async with (
                self._peer.working("synthesize") as work,
                aclosing(self._sound(work, sentence)) as sound,
            ):
                async for samples in sound:
                    if not sent:
                        await self._peer.send(_start(rate))
                    await self._peer.send(_chunk(samples, rate, sent))
                    sent += len(samples)
        if not sent:  # or the client would wait for a sound that never comes
            await self._peer.send(_start(rate))
        await self._peer.send(AudioStop(timestamp=_milliseconds(sent, rate)))

    async def _sound(self, work: Work, sentence: str) -> AsyncGenerator[NDArray[np.float32], None]:
        options = self._service.options
        model = self._service.model
        task = Speak(text=sentence, overrides=options.overrides)
        sound = SoundOptions(lookahead=options.lookahead)
        events = work.events(lambda cancel: model.stream(task, cancel=cancel, sound=sound))
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Sound):
                    yield event.samples


def _start(rate: int) -> AudioStart:
    return AudioStart(rate=rate, width=_WIDTH, channels=_CHANNELS, timestamp=0)


def _chunk(samples: NDArray[np.float32], rate: int, sent: int) -> AudioChunk:
    integers = np.round(np.clip(samples, -1, 1) * (2**15 - 1)).astype("<i2")
    return AudioChunk(
        rate=rate,
        width=_WIDTH,
        channels=_CHANNELS,
        audio=integers.tobytes(),
        timestamp=_milliseconds(sent, rate),
    )


def _milliseconds(samples: int, rate: int) -> int:
    return 1000 * samples // rate
