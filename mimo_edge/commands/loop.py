"""The microphone loop: devices, threads and keys around `Conversation`.

microphone's thread → blocks ─→ this loop ─→ Conversation ─→ model's thread
speaker's thread ← Playback ←───────┘   ↑──── text, sound ──────┘
"""

from __future__ import annotations

import contextlib
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from ..audio.voice_activity import SileroDetector
from ..devices.device_stream import DeviceStream
from ..devices.microphone import Microphone
from ..devices.portaudio import DeviceLost
from ..devices.speaker import CALM_S, QUICK_S, Speaker
from ..dialogue.conversation import Conversation
from ..dialogue.echo import EchoCanceller
from ..dialogue.events import AnswerText, Level, LiveEvent, Notice, Opened, StateChanged, record_of
from ..dialogue.model_events import ModelEvent
from ..dialogue.model_worker import ModelWorker
from ..dialogue.playback import Playback
from ..dialogue.push_to_talk import PushToTalk
from ..dialogue.recording import Recording
from ..dialogue.turn_events import BargeInMode, TurnSettings
from ..dialogue.turns import TurnTaker
from ..errors import MimoEdgeError
from ..model import MimoAudio
from ..session import Session
from .remedies import with_option
from .view import View

__all__ = ["LiveSettings", "talk"]

_READ_S = 0.01
_TWICE_S = 3.0
"""Two Ctrl-C within this time end the program."""
_RETRY_S = 1.0
_MUTED_S = 5.0


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """How to talk with the model."""

    input_device: str | None = None
    output_device: str | None = None
    barge_in: BargeInMode = "off"
    push_to_talk: bool = False
    lookahead: int | None = None
    """Mel frames that sound waits for; see `SoundOptions`."""
    speaks: bool = True
    """False: answers are text, no speaker is opened."""
    transcribe: bool = False
    """Whether questions are written down, each after it was answered."""
    record: Path | None = None
    turns: TurnSettings = field(default_factory=TurnSettings)


def talk(model: MimoAudio, session: Session, settings: LiveSettings, view: View) -> None:
    """Talk until Ctrl-C is pressed twice.

    Raises:
        MimoEdgeError: a device, a library or the recording's folder is missing.
    """
    _Loop(model, session, settings, view).run()


