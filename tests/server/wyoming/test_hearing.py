"""Speech to text over Wyoming: any format, nothing cut, nothing invented."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

from mimo_edge.audio import resample
from mimo_edge.server.options import Limits, ServerOptions
from mimo_edge.server.wyoming.options import WyomingLimits

from .home_assistant import (
    QUESTIONS,
    Wyoming,
    events_until,
    pcm,
    recording,
    transcribe,
    wyoming,
)

QUESTION = "what is seven plus five"


def packed(samples: NDArray[np.float32], width: int) -> bytes:
    """Samples as integers of so many bytes, little-endian; one byte is unsigned."""
    if width == 1:
        return bytes((np.round(samples * 127) + 128).astype(np.uint8))
    wide = np.round(samples.astype(np.float64) * (2**31 - 1)).astype("<i4")
    return bytes(wide.view(np.uint8).reshape(*wide.shape, 4)[..., 4 - width :])


@pytest.mark.parametrize(
    ("rate", "width", "channels"),
    [(16_000, 2, 1), (22_050, 1, 1), (44_100, 2, 2), (48_000, 3, 1), (96_000, 4, 2)],
)
def test_sound_of_any_format_is_understood(
    home: Wyoming, rate: int, width: int, channels: int
) -> None:
    mono, own = soundfile.read(QUESTIONS / "sum.flac", dtype="float32")
    samples = resample(mono, own, rate)
    if channels == 2:
        samples = np.stack([samples, samples], axis=1)
    sound = packed(samples, width)

    async def conversation(client: AsyncTcpClient) -> str:
        form = {"rate": rate, "width": width, "channels": channels}
        await client.write_event(AudioStart(**form).event())
        for start in range(0, len(sound), 1001):  # which cuts frames, as networks do
            piece = sound[start : start + 1001]
            await client.write_event(AudioChunk(**form, audio=piece).event())
        await client.write_event(AudioStop().event())
        return Transcript.from_event((await events_until(client, "transcript"))[-1]).text

    assert home.run(conversation) == QUESTION


def test_the_format_may_change_within_a_recording(home: Wyoming) -> None:
    mono, own = soundfile.read(QUESTIONS / "sum.flac", dtype="float32")
    half = len(mono) // 2
    first, second = resample(mono[:half], own, 16_000), resample(mono[half:], own, 48_000)

    async def conversation(client: AsyncTcpClient) -> str:
        await client.write_event(AudioStart(rate=16_000, width=2, channels=1).event())
        for rate, part in ((16_000, first), (48_000, second)):
            chunk = AudioChunk(rate=rate, width=2, channels=1, audio=pcm(part))
            await client.write_event(chunk.event())
        await client.write_event(AudioStop().event())
        return Transcript.from_event((await events_until(client, "transcript"))[-1]).text

    assert home.run(conversation) == QUESTION


def test_the_text_also_comes_in_pieces(home: Wyoming) -> None:
    async def conversation(client: AsyncTcpClient) -> list[tuple[str, str]]:
        await client.write_event(Transcribe(name="MiMo-Audio-Demo", language="en").event())
        await client.write_event(AudioStart(rate=16_000, width=2, channels=1).event())
        sound = recording("sum")
        await client.write_event(AudioChunk(rate=16_000, width=2, channels=1, audio=sound).event())
        await client.write_event(AudioStop().event())
        events = await events_until(client, "transcript-stop")
        return [(event.type, event.data.get("text", "")) for event in events]

    (first, *pieces, whole, last) = home.run(conversation)
    assert first == ("transcript-start", "")
    assert len(pieces) > 1
    assert {kind for kind, _ in pieces} == {"transcript-chunk"}
    assert "".join(text for _, text in pieces).strip() == QUESTION
    assert whole == ("transcript", QUESTION)
    assert last == ("transcript-stop", "")


def test_the_last_words_are_heard_without_silence_behind_them(home: Wyoming) -> None:
    # Home Assistant ends a recording as soon as its voice activity detector says so.
    samples = np.frombuffer(recording("words"), "<i2")
    loud = np.flatnonzero(np.abs(samples) > 500)
    sound = samples[: loud[-1] + 800].tobytes()
    assert home.run(lambda client: transcribe(client, sound)).split()[-1] == "wood"


@pytest.mark.parametrize(
    "sound", [b"", bytes(100), bytes(32_000), b"\x01"], ids=["none", "click", "silence", "half"]
)
def test_nothing_to_hear_is_an_empty_text(home: Wyoming, sound: bytes) -> None:
    # The connection lives: an error would make Home Assistant say that the service is broken.
    async def twice(client: AsyncTcpClient) -> list[str]:
        return [await transcribe(client, sound), await transcribe(client, recording("sum"))]

    assert home.run(twice) == ["", QUESTION]


def test_a_stop_without_a_recording_is_answered(home: Wyoming) -> None:
    async def conversation(client: AsyncTcpClient) -> str:
        await client.write_event(AudioStop().event())
        return Transcript.from_event((await events_until(client, "transcript"))[-1]).text

    assert home.run(conversation) == ""


def test_a_recording_has_a_length_at_most() -> None:
    limits = WyomingLimits(recording_bytes=100_000)
    with wyoming(limits) as home:

        async def conversation(client: AsyncTcpClient) -> str:
            await client.write_event(AudioStart(rate=16_000, width=2, channels=1).event())
            for _ in range(300):  # it goes on for a while after it was refused
                chunk = AudioChunk(rate=16_000, width=2, channels=1, audio=bytes(2048))
                await client.write_event(chunk.event())
            (*_, error) = await events_until(client, "error")
            return str(error.data["text"])

        told = home.run(conversation)
        assert "100,000 bytes" in told
        assert "/v1/audio/transcriptions" in told
        assert home.run(lambda client: transcribe(client, recording("sum"))) == QUESTION


def test_a_recording_of_few_bytes_a_second_has_a_length_at_most_too() -> None:
    form = {"rate": 1000, "width": 1, "channels": 1}
    options = ServerOptions(port=0, limits=Limits(upload_seconds=10.0))
    with wyoming(options=options) as home:

        async def conversation(client: AsyncTcpClient) -> str:
            await client.write_event(AudioStart(**form).event())
            for _ in range(11):
                await client.write_event(AudioChunk(**form, audio=bytes([128]) * 1000).event())
            await client.write_event(AudioStop().event())
            (*_, last) = await events_until(client, "error")
            return str(last.data["text"])

        assert "more than 10 seconds" in home.run(conversation)
        assert home.run(lambda client: transcribe(client, recording("sum"))) == QUESTION
