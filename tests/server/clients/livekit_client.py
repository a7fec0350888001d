"""A conversation with LiveKit's realtime model, told as lines of JSON.

    python livekit_client.py URL QUESTION.pcm [NEXT.pcm]

Questions are PCM16 at 24 kHz with silence behind. Each but the first is asked while the answer
before it is heard: then the answer is interrupted and cut to what was heard, as LiveKit's agent
does.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.plugins.openai import realtime

RATE = 24_000
BLOCK = 2 * RATE // 10


def tell(**record: Any) -> None:
    print(json.dumps(record), flush=True)


class Talk:
    """One session, and what came of it."""

    def __init__(self, url: str) -> None:
        self.model = realtime.RealtimeModel(
            base_url=url, api_key="nothing", voice="marin", modalities=["audio", "text"]
        )
        self.session = self.model.session()
        self.samples = 0
        self.message = ""
        self.cut: set[str] = set()
        self.answered = asyncio.Event()
        self.sounds = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.session.on("generation_created", self.generation)
        self.session.on("input_speech_started", lambda _: self.interrupted())
        self.session.on(
            "input_audio_transcription_completed",
            lambda event: tell(event="heard", text=event.transcript, final=event.is_final),
        )
        self.session.on("error", self.failed)

    def failed(self, error: Any) -> None:
        # The server has ended the answer already when LiveKit asks for that: OpenAI says so, too.
        if "response_cancel_not_active" not in str(error):
            tell(event="error", error=str(error))

    def generation(self, event: Any) -> None:
        self.tasks.append(asyncio.create_task(self.follow(event)))

    async def follow(self, event: Any) -> None:
        async for message in event.message_stream:
            self.message, self.samples = message.message_id, 0
            text, _ = await asyncio.gather(self.words(message), self.sound(message))
            tell(event="answer", text=text, seconds=self.samples / RATE)
            if message.message_id not in self.cut:
                self.answered.set()

    async def words(self, message: Any) -> str:
        return "".join([str(piece) async for piece in message.text_stream])

    async def sound(self, message: Any) -> None:
        async for frame in message.audio_stream:
            self.samples += frame.samples_per_channel
            if self.samples > 0.3 * RATE:
                self.sounds.set()

    def interrupted(self) -> None:
        """As LiveKit's agent does when the user speaks over the answer."""
        tell(event="speech")
        self.answered.clear()  # what was said before is not what is waited for
        if self.message and self.samples > 0.3 * RATE:
            self.cut.add(self.message)
            self.session.interrupt()
            self.session.truncate(message_id=self.message, modalities=["audio"], audio_end_ms=300)
            tell(event="interrupted")

    async def say(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), BLOCK):
            piece = pcm[at : at + BLOCK]
            self.session.push_audio(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))
            await asyncio.sleep(0.1)


async def main(url: str, *files: str) -> None:
    talk = Talk(url)
    for index, file in enumerate(files):
        speaking = asyncio.create_task(talk.say(Path(file).read_bytes()))
        if index + 1 < len(files):
            await talk.sounds.wait()
        await speaking
    await talk.answered.wait()
    history = [
        {"role": item.role, "text": item.text_content or ""}
        for item in talk.session.chat_ctx.items
        if item.type == "message"
    ]
    tell(event="end", history=history)
    await talk.session.aclose()
    await talk.model.aclose()


asyncio.run(main(*sys.argv[1:]))
