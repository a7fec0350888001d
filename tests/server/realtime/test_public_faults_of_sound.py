"""Public faults of realtime servers in how sound is taken, sent and played."""

from __future__ import annotations

import base64

import numpy as np
import pytest
import soxr

from mimo_edge.audio.voice_activity import SileroDetector
from mimo_edge.dialogue.turn_events import TurnFinished, TurnStarted
from mimo_edge.server.realtime.model_port import SoundDelta
from mimo_edge.server.realtime.pacing import DELTA_S
from mimo_edge.server.realtime.session_parameters import ServerVad
from mimo_edge.server.realtime.turn_detection import VoiceTurns

from .scripted import QUIET, VOICE, Sides
from .talker import RATE, Talker, question, silence, sound_of, words
from .test_public_faults import SUM, interrupt, sound_part, spoken_item


def test_ava_ai_441_the_resampler_knows_what_came_before(talker: Talker) -> None:
    """Sound at another rate, cut into small pieces, becomes what it becomes as a whole."""
    talker.configure(
        audio={"input": {"turn_detection": None, "format": {"type": "audio/pcm", "rate": 48_000}}}
    )
    tone = (8000 * np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000)).astype("<i2")
    recordings = []
    for chunk in (480, 48_000):
        talker.say(tone, chunk=chunk)
        talker.send("input_audio_buffer.commit")
        item = talker.until("input_audio_buffer.committed")["item_id"]
        audio = base64.b64decode(sound_part(talker, item)["audio"])
        recordings.append(np.frombuffer(audio, "<i2").astype(int))
    pieces, whole = recordings
    assert len(pieces) == len(whole)
    assert np.abs(pieces - whole).max() <= 2


def test_izwi_198_frames_of_48_khz_are_heard(talker: Talker) -> None:
    talker.configure(audio={"input": {"format": {"type": "audio/pcm", "rate": 48_000}}})
    talker.say(np.concatenate([question("sum", 48_000), silence(1.0, 48_000)]), chunk=960)
    assert words(talker.answer()) == SUM


def test_cloudflare_agents_1736_there_is_no_click_at_a_seam() -> None:
    """The pieces of an answer are one sound: at another rate, as if it was converted whole."""
    sides = Sides()
    sides.configure(audio={"output": {"format": {"type": "audio/pcm", "rate": 48_000}}})
    sides.turn()
    tone = (0.5 * np.sin(np.arange(RATE) * 2 * np.pi * 440 / RATE)).astype(np.float32)
    for start in range(0, len(tone), 3840):  # a patch
        told = SoundDelta(response=sides.response, samples=tone[start : start + 3840])
        sides.session.model_event(told, sides.now)
        sides.wait(0.1)
    sides.answered()
    sides.wait(2.0)
    deltas = sides.all("response.output_audio.delta")
    longest = max(len(base64.b64decode(event["delta"])) for event in deltas) / 2 / 48_000
    assert longest <= DELTA_S
    whole = soxr.resample(tone, RATE, 48_000) * 32768
    sent = sound_of(sides.events)
    assert len(sent) == len(whole)
    assert np.abs(sent - whole).max() < 4


def test_sutando_4240_the_rate_is_told_and_kept(talker: Talker) -> None:
    given = {"output": {"format": {"type": "audio/pcm", "rate": 48_000}}}
    assert talker.configure(audio=given)["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 48_000},
        "voice": "default",
        "speed": 1.0,
    }
    answer = talker.ask("sum")
    assert answer["audio"]["output"]["format"]["rate"] == 48_000
    patches = answer["usage"]["output_token_details"]["audio_tokens"]
    assert len(sound_of(talker.events)) / 48_000 == pytest.approx(0.16 * patches, abs=0.2)


def test_openclaw_116734_a_client_never_has_more_than_a_second_to_play() -> None:
    sides = Sides()
    sides.turn()
    began = sides.now
    sides.sound(60.0)
    sides.answered()
    while "response.done" not in sides.kinds:
        assert sides.sent_s - (sides.now - began) <= 1.0 + 1e-6
        sides.wait(0.05)
    assert sides.sent_s == pytest.approx(60.0)


def test_vexa_157_a_detector_forgets_where_nothing_happens() -> None:
    sides = Sides()
    fresh = sides.detector.resets
    sides.say((QUIET, 600.0))
    assert 8 <= sides.detector.resets - fresh <= 10
    sides.turn()
    assert len(sides.model.answers) == 1
    sides.say((VOICE, 50.0))
    assert 8 <= sides.detector.resets - fresh <= 10


@pytest.mark.slow
def test_vexa_157_a_question_is_heard_after_a_long_hum() -> None:
    turns = VoiceTurns(SileroDetector(RATE), RATE, ServerVad())
    random = np.random.default_rng(1)
    hum = 0.004 * np.sin(np.arange(RATE) * 2 * np.pi * 50 / RATE)
    for _ in range(1200):
        noise = 0.001 * random.standard_normal(RATE)
        assert turns.feed((hum + noise).astype(np.float32)) == []
    said = np.concatenate([question("sum"), silence(1.0)]).astype(np.float32) / np.float32(32768)
    events = [
        e for start in range(0, len(said), 2400) for e in turns.feed(said[start : start + 2400])
    ]
    assert isinstance(events[0], TurnStarted) and isinstance(events[-1], TurnFinished)
    assert events[-1].start >= 1200 * RATE - RATE


def test_an_interruption_leaves_a_second_at_most_unplayed(talker: Talker) -> None:
    """So that a client that does not even stop playing is done soon."""
    talker.say(np.concatenate([question("count"), silence(1.0)]))
    item = spoken_item(talker)
    talker.until("response.output_audio.delta")
    interrupt(talker)
    sent = len(sound_of(talker.events)) / RATE
    kept = len(base64.b64decode(sound_part(talker, item)["audio"])) / 2 / RATE
    assert sent - kept <= 1.0
