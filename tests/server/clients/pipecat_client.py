"""A conversation through Pipecat's realtime service, told as lines of JSON.

    python pipecat_client.py URL QUESTION.pcm

The question is PCM16 at 24 kHz with silence behind. The service runs in a pipeline of its own,
between a source that plays the question and a sink that tells what comes.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

RATE = 24_000
BLOCK = 2 * RATE // 10


def tell(**record: Any) -> None:
    print(json.dumps(record), flush=True)


class Sink(FrameProcessor):
    """Tells what comes out of the service."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.bytes = 0
        self.answered = asyncio.Event()

    def begin(self) -> None:
        """Wait for another answer."""
        self.text, self.bytes = [], 0
        self.answered.clear()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSTextFrame):
            self.text.append(frame.text)
        elif isinstance(frame, TTSAudioRawFrame):
            self.bytes += len(frame.audio)
        elif isinstance(frame, TranscriptionFrame):
            tell(event="heard", text=frame.text)
        elif isinstance(frame, InterruptionFrame):
            tell(event="interrupted")
        elif isinstance(frame, ErrorFrame):
            tell(event="error", error=frame.error)
        elif isinstance(frame, LLMFullResponseEndFrame):
            tell(event="answer", text="".join(self.text), seconds=self.bytes / 2 / RATE)
            self.answered.set()
        await self.push_frame(frame, direction)


async def main(url: str, file: str) -> None:
    service = OpenAIRealtimeLLMService(api_key="nothing", base_url=url)
    sink = Sink()
    task = PipelineTask(
        Pipeline([service, sink]),
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
    )
    running = asyncio.create_task(PipelineRunner(handle_sigint=False).run(task))
    await task.queue_frames([LLMContextFrame(LLMContext())])
    # With the context the service asks for an answer before anything was said.
    await asyncio.wait_for(sink.answered.wait(), 60)
    sink.begin()
    pcm = Path(file).read_bytes()
    for at in range(0, len(pcm), BLOCK):
        await task.queue_frames(
            [InputAudioRawFrame(audio=pcm[at : at + BLOCK], sample_rate=RATE, num_channels=1)]
        )
        await asyncio.sleep(0.1)
    await asyncio.wait_for(sink.answered.wait(), 60)
    await task.queue_frames([EndFrame()])
    await running
    tell(event="end")


asyncio.run(main(*sys.argv[1:]))
