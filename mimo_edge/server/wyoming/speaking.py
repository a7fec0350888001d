"""Text to speech: sentence by sentence, while the text may still be coming."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
from numpy.typing import NDArray
from wyoming.audio import AudioChunk, AudioStart, AudioStop

from ...generation.sound import SoundOptions
from ...tasks import Speak
from ...trained_tasks import longest_spoken
from ..requests.api_errors import ApiError
from ..sharing.service import Service
from ..sharing.work import Work
from ..speaking.saying import Said, say
from .peer import Peer
from .reading import BadEventError
from .sentences import Sentences

__all__ = ["Speech"]

_log = logging.getLogger(__name__)

_WIDTH, _CHANNELS = 2, 1
_PAUSE_S = 0.2
"""Between two sentences."""

Samples = NDArray[np.float32]
Patches = NDArray[np.int64]


class Speech:
    """One text and its sound. `run` speaks what `add` gives, until `finish`."""

    def __init__(self, service: Service, peer: Peer, voice: str | None) -> None:
        """In this voice of the library; None, or a name that nobody knows: the model's own.

        Raises:
            ApiError: the model is not ready.
        """
        self.pieces = 0
        """How often there came something to say."""
        self._service = service
        self._model = service.model
        self._peer = peer
        self._voice = voice
        self._text = Sentences(longest_spoken(self._model.manifest))
        self._characters = 0
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()
        self._begun = False
        self._sentences = 0
        self._ready: float | None = None
        """When there was a first sentence to say."""
        self._sent = 0
        """Samples."""

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
        self._say(self._text.add(piece))

    def finish(self) -> None:
        """Nothing more will come."""
        self._say(self._text.rest())
        self._waiting.put_nowait(None)

    def _say(self, sentences: list[str]) -> None:
        for sentence in sentences:
            self._ready = self._ready or time.monotonic()
            self._waiting.put_nowait(sentence)

    async def run(self) -> None:
        """Send all of the sound, as one: Home Assistant makes one WAV file of it.

        Raises:
            ApiError, MimoEdgeError: the model is not ready, is busy, or cannot speak this.
        """
        while (sentence := await self._waiting.get()) is not None:
            # A turn is one sentence long: who waits for more text keeps nobody waiting.
            async with (
                self._peer.working("synthesize") as work,
                aclosing(self._sound(work, sentence)) as sound,
            ):
                if self._sent:
                    await self._send(np.zeros(round(_PAUSE_S * self._rate), np.float32))
                async for samples in sound:
                    await self._send(samples)
            self._sentences += 1
        if self._sentences and not self._sent:
            raise ApiError(
                500,
                "the model said nothing of this text; ask once more, or give it other words.",
                code="no_speech",
            )
        await self._begin()  # clients wait for it, even if there is nothing to say
        await self._peer.send(AudioStop(timestamp=self._milliseconds))

    async def _sound(self, work: Work, sentence: str) -> AsyncGenerator[Samples, None]:
        voice = await work.run(lambda: self._service.voices.find(self._model, self._voice))
        options = self._service.options
        task = Speak(text=sentence, voice=voice, overrides=options.overrides)
        sound = SoundOptions(lookahead=options.lookahead)
        items = work.events(lambda cancel: say(self._model, task, cancel=cancel, sound=sound))
        async with aclosing(items):
            async for item in items:
                if not isinstance(item, Said):
                    yield item
                    continue
                for stats in item.stats:
                    work.generated(stats)
                if item.reason in ("length", "context"):
                    _log.warning(
                        "Wyoming: speech was cut after %.0f s (%s)", item.seconds, item.reason
                    )

    async def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            start = AudioStart(rate=self._rate, width=_WIDTH, channels=_CHANNELS, timestamp=0)
            await self._peer.send(start)

    async def _send(self, samples: Samples) -> None:
        await self._begin()
        if not self._sent and self._ready is not None:
            waited = time.monotonic() - self._ready
            self._service.metrics.first_audio("wyoming.synthesize", waited)
        integers = np.round(np.clip(samples, -1, 1) * (2**15 - 1)).astype("<i2")
        chunk = AudioChunk(
            rate=self._rate,
            width=_WIDTH,
            channels=_CHANNELS,
            audio=integers.tobytes(),
            timestamp=self._milliseconds,
        )
        await self._peer.send(chunk)
        self._sent += len(samples)

    @property
    def _rate(self) -> int:
        return self._model.sample_rate

    @property
    def _milliseconds(self) -> int:
        return 1000 * self._sent // self._rate