class _Loop:
    """What one conversation holds open."""

    def __init__(
        self, model: MimoAudio, session: Session, settings: LiveSettings, view: View
    ) -> None:
        self._model, self._session, self._settings, self._view = model, session, settings, view
        self._rate = rate = model.sample_rate
        self._inbox: queue.SimpleQueue[ModelEvent] = queue.SimpleQueue()
        self._playback = Playback(rate, latency=self._latency)
        self._echo = EchoCanceller(rate) if settings.barge_in == "aec" else None
        self._push_to_talk = PushToTalk(rate, settings.turns) if settings.push_to_talk else None
        self._recording: Recording | None = None
        self._speaker: Speaker | None = None
        self._told: set[str] = set()
        self._heard = False
        """Whether the microphone ever gave anything but zeros."""
        self._interrupts = 0
        self._interrupted_at = -_TWICE_S
        self._keys: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._pressed = False
        self._began = time.monotonic()

    def run(self) -> None:
        """Everything, from opening to closing."""
        settings = self._settings
        turns = self._push_to_talk or TurnTaker(
            SileroDetector(self._rate), self._rate, settings.turns, barge_in=settings.barge_in
        )
        with contextlib.ExitStack() as opened:
            if settings.record is not None:
                recording = Recording(settings.record, self._rate, began=self._began)
                self._recording = opened.enter_context(recording)
            microphone = opened.enter_context(Microphone(settings.input_device, self._rate))
            if settings.speaks:
                latency_s = CALM_S if settings.barge_in == "off" else QUICK_S
                speaker = Speaker(
                    self._pull, settings.output_device, self._rate, latency_s=latency_s
                )
                self._speaker = opened.enter_context(speaker)
            opened.enter_context(self._view)
            self._view.show(
                Opened(
                    model=f"{self._model.manifest.name}, {self._model.manifest.recipe}",
                    microphone=str(microphone.device),
                    speaker=str(self._speaker.device) if self._speaker is not None else None,
                )
            )
            worker = ModelWorker(
                self._session,
                self._model.listener(),
                self._inbox.put,
                lookahead=settings.lookahead,
                write_down=self._write_down if settings.transcribe else None,
            )
            opened.enter_context(worker)
            conversation = Conversation(
                turns,
                self._playback,
                worker,
                self._emit,
                rate=self._rate,
                began=self._began,
                speaks=settings.speaks,
                resident_bytes=lambda: int(psutil.Process().memory_info().rss),
                first_turn=len(self._session.turns) + 1,
            )
            opened.enter_context(self._hear_ctrl_c())
            if self._push_to_talk is not None:
                threading.Thread(target=self._read_keys, daemon=True).start()
            self._turn(conversation, microphone, worker)

    def _turn(
        self, conversation: Conversation, microphone: Microphone, worker: ModelWorker
    ) -> None:
        """The loop itself, until the user has had enough."""
        while self._goes_on(conversation):
            if worker.failure is not None:
                raise worker.failure
            try:
                block = microphone.read(_READ_S)
                if self._speaker is not None:
                    self._speaker.check()
                    if self._speaker.hurried and not conversation.busy:
                        self._calm(self._speaker)
            except DeviceLost as error:
                self._wait_for_devices(conversation, microphone, error)
                continue
            if block is not None:
                if self._recording is not None:
                    self._recording.write("user", block.samples, block.at)
                samples = block.samples
                if self._echo is not None:
                    samples = self._echo.captured(samples)
                conversation.hear(samples, block.end)
                self._warn(microphone)
            while not self._inbox.empty():
                conversation.model_event(self._inbox.get(), time.monotonic())
            conversation.tick(time.monotonic())

    def _calm(self, speaker: Speaker) -> None:
        self._tell(
            f"the speaker ran dry {speaker.underflows} times, this machine is busy: from now on it "
            f"holds {CALM_S:g} s of sound ahead, and falls silent so much later when you speak "
            "over an answer."
        )
        speaker.calm()

    def _write_down(self, samples: NDArray[np.float32]) -> str:
        """The model's thread."""
        return self._model.transcribe(samples).text

    def _latency(self) -> float:
        return self._speaker.latency if self._speaker is not None else 0.0

    def _pull(self, count: int) -> NDArray[np.float32]:
        """The speaker's thread: what is to be played next."""
        samples = self._playback.pull(count)
        if self._echo is not None:
            self._echo.played(samples)
        if self._recording is not None and samples.any():
            self._recording.write("assistant", samples, time.monotonic() + self._latency())
        return samples

    def _emit(self, event: LiveEvent) -> None:
        self._view.show(event)
        if self._recording is not None:
            if not isinstance(event, Level | StateChanged | AnswerText):
                self._recording.note(record_of(event))
            if self._recording.problem is not None:
                self._tell(self._recording.problem)

    def _tell(self, sentence: str) -> None:
        """Say something once."""
        if sentence not in self._told:
            self._told.add(sentence)
            self._view.show(Notice(text=sentence))

    def _warn(self, microphone: Microphone) -> None:
        self._heard = self._heard or not microphone.digital_silence_s
        if microphone.digital_silence_s > _MUTED_S and not self._heard:
            self._tell(
                f"the microphone {microphone.device.name!r} gives nothing but zeros: it is muted, "
                "or the system does not let this program hear it."
            )

    def _goes_on(self, conversation: Conversation) -> bool:
        """Obey Ctrl-C and the key; False at the end."""
        now = time.monotonic()
        while not self._keys.empty():
            if self._keys.get() is None:
                if not self._pressed and not sys.stdin.isatty():
                    raise MimoEdgeError(
                        "push to talk needs the Enter key, and standard input ended before it was "
                        "pressed; run it on a terminal."
                    )
                return False
            self._pressed = True
            self._toggle(conversation, now)
        if not self._interrupts:
            return True
        again = self._interrupts > 1 or now - self._interrupted_at < _TWICE_S
        self._interrupts, self._interrupted_at = 0, now
        if again:
            return False
        conversation.interrupt(now)
        self._view.show(Notice(text="Ctrl-C once more ends the conversation."))
        return True

    def _toggle(self, conversation: Conversation, now: float) -> None:
        assert self._push_to_talk is not None
        events = self._push_to_talk.release() or self._push_to_talk.press()
        conversation.turn_events(events, now)

    def _read_keys(self) -> None:
        """Enter begins and ends a turn: terminals do not tell when a key is released."""
        with contextlib.suppress(OSError):  # closed, or a terminal that is gone
            for line in sys.stdin:
                self._keys.put(line)
        self._keys.put(None)

    def _wait_for_devices(
        self, conversation: Conversation, microphone: Microphone, error: DeviceLost
    ) -> None:
        """Try again every second until both devices are back, or the user ends it."""
        conversation.pause(time.monotonic())
        self._view.show(Notice(text=with_option(error)))
        devices: list[DeviceStream] = [microphone]
        if self._speaker is not None:
            devices.append(self._speaker)
        while self._goes_on(conversation):
            time.sleep(_RETRY_S)
            try:
                for device in devices:
                    _revive(device)
            except DeviceLost:
                continue
            self._view.show(Notice(text="the devices are back."))
            conversation.resume()
            return
        self._interrupts = 2  # the loop ends as well

    @contextlib.contextmanager
    def _hear_ctrl_c(self) -> Iterator[None]:
        def count(*_: Any) -> None:
            self._interrupts += 1

        before = signal.signal(signal.SIGINT, count)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _revive(device: DeviceStream) -> None:
    try:
        device.check()
    except DeviceLost:
        device.reopen()
