"""A conversation over microphone and speaker: what is opened for it, and in which order.

Who answers is a `Partner`: a model of this machine (`local_partner`) or a server's.
"""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ..audio.voice_activity import SileroDetector
from ..dialogue.conversation import Conversation
from ..dialogue.echo import EchoCanceller
from ..dialogue.events import Opened
from ..dialogue.model_events import ModelEvent
from ..dialogue.playback import PlaybackSettings
from ..dialogue.push_to_talk import PushToTalk
from ..dialogue.recording import Recording
from ..dialogue.turn_events import BargeInMode, TurnSettings
from ..dialogue.turns import TurnTaker
from .controls import Controls
from .live_devices import LiveDevices
from .loop import Loop, Teller, Worker
from .view import View

__all__ = ["LiveSettings", "Partner", "converse"]


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """How to talk over microphone and speaker."""

    input_device: str | None
    output_device: str | None
    barge_in: BargeInMode
    push_to_talk: bool
    end_silence: float
    """Seconds of silence that end a turn."""
    record: Path | None
    """Folder for what both sides said."""


@dataclass(frozen=True, kw_only=True)
class Partner:
    """Who answers in a conversation."""

    name: str
    """As it is shown to the user."""
    rate: int
    """Hz, of what it hears and says."""
    speaks: bool
    """Whether its answers have sound; else they are text, and no speaker is opened."""
    worker: Callable[[Callable[[ModelEvent], None]], Worker]
    """Makes what answers, which tells the function it is given what comes of it."""
    first_turn: int = 1
    """Number of the first question; more than 1 where a conversation goes on."""
    playback: PlaybackSettings = field(default_factory=PlaybackSettings)


def converse(partner: Partner, settings: LiveSettings, view: View) -> None:
    """Hold a conversation over microphone and speaker until the user ends it.

    Raises:
        MimoEdgeError: a device, a library or the recording's folder is missing, or the partner
            is gone.
    """
    rate, began = partner.rate, time.monotonic()
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
                speaks=partner.speaks,
                quick=settings.barge_in != "off",
                playback=partner.playback,
                echo=echo,
                recording=recording,
            )
        )
        teller = Teller(opened.enter_context(view), recording)
        _show_opened(view, partner, devices)
        inbox: queue.SimpleQueue[ModelEvent] = queue.SimpleQueue()
        worker = partner.worker(inbox.put)
        conversation = Conversation(
            turns,
            devices.playback,
            worker,
            teller.emit,
            rate=rate,
            began=began,
            speaks=partner.speaks,
            resident_bytes=lambda: int(psutil.Process().memory_info().rss),
            first_turn=partner.first_turn,
        )
        controls = Controls(keys=settings.push_to_talk)
        loop = Loop(devices, conversation, worker, inbox, controls, push_to_talk, teller)
        # Before the partner's thread is started, so after it has ended: what was heard of the
        # last answer is known only then.
        opened.callback(loop.take_events)
        opened.enter_context(worker)
        # Last, so that Ctrl-C ends the program as usual until there is a conversation.
        opened.enter_context(controls)
        loop.run()


def _show_opened(view: View, partner: Partner, devices: LiveDevices) -> None:
    """In the view only: a recording tells what was said, not with what."""
    microphone, speaker = devices.names
    view.show(Opened(model=partner.name, microphone=microphone, speaker=speaker))
