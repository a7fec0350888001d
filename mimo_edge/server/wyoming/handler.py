"""What is done for each kind of event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from wyoming.asr import Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.event import Event
from wyoming.handle import Handled, HandledChunk, HandledStart, HandledStop, NotHandled
from wyoming.ping import Pong
from wyoming.tts import SynthesizeStopped

from ...errors import BadInputError, MimoEdgeError
from ...generation.events import TextDelta, TurnEnd
from ...tasks import Transcribe
from ...trained_tasks import hinted_language
from ..requests.api_errors import ApiError, api_error
from ..sharing.service import Service
from .conversations import Conversation, Conversations
from .hearing import Utterance
from .info import describe
from .messages import Chunk, SoundFormat, Spoken, Start, Text, data_of
from .options import WyomingLimits
from .peer import Peer
from .reading import BadEventError
from .speaking import Speech

__all__ = ["Handler"]

_log = logging.getLogger(__name__)

Beside = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Handler:
    """Answers the events of one client, in their order."""

    def __init__(
        self,
        service: Service,
        limits: WyomingLimits,
        conversations: Conversations,
        peer: Peer,
        beside: Beside,
    ) -> None:
        self._service = service
        self._limits = limits
        self._conversations = conversations
        self._peer = peer
        self._beside = beside
        self._utterance: Utterance | None = None
        self._language: str | None = None
        """Of the recording that is announced, as the client calls it."""
        self._speech: Speech | None = None
        """A text that comes piece by piece."""
        self._speaking: asyncio.Task[None] | None = None
        self._answers: dict[str, Callable[[Event], Awaitable[None]]] = {
            "describe": self._describe,
            "ping": self._ping,
            "audio-start": self._audio_start,
            "audio-chunk": self._audio_chunk,
            "audio-stop": self._audio_stop,
            "synthesize": self._synthesize,
            "synthesize-start": self._synthesize_start,
            "synthesize-chunk": self._synthesize_chunk,
            "synthesize-stop": self._synthesize_stop,
            "transcribe": self._transcribe,
            "transcript": self._transcript,
        }
        # `select-program` chooses among programs of one kind, of which there is one.

    async def handle(self, event: Event) -> None:
        """Answer one event; kinds that are not known are passed over, as the protocol wants.

        Raises:
            BadEventError: what is in it is wrong or too much.
            ApiError, MimoEdgeError: it cannot be done.
            OSError: the client left.
        """
        answer = self._answers.get(event.type)
        if answer is not None:
            await answer(event)

    async def _describe(self, event: Event) -> None:
        voices = await asyncio.to_thread(self._service.voices.all)
        await self._peer.send(describe(self._service.model.manifest, voices))

    async def _ping(self, event: Event) -> None:
        text = event.data.get("text")
        await self._peer.send(Pong(text=text if isinstance(text, str) else None))

    async def _transcribe(self, event: Event) -> None:
        """Comes before a recording. It also names one of several models: there is one."""
        language = event.data.get("language")
        self._language = language if isinstance(language, str) else None

    async def _audio_start(self, event: Event) -> None:
        data_of(event, SoundFormat)
        self._utterance = self._new_utterance()

    async def _audio_chunk(self, event: Event) -> None:
        if self._utterance is None:
            self._utterance = self._new_utterance()
        self._utterance.add(data_of(event, SoundFormat), event.payload or b"")

    def _new_utterance(self) -> Utterance:
        limits = self._service.options.limits
        return Utterance(self._limits.recording_bytes, limits.upload_seconds)

    async def _audio_stop(self, event: Event) -> None:
        utterance, self._utterance = self._utterance, None
        await self._peer.send(TranscriptStart())
        language, self._language = self._language, None
        text = "" if utterance is None else await self._write_down(utterance, language)
        # Once more as a whole, for clients that know no pieces; Home Assistant leaves after it.
        await self._peer.send(Transcript(text=text))
        await self._peer.send(TranscriptStop())

    async def _write_down(self, utterance: Utterance, language: str | None) -> str:
        """What was said, in the language that the client named; nothing if nothing was heard."""
        said = ""
        async with self._peer.working("transcribe") as work:
            model = self._service.model
            samples = await work.run(lambda: utterance.samples(model.sample_rate))
            task = Transcribe(
                audio=samples,
                language=hinted_language(language, model.manifest),
                overrides=self._service.options.overrides,
            )
            events = work.events(lambda cancel: model.stream(task, cancel=cancel))
            try:
                async with aclosing(events):
                    async for part in events:
                        if isinstance(part, TextDelta):
                            said += part.text
                            await self._peer.send(TranscriptChunk(text=part.text))
                        elif isinstance(part, TurnEnd):
                            work.generated(part.stats)
            except BadInputError as error:
                # Silence, or a click: Home Assistant wants an empty text for it.
                _log.debug("Wyoming: nothing was heard: %s", error)
        return said.strip()

    async def _synthesize(self, event: Event) -> None:
        wanted = data_of(event, Spoken)
        if self._speech is not None:
            # The whole text once more, for servers that take no pieces.
            if not self._speech.pieces:
                self._speech.add(wanted.text)
            return
        speech = self._new_speech(wanted)
        speech.add(wanted.text)
        speech.finish()
        await speech.run()

    async def _synthesize_start(self, event: Event) -> None:
        if self._speech is not None:
            raise BadEventError("synthesize-start came before the last text was stopped")
        self._speech = self._new_speech(data_of(event, Start))
        self._speaking = self._beside(self._speech.run())

    async def _synthesize_chunk(self, event: Event) -> None:
        if self._speech is None:
            raise BadEventError("synthesize-chunk came before synthesize-start")
        self._speech.add(data_of(event, Chunk).text)

    async def _synthesize_stop(self, event: Event) -> None:
        if self._speech is None or self._speaking is None:
            raise BadEventError("synthesize-stop came before synthesize-start")
        self._speech.finish()
        await self._speaking  # if it fails, the connection ends, and this with it
        self._speech = self._speaking = None
        await self._peer.send(SynthesizeStopped())

    def _new_speech(self, wanted: Start) -> Speech:
        if wanted.text_format not in (None, "text"):
            raise BadEventError(f"text_format is {wanted.text_format[:40]!r}, and text is spoken")
        voice = wanted.voice.name if wanted.voice is not None else None
        return Speech(self._service, self._peer, voice)

    async def _transcript(self, event: Event) -> None:
        """What somebody said: to be answered in writing, which Home Assistant then speaks."""
        said = data_of(event, Text)
        name = said.context.conversation_id if said.context is not None else None
        conversation = self._conversations.take(name) if name else self._conversations.alone()
        context = event.data.get("context")
        try:
            async with conversation.alone:
                answer = await self._answer(conversation, said.text, context)
                await self._peer.send(Handled(text=answer, context=context))
                conversation.delivered()
            await self._peer.send(HandledStop())
        except (ApiError, MimoEdgeError) as error:
            told = error if isinstance(error, ApiError) else api_error(error)
            _log.info("Wyoming: not handled (%s)", told.code or told.type)
            await self._peer.send(NotHandled(text=told.message, context=context))
        finally:
            if not name:
                asyncio.get_running_loop().run_in_executor(None, conversation.close)

    async def _answer(
        self, conversation: Conversation, text: str, context: dict[str, Any] | None
    ) -> str:
        most = self._service.options.limits.text_characters
        if not text.strip():
            raise BadInputError("there is no text to answer; say something.")
        if len(text) > most:
            raise BadInputError(
                f"the text has {len(text):,} characters, and at most {most:,} are taken; "
                "make it shorter."
            )
        said = ""
        async with self._peer.working("handle") as work:
            events = work.events(lambda cancel: conversation.answer(text, cancel))
            async with aclosing(events):
                async for part in events:
                    if isinstance(part, TextDelta):
                        if not said:
                            await self._peer.send(HandledStart(context=context))
                        said += part.text
                        await self._peer.send(HandledChunk(text=part.text))
                    elif isinstance(part, TurnEnd):
                        work.generated(part.stats)
        return said.strip()
