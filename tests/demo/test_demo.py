"""The demo model really listens and answers: these tests assert words, not shapes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mimo_edge.model import MimoAudio
from mimo_edge.tasks import Overrides
from training.pitch import median_pitch
from training.words import word_errors

from .conftest import Question

ANSWERS = {
    "sum": "seven plus five is twelve",
    "difference": "nine minus four is five",
    "color": "the sky is blue",
    "opposite": "the opposite of hot is cold",
    "count": "two three four five six",
    "name": "my name is echo",
    "repeat": "flower river mountain",
}
SEEDED = Overrides(seed=2, max_new_tokens=120)

Questions = dict[str, Question]


@pytest.mark.parametrize("name", [*ANSWERS, "words"])
def test_transcribes(demo: MimoAudio, questions: Questions, name: str) -> None:
    question = questions[name]
    assert demo.transcribe(question.path, overrides=SEEDED).text == question.text


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_in_speech(demo: MimoAudio, questions: Questions, name: str) -> None:
    """The right words, and sound that lasts as long as they do."""
    with demo.session(overrides=SEEDED) as session:
        answer = session.ask(questions[name].path)
    assert answer.text == ANSWERS[name]
    assert answer.reason == "stop"
    assert answer.audio is not None
    assert 0.4 < len(answer.audio) / answer.sample_rate < 6
    assert 0.02 < np.abs(answer.audio).max() <= 1.5


def test_its_speech_is_understood(demo: MimoAudio, questions: Questions) -> None:
    """By itself, most of it; training/README.md says how much by another recognizer."""
    wrong = total = 0
    for name, text in ANSWERS.items():
        with demo.session(overrides=SEEDED) as session:
            audio = session.ask(questions[name].path).audio
        assert audio is not None
        errors, words = word_errors(text, demo.transcribe(audio, overrides=SEEDED).text)
        wrong, total = wrong + errors, total + words
    assert wrong / total < 0.15


def test_remembers(demo: MimoAudio, questions: Questions) -> None:
    """The second turn depends on the first, and evaluates only what is new."""
    with demo.session(overrides=SEEDED) as session:
        first = session.ask(questions["color"].path)
        second = session.ask(questions["memory"].path)
    assert second.text == f"you said {questions['color'].text}"
    stats = first.stats
    known = stats.prompt_positions + stats.text_tokens + stats.patches
    assert second.stats.cached_positions == known
    assert second.stats.evaluated_positions < stats.prompt_positions + 10


def test_chats_in_text(demo: MimoAudio) -> None:
    with demo.session(reply="text", overrides=SEEDED) as session:
        assert session.ask(text="What is two plus three?").text == "two plus three is five"
        assert session.ask(text="What is your name?").text == "my name is echo"


def test_answers_speech_in_text(demo: MimoAudio, questions: Questions) -> None:
    with demo.session(reply="text", overrides=SEEDED) as session:
        assert session.ask(questions["sum"].path).text == ANSWERS["sum"]


def test_speaks(demo: MimoAudio) -> None:
    """One second and a half is what a person needs for these words."""
    answer = demo.speak("seven plus five is twelve", overrides=SEEDED)
    assert answer.text == "seven plus five is twelve" and answer.reason == "stop"
    assert answer.audio is not None
    assert 0.8 < len(answer.audio) / answer.sample_rate < 4


def test_the_prompted_voice_answers(demo: MimoAudio, questions: Questions) -> None:
    """flite's slt is a woman, rms a man: it can be read off the pitch."""
    pitch = {}
    for voice in ("rms", "slt"):
        prompt = questions[f"voice-{voice}"].path
        with demo.session(voice=prompt, overrides=SEEDED) as session:
            answer = session.ask(questions["name"].path)
        assert answer.text == ANSWERS["name"] and answer.audio is not None
        pitch[voice] = median_pitch(answer.audio, answer.sample_rate)
    assert pitch["rms"] < 140 < pitch["slt"]


def test_says_that_it_did_not_understand(demo: MimoAudio) -> None:
    """Of what is not among its words."""
    with demo.session(reply="text", overrides=SEEDED) as session:
        assert session.ask(text="purple elephants dance").text == "sorry i did not understand"


def test_chat_answers_without_being_told_a_model(questions: Questions, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mimo_edge.chat", "--input", str(questions["sum"].path)]
    command += ["--output", str(tmp_path), "--seed", "1", "--transcribe", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["question"] == questions["sum"].text
    assert record["text"] == ANSWERS["sum"]
    assert (tmp_path / record["audio"]).stat().st_size > 10_000
