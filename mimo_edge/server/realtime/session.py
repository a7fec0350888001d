"""One realtime session as pure logic: events of the client and of the model in, events out.

    client events, sound ─→ InputSide ─ turns ─→ Items ─ plans ─→ ModelPort
                            events of the model ─→ OutputSide ─→ events to the client

It has no thread, no socket and no clock: whoever runs it passes the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dialogue.turn_events import (
    PauseStarted,
    SpeechResumed,
    TurnEvent,
    TurnFinished,
    TurnStarted,
)
from ...dialogue.turns import VoiceDetector
from ...tasks import Overrides
from . import client_events as asked_for
from .contents import InputAudio, Utterance
from .input_side import InputSide
from .item_reading import ItemReader
from .items import Item, Items
from .model_port import ModelEvent, ModelPort
from .output_side import OutputSide
from .planning import Planner
from .server_events import Event, event, new_id
from .session_parameters import ServerVad
from .settings import Settings, SettingsReader

__all__ = ["Session", "SessionOptions"]

_HEAR_EVERY_S = 0.5
"""Seconds of sound after which the model gets a turn that goes on; see `dialogue.conversation`."""
_PIECE_S = 0.1
"""Seconds of sound that are heard at once, so that a long piece does not stop the others."""


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """What a session is told by its server."""

    model: str
    """Its name."""
    rate: int
    """Of the model's sound, Hz."""
    can_speak: bool
    longest_text: int
    """Characters of instructions."""
    longest_item: int
    """Characters of all texts of an item."""
    strict: bool
    overrides: Overrides
    new_detector: Callable[[], VoiceDetector]
    find_voice: Callable[[str], str | None]
    first_sound: Callable[[float], None] = lambda seconds: None
    """Told the seconds from the beginning of an answer to its first sound."""


