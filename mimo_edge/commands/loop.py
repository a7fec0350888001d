"""The microphone loop: what happens between the devices, the user's keys and the conversation.

microphone's thread → blocks ─→ this loop ─→ Conversation ─→ model's thread
speaker's thread ← Playback ←───────┘   ↑──── text, sound ──────┘
"""

from __future__ import annotations

import queue
import time
from typing import Any, Protocol

from ..devices.portaudio import DeviceLost
from ..dialogue.conversation import Conversation
from ..dialogue.events import AnswerText, Level, LiveEvent, Notice, StateChanged, record_of
from ..dialogue.model_events import ModelEvent
from ..dialogue.ports import ModelPort
from ..dialogue.push_to_talk import PushToTalk
from ..dialogue.recording import Recording
from .controls import Controls
from .live_devices import LiveDevices
from .remedies import with_option
from .view import View

__all__ = ["Loop", "Teller", "Worker"]

_READ_S = 0.01
"""Longest wait for the microphone: what the model or a key says meanwhile is seen after it."""
_RETRY_S = 1.0
"""Between two attempts to get a device back."""


class Worker(ModelPort, Protocol):
    """Who answers, in threads of its own while it is entered."""

    @property
    def failure(self) -> BaseException | None:
        """What ended its thread; None: it goes on."""

    def __enter__(self) -> object:
        """Start it; it tells `Ready` when it can be asked."""

    def __exit__(self, *error: Any) -> None:
        """End it; an answer that was stopped before is still told as `Truncated`."""


class Teller:
    """Tells the view, and the recording if there is one, what happens."""

    def __init__(self, view: View, recording: Recording | None) -> None:
        self._view, self._recording = view, recording
        self._told: set[str] = set()

    def emit(self, event: LiveEvent) -> None:
        """Show an event and write it down, unless it is one of those that come all the time."""
        self._view.show(event)
        if self._recording is not None:
            if not isinstance(event, Level | StateChanged | AnswerText):
                self._recording.note(record_of(event))
            if self._recording.problem is not None:
                self.tell_once(self._recording.problem)

    def tell(self, sentence: str) -> None:
        """Show a sentence about the program, which is no part of the conversation."""
        self._view.show(Notice(text=sentence))

    def tell_once(self, sentence: str) -> None:
        """Show a sentence unless this very one was shown before."""
        if sentence not in self._told:
            self._told.add(sentence)
            self.tell(sentence)


class Loop:
    """Passes on what comes from each side, until the user has had enough."""

    def __init__(
        self,
        devices: LiveDevices,
        conversation: Conversation,
        worker: Worker,
        inbox: queue.SimpleQueue[ModelEvent],
        controls: Controls,
        push_to_talk: PushToTalk | None,
        teller: Teller,
    ) -> None:
        """`inbox` is where `worker` posts; `push_to_talk` is what the key switches, if it does."""
        self._devices, self._conversation = devices, conversation
        self._worker, self._inbox = worker, inbox
        self._controls, self._push_to_talk = controls, push_to_talk
        self._teller = teller

    def run(self) -> None:
        """Return when the user ends the conversation.

        Raises:
            BaseException: what ended the worker's thread.
            MimoEdgeError: push to talk has no keys.
        """
        try:
            while self._goes_on():
                if self._worker.failure is not None:
                    raise self._worker.failure
                try:
                    self._hear()
                except DeviceLost as error:
                    if not self._get_back(error):
                        return
                    continue
                self.take_events()
                self._conversation.tick(time.monotonic())
        finally:
            self._conversation.close(time.monotonic())

    def take_events(self) -> None:
        """Pass on what the model said; once more after its thread has ended."""
        while not self._inbox.empty():
            self._conversation.model_event(self._inbox.get(), time.monotonic())

    def _hear(self) -> None:
        """Pass the microphone's next block on, and tell what is odd about the devices."""
        heard = self._devices.hear(_READ_S)
        # Opening the speaker anew loses sound, so not in the middle of an answer.
        if (hurried := self._devices.hurried) and not self._conversation.busy:
            self._teller.tell_once(hurried)
            self._devices.calm()
        if heard is None:
            return
        samples, end = heard
        self._conversation.hear(samples, end)
        if muted := self._devices.muted:
            self._teller.tell_once(muted)

    def _goes_on(self) -> bool:
        """Obey the key and Ctrl-C; False at the end."""
        now = time.monotonic()
        for control in self._controls.poll(now):
            if control == "end":
                return False
            if control == "interrupt":
                self._conversation.interrupt(now)
                self._teller.tell("Ctrl-C once more ends the conversation.")
            elif self._push_to_talk is not None:
                events = self._push_to_talk.release() or self._push_to_talk.press()
                self._conversation.turn_events(events, now)
        return True

    def _get_back(self, error: DeviceLost) -> bool:
        """Try every second until both devices are back; False if the user ends it meanwhile."""
        self._conversation.pause(time.monotonic())
        self._teller.tell(with_option(error))
        while self._goes_on():
            time.sleep(_RETRY_S)
            try:
                self._devices.revive()
            except DeviceLost:
                continue
            self._teller.tell("the devices are back.")
            self._conversation.resume()
            return True
        return False
