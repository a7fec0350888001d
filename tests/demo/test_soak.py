"""A long conversation, as fast as the machine can: memory stays flat, the context rolls.

Everything is real but the devices and the clock, which waits for the model.
"""

from __future__ import annotations

import itertools
import queue

import numpy as np
import psutil
import pytest
import soundfile

from mimo_edge.audio.voice_activity import SileroDetector
from mimo_edge.dialogue.conversation import Conversation
from mimo_edge.dialogue.events import AnswerHeard, LiveEvent, Notice, TurnReport
from mimo_edge.dialogue.model_events import Ended, Failed, ModelEvent
from mimo_edge.dialogue.model_worker import ModelWorker
from mimo_edge.dialogue.playback import Playback
from mimo_edge.dialogue.turns import TurnTaker
from mimo_edge.model import MimoAudio
from mimo_edge.tasks import Overrides

from .conftest import Question

RATE = 24_000
BLOCK = 480
MINUTES = 12
GROWTH = 8e6
"""Bytes from the fifth minute to the last."""


@pytest.mark.slow
def test_many_turns(exact: MimoAudio, questions: dict[str, Question]) -> None:
    names = ("sum", "color", "memory", "opposite", "name", "difference", "count")
    recordings = [soundfile.read(questions[name].path, dtype="float32")[0] for name in names]
    events: list[LiveEvent] = []
    inbox: queue.SimpleQueue[ModelEvent] = queue.SimpleQueue()
    now, sizes = 0.0, []

    with (
        exact.session(overrides=Overrides(seed=1, max_new_tokens=120)) as session,
        ModelWorker(session, exact.listener(), inbox.put, lookahead=16) as worker,
    ):
        playback = Playback(RATE)
        turns = TurnTaker(SileroDetector(RATE), RATE)
        talk = Conversation(turns, playback, worker, events.append, rate=RATE, began=0.0)

        def pass_on(event: ModelEvent) -> ModelEvent:
            talk.model_event(event, now)
            return event

        pass_on(inbox.get())
        for recording in itertools.cycle(recordings):
            sound = np.concatenate([recording, np.zeros(RATE, np.float32)])
            for start in range(0, len(sound), BLOCK):
                now += BLOCK / RATE
                talk.hear(sound[start : start + BLOCK], now)
                if talk.state == "thinking":
                    while not isinstance(pass_on(inbox.get(timeout=60)), Ended | Failed):
                        pass
                playback.pull(BLOCK)
                talk.tick(now)
            while talk.state in ("thinking", "speaking"):
                now += BLOCK / RATE
                talk.hear(np.zeros(BLOCK, np.float32), now)
                playback.pull(BLOCK)
                talk.tick(now)
            if now > 300:
                sizes.append(psutil.Process().memory_info().rss)
            if now > MINUTES * 60:
                break
        reports = [event for event in events if isinstance(event, TurnReport)]
        answers = [event for event in events if isinstance(event, AnswerHeard)]
        assert len(session.turns) < len(reports) / 10  # the oldest ones left
    assert len(reports) > 150
    assert not [event for event in events if isinstance(event, Notice)]
    late = [answer.text for answer in answers[-len(answers) // 3 :]]
    assert late.count("the sky is blue") >= len(late) // len(names) - 1
    assert max(sizes) - sizes[0] < GROWTH, [round(size / 1e6) for size in sizes[::20]]
    # A rolling context is no reason to evaluate it again while the user waits.
    waited = [report.evaluated_positions for report in reports]
    assert np.mean(waited) < 40, waited