class Session:
    """For the event loop; `now` is seconds of a clock that never goes back."""

    def __init__(
        self, options: SessionOptions, model: ModelPort, emit: Callable[[Event], None]
    ) -> None:
        """`emit` gets every event for the client, in order."""
        self._options, self._model, self._emit = options, model, emit
        self._id, conversation = new_id("sess"), new_id("conv")
        self._settings = Settings(speaks=options.can_speak)
        self._settings_reader = SettingsReader(
            can_speak=options.can_speak,
            longest_text=options.longest_text,
            strict=options.strict,
            find_voice=options.find_voice,
        )
        self._item_reader = ItemReader(options.rate, longest_text=options.longest_item)
        self._items = Items(options.rate)
        self._planner = Planner(self._items, options.overrides)
        self._input = InputSide(options.rate, options.new_detector)
        self._input.configure(self._settings)
        self._output = OutputSide(
            self._items,
            model,
            emit,
            rate=options.rate,
            conversation=conversation,
            add_item=self._added,
            item_done=self._done,
            first_sound=options.first_sound,
        )
        self._turn_id: str | None = None
        """Of the item that the turn in progress will be."""
        self._candidate: Utterance | None = None
        """The turn in progress, if the present pause is its end."""
        self._passed_on = 0
        """Milliseconds of sound, when the model last got a turn in progress."""
        self._owed = False
        """Whether a turn waits for the end of another answer to be answered."""
        self._silent_since: float | None = None
        """When the client last had something to hear or to say, for its idle timeout."""

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._output.answering

    def close(self) -> None:
        """Let go of sound and detector at once; the rest may wait for the garbage collector."""
        self._candidate = None
        self._items.clear()
        self._input.close()
        self._output.close()

    def begin(self) -> None:
        """Greet the client."""
        self._emit(event("session.created", {"session": self._shown()}))

    def client_event(self, given: asked_for.ClientEvent, now: float) -> None:
        """Take an event of the client; sound is taken by `hear`.

        Raises:
            ApiError: it cannot be done, and nothing has changed.
        """
        if isinstance(given, asked_for.UpdateSession):
            self._update(given.session)
        elif isinstance(given, asked_for.Commit):
            self._commit(now)
        elif isinstance(given, asked_for.Clear):
            self._clear()
        elif isinstance(given, asked_for.CreateItem):
            self._create(given)
        elif isinstance(given, asked_for.DeleteItem):
            self._items.delete(given.item_id)
            self._emit(event("conversation.item.deleted", {"item_id": given.item_id}))
        elif isinstance(given, asked_for.RetrieveItem):
            item = self._items.get(given.item_id)
            whole = item.shown_whole(self._options.rate, self._settings.input_rate)
            self._emit(event("conversation.item.retrieved", {"item": whole}))
        elif isinstance(given, asked_for.TruncateItem):
            self._truncate(given)
        elif isinstance(given, asked_for.CreateResponse):
            self._respond(given.response, now)
        elif isinstance(given, asked_for.Cancel):
            self._output.cancel(given.response_id, now)

    def pieces(self, given: asked_for.Append) -> Iterator[NDArray[np.float32]]:
        """The sound of an event, in pieces for `hear`.

        Raises:
            ApiError: it is not base64.
        """
        samples = self._input.read(given.audio)
        size = round(_PIECE_S * self._options.rate)
        return (samples[start : start + size] for start in range(0, len(samples), size))

    def hear(self, samples: NDArray[np.float32], now: float) -> None:
        """The user's next sound: float32 [n] at the model's rate."""
        for turn_event in self._input.hear(samples):
            self._turn_event(turn_event, now)
        if self._turn_id and self._input.ms - self._passed_on > 1000 * _HEAR_EVERY_S:
            self._passed_on = self._input.ms
            if len(certain := self._input.certain()):
                self._model.hear(certain)

    def model_event(self, told: ModelEvent, now: float) -> None:
        """Take what the model told."""
        self._output.model_event(told, now)
        self._pay(now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._output.tick(now)
        self._pay(now)
        timeout = self._timeout_at(now)
        if timeout is not None and now >= timeout:
            self._time_out(now)

    def due(self, now: float) -> float | None:
        """When to call `tick` at the latest; None: not until something else happens."""
        times = [self._output.due(now), self._timeout_at(now)]
        return min((time for time in times if time is not None), default=None)

    def _update(self, given: Mapping[str, Any]) -> None:
        settings = self._settings_reader.session(self._settings, given)
        self._input.configure(settings)
        self._settings = settings
        if settings.turn_detection is None and self._turn_id is not None:
            self._turn_id = self._candidate = None
            self._model.forget()
        self._emit(event("session.updated", {"session": self._shown()}))

    def _shown(self) -> dict[str, Any]:
        return self._settings.shown(self._id, self._options.model)

    def _turn_event(self, turn: TurnEvent, now: float) -> None:
        if isinstance(turn, TurnStarted):
            self._speech_started(turn, now)
        elif isinstance(turn, PauseStarted):
            self._candidate = Utterance(turn.samples)
            if not self._output.answering:
                audio = InputAudio(utterance=self._candidate)
                self._model.prepare(self._planner.plan(self._settings, self._planner.said(audio)))
        elif isinstance(turn, SpeechResumed):
            self._candidate = None
            self._model.forget()
        elif isinstance(turn, TurnFinished):
            self._speech_stopped(turn, now)

    def _speech_started(self, turn: TurnStarted, now: float) -> None:
        self._turn_id = new_id("item")
        self._silent_since = None
        self._passed_on = self._input.ms
        place = {"audio_start_ms": self._input.started_ms(turn), "item_id": self._turn_id}
        self._emit(event("input_audio_buffer.speech_started", place))
        detection = self._settings.turn_detection
        if detection is not None and detection.interrupt_response:
            self._output.interrupt(now)

    def _speech_stopped(self, turn: TurnFinished, now: float) -> None:
        place = {"audio_end_ms": self._input.ended_ms(turn), "item_id": self._turn_id}
        self._emit(event("input_audio_buffer.speech_stopped", place))
        utterance, self._candidate = self._candidate, None
        if utterance is None or not utterance.holds(turn.samples):
            utterance = Utterance(turn.samples)
        detection = self._settings.turn_detection
        # Clients that ask for the answer themselves mostly want to know first what was said.
        waits_for_words = detection is not None and not detection.create_response
        self._committed(utterance, now, transcribe_at_once=waits_for_words)
        if detection is not None and detection.create_response:
            self._owed = True
            self._pay(now)

    def _committed(
        self, utterance: Utterance | None, now: float, *, transcribe_at_once: bool = False
    ) -> None:
        """A turn of the user is complete."""
        audio = InputAudio(utterance=utterance)
        item = Item(id=self._turn_id or new_id("item"), role="user", contents=[audio])
        self._turn_id = None
        place = {"previous_item_id": self._items.last_id, "item_id": item.id}
        self._emit(event("input_audio_buffer.committed", place))
        self._added(item)
        self._done(item)
        if self._settings.transcription and utterance is not None:
            language = self._settings.transcription.language
            self._output.write_down(item, now, language=language, at_once=transcribe_at_once)

    def _commit(self, now: float) -> None:
        samples = self._input.commit()
        self._candidate = None
        self._committed(Utterance(samples), now)

    def _clear(self) -> None:
        self._input.clear()
        self._turn_id = self._candidate = None
        self._model.forget()
        self._emit(event("input_audio_buffer.cleared"))

    def _create(self, given: asked_for.CreateItem) -> None:
        item = self._item_reader.read(given.item, self._settings.input_rate)
        self._items.add(item, given.previous_item_id)
        self._item_event("conversation.item.added", item)
        self._item_event("conversation.item.done", item)

    def _truncate(self, given: asked_for.TruncateItem) -> None:
        heard = self._output.truncate(given.item_id, given.audio_end_ms)
        place = {"item_id": given.item_id, "content_index": 0, "audio_end_ms": heard}
        self._emit(event("conversation.item.truncated", place))

    def _respond(self, given: Mapping[str, Any], now: float) -> None:
        asked = self._settings_reader.response(given)
        settings = self._settings_reader.for_response(self._settings, asked)
        said = self._planner.said()
        if asked.input is not None:
            items = [self._input_item(given) for given in asked.input]
            self._items.check(items, "response.input")
            said = [content for item in items for content in item.contents]
        self._output.begin(
            settings,
            self._planner.plan(settings, said),
            now,
            aside=asked.conversation == "none",
            metadata=asked.metadata,
        )
        if asked.conversation != "none":
            self._owed, self._silent_since = False, None

    def _input_item(self, given: Mapping[str, Any]) -> Item:
        if given.get("type") == "item_reference":
            return self._items.get(str(given.get("id")))
        return self._item_reader.read(given, self._settings.input_rate, "response.input")

    def _pay(self, now: float) -> None:
        """Answer a turn that is owed an answer, as soon as there can be one."""
        if self._output.answering:
            return
        if self._owed:
            self._owed, self._silent_since = False, None
            plan = self._planner.plan(self._settings, self._planner.said())
            self._output.begin(self._settings, plan, now, aside=False)
        elif self._silent_since is None and self._turn_id is None:
            self._silent_since = self._output.silent_at(now)

    def _timeout_at(self, now: float) -> float | None:
        detection = self._settings.turn_detection
        if not isinstance(detection, ServerVad) or detection.idle_timeout_ms is None:
            return None
        if self._silent_since is None or self._turn_id is not None or self._output.answering:
            return None
        return self._silent_since + detection.idle_timeout_ms / 1000

    def _time_out(self, now: float) -> None:
        """The user says nothing: the model may say something."""
        self._turn_id = new_id("item")
        silent_s = now - (self._silent_since or now)
        place = {
            "audio_start_ms": max(0, self._input.ms - round(1000 * silent_s)),
            "audio_end_ms": self._input.ms,
            "item_id": self._turn_id,
        }
        self._emit(event("input_audio_buffer.timeout_triggered", place))
        self._committed(None, now)
        self._owed = True
        self._pay(now)

    def _added(self, item: Item, after: str | None = None) -> None:
        known = after == "root" or after in self._items.ids  # the client may have deleted it
        self._items.add(item, after if known else None)
        self._item_event("conversation.item.added", item)

    def _done(self, item: Item) -> None:
        self._item_event("conversation.item.done", item)

    def _item_event(self, kind: str, item: Item) -> None:
        before = self._items.before(item)
        self._emit(event(kind, {"previous_item_id": before, "item": item.shown()}))
