"""A running Wyoming server, and what Home Assistant's integration sends to it, event by event."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.handle import Handled, NotHandled
from wyoming.info import Describe, Info
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from mimo_edge.audio import resample
from mimo_edge.model import MimoAudio
from mimo_edge.server.options import ServerOptions
from mimo_edge.server.sharing.service import Service
from mimo_edge.server.wyoming.options import WyomingLimits, WyomingOptions
from mimo_edge.server.wyoming.server import WyomingServer, listen
from mimo_edge.tasks import Overrides
from tests.tools.exact_demo import load_exact_demo

from ..running import Running, running

QUESTIONS = Path(__file__).parents[2] / "data" / "demo"
OPTIONS = ServerOptions(port=0, overrides=Overrides(temperature=0, seed=1))
"""The words of every answer are sure."""
T = TypeVar("T")


@dataclass(frozen=True)
class Wyoming:
    """A running server."""

    port: int
    http: Running

    def run(self, conversation: Callable[[AsyncTcpClient], Awaitable[T]]) -> T:
        """What a client does on a connection of its own, within a minute."""

        async def connected() -> T:
            async with self.client() as client:
                return await asyncio.wait_for(conversation(client), 60)

        return asyncio.run(connected())

    def client(self) -> AsyncTcpClient:
        return AsyncTcpClient("127.0.0.1", self.port)


@contextlib.contextmanager
def wyoming(
    limits: WyomingLimits | None = None,
    options: ServerOptions | None = None,
    load: Callable[[], MimoAudio] = load_exact_demo,
) -> Iterator[Wyoming]:
    """A model, the demo in float32, served at a free port until the block ends."""
    own = WyomingOptions(port=0, limits=limits or WyomingLimits())
    listening = listen(own)

    def prepare(service: Service) -> None:
        service.beside.append(WyomingServer(service, own, listening))

    with running(options or OPTIONS, prepare, load) as server:
        yield Wyoming(listening.getsockname()[1], server)


def recording(name: str) -> bytes:
    """A spoken question as Home Assistant sends sound: 16 kHz, 16 bit, one channel."""
    samples, rate = soundfile.read(QUESTIONS / f"{name}.flac", dtype="float32")
    return pcm(resample(samples, rate, 16_000))


def pcm(samples: NDArray[np.float32]) -> bytes:
    return bytes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def samples_of(sound: bytes) -> NDArray[np.float32]:
    return np.frombuffer(sound, "<i2").astype(np.float32) / np.float32(32768)


async def describe(client: AsyncTcpClient) -> Info:
    """As `data.py` does."""
    await client.write_event(Describe().event())
    while (event := await client.read_event()) is not None:
        if Info.is_type(event.type):
            return Info.from_event(event)
    raise ConnectionError("the connection ended before there was an info")


async def transcribe(client: AsyncTcpClient, sound: bytes, language: str = "en") -> str:
    """As `stt.py` does; it knows no error but that the connection ends."""
    await client.write_event(Transcribe(language=language).event())
    await client.write_event(AudioStart(rate=16_000, width=2, channels=1).event())
    for start in range(0, len(sound), 2048):
        chunk = AudioChunk(rate=16_000, width=2, channels=1, audio=sound[start : start + 2048])
        await client.write_event(chunk.event())
    await client.write_event(AudioStop().event())
    while (event := await client.read_event()) is not None:
        if Transcript.is_type(event.type):
            return Transcript.from_event(event).text
    raise ConnectionError("the connection ended before there was a transcript")


async def speak(client: AsyncTcpClient, text: str, voice: str | None = None) -> bytes:
    """As `tts.py` does without streaming: the PCM of the WAV file that it makes."""
    wanted = SynthesizeVoice(name=voice) if voice is not None else None
    await client.write_event(Synthesize(text=text, voice=wanted).event())
    sound = b""
    while (event := await client.read_event()) is not None:
        if AudioStop.is_type(event.type):
            return sound
        if AudioChunk.is_type(event.type):
            sound += AudioChunk.from_event(event).audio
    raise ConnectionError("the connection ended before the sound did")


async def write_text(
    client: AsyncTcpClient, pieces: AsyncIterator[str] | Iterable[str], voice: str | None = None
) -> None:
    """As `tts.py` does with streaming: the pieces, and then all of it once more."""
    wanted = SynthesizeVoice(name=voice) if voice is not None else None
    await client.write_event(SynthesizeStart(voice=wanted).event())
    whole = ""
    async for piece in _each(pieces):
        whole += piece
        await client.write_event(SynthesizeChunk(text=piece).event())
    await client.write_event(Synthesize(text=whole, voice=wanted).event())
    await client.write_event(SynthesizeStop().event())


async def read_sound(client: AsyncTcpClient) -> AsyncIterator[bytes]:
    """As `tts.py` does with streaming: nothing before the first start, no end but the last."""
    started = False
    while (event := await client.read_event()) is not None:
        if started and AudioChunk.is_type(event.type):
            yield AudioChunk.from_event(event).audio
        elif AudioStart.is_type(event.type):
            assert not started, "Home Assistant makes one WAV file with one header"
            started = True
        elif SynthesizeStopped.is_type(event.type):
            assert started
            return
        elif Error.is_type(event.type):
            raise ConnectionError(Error.from_event(event).text)
    raise ConnectionError("the connection ended before the sound did")


async def converse(client: AsyncTcpClient, text: str, conversation: str) -> Handled | NotHandled:
    """As `conversation.py` does."""
    context = {"conversation_id": conversation, "device_id": "kitchen"}
    await client.write_event(Transcript(text, context=context, language="en").event())
    while (event := await client.read_event()) is not None:
        if Handled.is_type(event.type):
            return Handled.from_event(event)
        if NotHandled.is_type(event.type):
            return NotHandled.from_event(event)
    raise ConnectionError("the connection ended before there was an answer")


async def events_until(client: AsyncTcpClient, last: str) -> list[Event]:
    """Everything that comes, up to an event of this type."""
    events = []
    while (event := await client.read_event()) is not None:
        events.append(event)
        if event.type == last:
            return events
    raise ConnectionError(f"there was no {last}: {[event.type for event in events]}")


async def _each(pieces: AsyncIterator[str] | Iterable[str]) -> AsyncIterator[str]:
    if isinstance(pieces, AsyncIterator):
        async for piece in pieces:
            yield piece
    else:
        for piece in pieces:
            yield piece
