"""A conversation over microphone and speaker: what is opened for it, and in which order."""

from __future__ import annotations

import contextlib
import queue
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from ..audio.voice_activity import SileroDetector
from ..dialogue.conversation import Conversation
from ..dialogue.echo import EchoCanceller
from ..dialogue.events import Opened
from ..dialogue.model_events import ModelEvent
from ..dialogue.model_worker import ModelWorker
from ..dialogue.push_to_talk import PushToTalk
from ..dialogue.recording import Recording
from ..dialogue.turn_events import BargeInMode, TurnSettings
from ..dialogue.turns import TurnTaker
from ..model import MimoAudio
from ..session import Session
from .controls import Controls
from .live_devices import LiveDevices
from .loop import Loop, Teller
from .view import View

__all__ = ["LiveSettings", "talk"]


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """How to talk with the model over microphone and speaker."""

    input_device: str | None
    output_device: str | None
    barge_in: BargeInMode
    push_to_talk: bool
    end_silence: float
    """Seconds of silence that end a turn."""
    lookahead: int
    """Mel frames that sound waits for; see `SoundOptions`."""
    transcribe: bool
    """Whether questions are written down, each after it was answered."""
    record: Path | None
    """Folder for what both sides said."""


def talk(
    model: MimoAudio, session: Session, settings: LiveSettings, view: View, *, speaks: bool
) -> None:
    """Hold a conversation over microphone and speaker until the user ends it.

    Without `speaks` answers are text and no speaker is opened.

    Raises:
        MimoEdgeError: a device, a library or the recording's folder is missing.
    """
    rate, began = model.sample_rate, time.monotonic()
    turn_settings = TurnSettings(end_silence_s=settings.end_silence)
    # First whatever may be missing: a device that is opened takes the sound from other programs.
    echo = EchoCanceller(rate) if settings.barge_in == "aec" else None
    push_to_talk = PushToTalk(rate, turn_settings) if settings.push_to_talk else None
    turns = push_to_talk or TurnTaker(
        SileroDetector(rate), rate, turn_settings, barge_in=settings.barge_in
    )
    with contextlib.ExitStack() as opened:
        recording = None
        if settings.record is not None:
            recording = opened.enter_context(Recording(settings.record, rate, began=began))
        devices = opened.enter_context(
            LiveDevices(
                rate,
                input_device=settings.input_device,
                output_device=settings.output_device,
                speaks=speaks,
                quick=settings.barge_in != "off",
                echo=echo,
                recording=recording,
            )
        )
        teller = Teller(opened.enter_context(view), recording)
        _show_opened(view, model, devices)
        inbox: queue.SimpleQueue[ModelEvent] = queue.SimpleQueue()
        worker = _worker(model, session, settings, inbox)
        conversation = Conversation(
            turns,
            devices.playback,
            worker,
            teller.emit,
            rate=rate,
            began=began,
            speaks=speaks,
            resident_bytes=lambda: int(psutil.Process().memory_info().rss),
            first_turn=len(session.turns) + 1,
        )
        controls = Controls(keys=settings.push_to_talk)
        loop = Loop(devices, conversation, worker, inbox, controls, push_to_talk, teller)
        # Before the model's thread is started, so after it has ended: what was heard of the
        # last answer is known only then.
        opened.callback(loop.take_events)
        opened.enter_context(worker)
        # Last, so that Ctrl-C ends the program as usual until there is a conversation.
        opened.enter_context(controls)
        loop.run()


def _show_opened(view: View, model: MimoAudio, devices: LiveDevices) -> None:
    """In the view only: a recording tells what was said, not with what."""
    microphone, speaker = devices.names
    name = f"{model.manifest.name}, {model.manifest.recipe}"
    view.show(Opened(model=name, microphone=microphone, speaker=speaker))


def _worker(
    model: MimoAudio,
    session: Session,
    settings: LiveSettings,
    inbox: queue.SimpleQueue[ModelEvent],
) -> ModelWorker:
    def write_down(samples: NDArray[np.float32]) -> str:
        return model.transcribe(samples).text

    return ModelWorker(
        session,
        model.listener(),
        inbox.put,
        lookahead=settings.lookahead,
        write_down=write_down if settings.transcribe else None,
    )
