"""Conversations through a virtual microphone and speaker with the demo model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.prompt.positions import Positions
from tests.tools.exact_demo import load_exact_demo
from tests.tools.sound_server import RATE, Capture, SoundServer
from tests.tools.talker import talking
from training.words import word_errors

pytestmark = pytest.mark.microphone

CTRL_C = "Ctrl-C once more ends the conversation."
QUESTIONS = Path(__file__).parent.parent / "data" / "demo"


def ask(server: SoundServer, name: str) -> None:
    server.say(QUESTIONS / f"{name}.flac")


def transcribe(samples: np.ndarray) -> str:
    """By the model itself."""
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    samples = samples[max(0, loud[0] - 4800) : loud[-1] + 4800]
    with load_exact_demo() as model:
        return model.transcribe(samples.astype(np.float32)).text


def starts(capture: Capture) -> np.ndarray:
    """When something begins to sound after 0.8 s without, in seconds of `time.monotonic()`."""
    loud = np.flatnonzero(np.abs(capture.samples) > 0.02) / RATE + capture.started
    return loud[np.diff(loud, prepend=-1) > 0.8]


def ends(capture: Capture) -> np.ndarray:
    """When it ends."""
    loud = np.flatnonzero(np.abs(capture.samples) > 0.02) / RATE + capture.started
    return loud[np.diff(loud, append=np.inf) > 0.8]


def test_a_spoken_question_is_answered_aloud(sound_server: SoundServer, tmp_path: Path) -> None:
    record = tmp_path / "recorded"
    with sound_server.capture() as capture, talking(sound_server, "--record", record) as talker:
        ask(sound_server, "sum")
        answer = talker.wait_for("answer")
        report = talker.wait_for("report")
        time.sleep(0.5)
        assert talker.end() == 0, talker.story()
    assert answer["text"] == "seven plus five is twelve"
    errors, words = word_errors(answer["text"], transcribe(capture.samples))
    assert errors <= 1, words  # training/README.md: one in twenty-five is misheard
    assert report["first_sound_seconds"] > 0 and report["prepared_positions"] > 10
    assert report["evaluated_positions"] == 0  # all of it was evaluated during the pause
    # Both recordings have one time line, and what was heard is what was played.
    user, rate = soundfile.read(record / "user.wav", dtype="float32")
    assistant, _ = soundfile.read(record / "assistant.wav", dtype="float32")
    assert rate == RATE and len(user) == len(assistant)
    span = slice(int(answer["start"] * RATE), int(answer["end"] * RATE))
    assert np.abs(assistant[span]).max() > 0.05 > np.abs(assistant[: span.start - RATE // 2]).max()
    lines = [json.loads(line) for line in (record / "transcript.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines if line["event"] != "notice"] == [
        "question",
        "answer",
        "report",
    ]


def test_the_second_turn_remembers_the_first(sound_server: SoundServer, tmp_path: Path) -> None:
    saved = tmp_path / "talk.npz"
    with talking(sound_server, "--save-session", saved) as talker:
        ask(sound_server, "color")
        assert talker.wait_for("answer")["text"] == "the sky is blue"
        time.sleep(0.5)
        ask(sound_server, "memory")
        assert talker.wait_for("answer")["text"] == "you said what color is the sky"
        talker.wait_for("report", turn=1)
        report = talker.wait_for("report", turn=2)
        assert report["cached_positions"] > report["prepared_positions"]
        assert talker.end() == 0
    with talking(sound_server, "--load-session", saved, "--text-only") as talker:
        ask(sound_server, "sum")
        answer = talker.wait_for("answer")
        assert answer["turn"] == 3 and answer["text"] == "seven plus five is twelve"


def test_barge_in(sound_server: SoundServer) -> None:
    """Speaking over the answer stops it; the next question is answered."""
    with (
        sound_server.capture() as speaker,
        sound_server.capture("mouth.monitor") as voice,
        talking(sound_server, "--barge-in", "headphones") as talker,
    ):
        ask(sound_server, "count")
        talker.wait_for("state", state="speaking")
        time.sleep(0.5)
        ask(sound_server, "name")
        cut = talker.wait_for("answer")
        assert cut["interrupted"]
        assert talker.wait_for("answer")["text"] == "my name is echo"
        assert talker.end() == 0
    assert len(cut["text"].split()) < 5
    # From the second question's first sound to the silence between the answers.
    began, silent = starts(voice)[1], ends(speaker)[0]
    assert silent - began < 0.35, (began, silent)  # 0.11 to 0.14 s on an idle machine


def test_an_echo_is_not_taken_for_the_user(sound_server: SoundServer) -> None:
    """The microphone hears the speaker: the answer goes on, but the user can still cut it."""
    pytest.importorskip("livekit", reason="echo cancellation needs livekit")
    with (
        sound_server.leak(percent=60),
        talking(sound_server, "--barge-in", "aec") as talker,
    ):
        ask(sound_server, "memory")
        talker.wait_for("state", state="speaking")
        answer = talker.wait_for("answer")
        assert not answer["interrupted"], talker.story()
        time.sleep(1)
        ask(sound_server, "count")
        talker.wait_for("state", state="speaking")
        time.sleep(0.3)
        ask(sound_server, "sum")  # 2 s: of 1 s one in ten is drowned altogether
        assert talker.wait_for("answer")["interrupted"], talker.story()
        assert talker.wait_for("answer")["text"]  # to words that lost their beginning to the echo
        time.sleep(0.5)
        ask(sound_server, "name")
        assert talker.wait_for("answer")["text"] == "my name is echo"
        assert len(talker.of("question")) == 4
        assert talker.end() == 0


def test_push_to_talk(sound_server: SoundServer) -> None:
    """Nothing is heard but what is said while the key is down."""
    with talking(sound_server, "--push-to-talk") as talker:
        ask(sound_server, "color")
        talker.press_enter()
        talker.wait_for("state", state="hearing")
        ask(sound_server, "sum")
        talker.press_enter()
        assert talker.wait_for("answer")["text"] == "seven plus five is twelve"
        assert talker.of("question")[0]["turn"] == 1
        assert talker.end() == 0


def test_a_microphone_that_vanishes_and_returns(sound_server: SoundServer) -> None:
    with talking(sound_server) as talker:
        sound_server.unplug_microphone()
        try:
            talker.wait_for("state", state="paused", timeout=15)
            assert "connect it again" in talker.wait_for("notice")["text"]
        finally:
            sound_server.plug_in_microphone()
        talker.wait_for("state", state="listening", timeout=20)
        time.sleep(0.3)
        ask(sound_server, "sum")
        assert talker.wait_for("answer")["text"] == "seven plus five is twelve"
        assert talker.end() == 0


def test_ctrl_c_ends_the_answer_first(sound_server: SoundServer) -> None:
    with talking(sound_server) as talker:
        ask(sound_server, "count")
        talker.wait_for("state", state="speaking")
        time.sleep(0.8)
        talker.press_ctrl_c()
        talker.wait_for("notice", text=CTRL_C)
        assert talker.wait_for("answer")["interrupted"]
        time.sleep(3.2)  # two within three seconds would end the program
        ask(sound_server, "sum")
        assert talker.wait_for("answer")["text"] == "seven plus five is twelve"
        assert talker.end() == 0


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_a_conversation_that_is_ended_from_outside_is_saved(
    sound_server: SoundServer, tmp_path: Path, name: str
) -> None:
    """A terminal that is closed, a system that shuts down."""
    saved, record = tmp_path / "talk.npz", tmp_path / "recorded"
    with talking(sound_server, "--save-session", saved, "--record", record) as talker:
        opened = talker.of("opened")[0]
        assert opened["model"] == "MiMo-Audio-Demo, reference"
        assert "ALSA" in opened["microphone"] and "ALSA" in opened["speaker"]
        ask(sound_server, "sum")
        talker.wait_for("report")
        talker.process.send_signal(getattr(signal, name))
        assert talker.process.wait(30) == 130
        kept = talker.wait_for("saved")
    assert (kept["session"], kept["recording"]) == (str(saved), str(record))
    with load_exact_demo() as model:
        assert len(model.load_session(saved).turns) == 1
    user, assistant = (soundfile.info(record / f"{side}.wav") for side in ("user", "assistant"))
    assert user.frames == assistant.frames > 3 * RATE


def test_an_answer_that_is_ended_from_outside_is_kept_as_far_as_it_was_heard(
    sound_server: SoundServer, tmp_path: Path
) -> None:
    saved, record = tmp_path / "talk.npz", tmp_path / "recorded"
    with talking(sound_server, "--save-session", saved, "--record", record) as talker:
        ask(sound_server, "count")
        talker.wait_for("state", state="speaking")
        time.sleep(0.8)
        talker.process.send_signal(signal.SIGTERM)
        assert talker.process.wait(30) == 130
        answer = talker.wait_for("answer")
    assert answer["interrupted"] and len(answer["text"].split()) < 5
    assert '"interrupted": true' in (record / "transcript.jsonl").read_text()
    with load_exact_demo() as model:
        (turn,) = model.load_session(saved).turns
    assert isinstance(turn.answer, Positions)
    assert len(turn.answer) < 20  # of 160 ms, all of it is longer


def test_push_to_talk_without_a_keyboard(sound_server: SoundServer) -> None:
    """Not an end at once, as if somebody had wanted it."""
    for redirection in ("</dev/null", "<&-"):
        done = subprocess.run(
            ["sh", "-c", f"{sys.executable} -m mimo_edge.chat --push-to-talk {redirection}"],
            env={**os.environ, **sound_server.environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1, done.stderr
        assert "push to talk needs the Enter key" in done.stderr.splitlines()[-1]


def test_nothing_is_lost_when_the_program_is_killed(
    sound_server: SoundServer, tmp_path: Path
) -> None:
    record = tmp_path / "recorded"
    with talking(sound_server, "--record", record) as talker:
        ask(sound_server, "sum")
        talker.wait_for("report")
        time.sleep(0.2)  # the recording has a thread of its own
        talker.process.kill()
        talker.process.wait()
    user, rate = soundfile.read(record / "user.wav", dtype="float32")
    assert len(user) > 3 * rate and np.abs(user).max() > 0.05
    assert '"answer"' in (record / "transcript.jsonl").read_text()


def test_devices_are_listed(sound_server: SoundServer) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mimo_edge.chat", "--list-devices"],
        env={**os.environ, **sound_server.environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "virtual_microphone" in done.stdout and "virtual_speaker" in done.stdout
