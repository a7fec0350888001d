"""`mimo-edge talk` and `mimo-edge serve` together, on the demo model's words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimo_edge.audio import read_at
from mimo_edge.dialogue.model_events import Ended, Failed, Sound, Text, Told, Transcribed, Truncated
from mimo_edge.errors import MimoEdgeError
from mimo_edge.remote.address import ServerAddress, realtime_url
from mimo_edge.remote.client_events import RATE, RemoteSettings
from mimo_edge.remote.opening import open_session
from mimo_edge.server.options import Limits, ServerOptions
from mimo_edge.tasks import Overrides
from tests.server.running import Running, running

from .conversing import Conversing, conversing
from .relay import relay

QUESTIONS = Path(__file__).parent.parent / "data" / "demo"
KEY = "secret-of-these-tests"
OPTIONS = ServerOptions(
    port=0,
    api_key=KEY,
    overrides=Overrides(seed=2, max_new_tokens=120),
    limits=Limits(conversations=4),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(OPTIONS) as server:
        yield server


def address(url: str) -> ServerAddress:
    return ServerAddress(url=realtime_url(url), api_key=KEY)


def ask(mine: Conversing, turn: int, name: str) -> None:
    mine.model.answer(turn, read_at(QUESTIONS / f"{name}.flac", RATE).samples)


def test_questions_are_answered_and_remembered(server: Running) -> None:
    settings = RemoteSettings(transcriber="whisper-1")
    with conversing(address(server.url), settings) as mine:
        ask(mine, 1, "color")
        ended = mine.wait_for(Ended, 60)
        ask(mine, 2, "memory")
        mine.wait_for(Ended, 60)
        while len(mine.of(Transcribed)) < 2:  # in its own time
            mine.wait_for(Transcribed, 60)
    assert mine.text(1).strip() == "the sky is blue"
    assert mine.text(2).strip() == "you said what color is the sky"
    assert [event.text for event in mine.of(Transcribed)] == [
        "what color is the sky",
        "what did i just say",
    ]
    assert len(mine.sound(1)) == round(ended.stats.audio_seconds * RATE) > RATE
    assert ended.stats.prompt_positions > 10 and ended.stats.patches > 5
    assert not mine.of(Told) and not mine.of(Failed)


def test_answers_in_text(server: Running) -> None:
    with conversing(address(server.url), RemoteSettings(speaks=False)) as mine:
        ask(mine, 1, "sum")
        mine.wait_for(Ended, 60)
    assert mine.text(1).strip() == "seven plus five is twelve" and not mine.of(Sound)


def test_an_answer_is_interrupted_and_the_next_question_answered(server: Running) -> None:
    """The server takes the truncation: it complains about nothing."""
    with conversing(address(server.url)) as mine:
        ask(mine, 1, "count")
        while sum(len(event.samples) for event in mine.of(Sound)) < RATE:
            mine.wait_for(Sound, 60)
        mine.model.stop(1, RATE)
        cut = mine.wait_for(Truncated)
        ask(mine, 2, "name")
        assert mine.wait_for(Ended, 60).turn == 2
    assert 0 < len(cut.text.split()) < 5
    assert mine.text(2).strip() == "my name is echo"
    assert not mine.of(Told) and not mine.of(Failed)


def test_an_answer_that_nobody_heard_never_was(server: Running) -> None:
    with conversing(address(server.url)) as mine:
        ask(mine, 1, "color")
        mine.wait_for(Ended, 60)
        ask(mine, 2, "sum")
        mine.wait_for(Text, 60)
        mine.model.stop(2, 0)
        ask(mine, 3, "memory")
        while mine.wait_for(Ended, 60).turn != 3:
            pass
    assert mine.text(3).strip() == "you said what color is the sky"
    assert not mine.of(Told) and not mine.of(Failed)


def test_what_was_said_survives_a_lost_connection(server: Running) -> None:
    with relay(server.url) as wire, conversing(address(wire.url)) as mine:
        ask(mine, 1, "color")
        mine.wait_for(Ended, 60)
        wire.cut()
        assert "trying to get it back" in mine.wait_for(Told).sentence
        assert "is back" in mine.wait_for(Told).sentence
        ask(mine, 2, "memory")
        mine.wait_for(Ended, 60)
    assert mine.text(2).strip() == "you said what color is the sky"


def test_a_wrong_key(server: Running) -> None:
    for key, words in ((None, "wants a key"), ("wrong", "does not accept the key")):
        wrong = ServerAddress(url=realtime_url(server.url), api_key=key)
        with pytest.raises(MimoEdgeError, match=words):
            open_session(wrong, RemoteSettings())


def test_one_conversation_too_many() -> None:
    with running(ServerOptions(port=0, limits=Limits(conversations=1))) as server:
        first = open_session(address(server.url), RemoteSettings())
        with pytest.raises(MimoEdgeError, match="conversation"):
            open_session(address(server.url), RemoteSettings())
        first.connection.close()


def test_the_command_asks_recordings(server: Running, tmp_path: Path) -> None:
    options = [f"--input={QUESTIONS / f'{name}.flac'}" for name in ("sum", "memory")]
    options += [f"--output={tmp_path}", "--format=flac"]
    done = subprocess.run(
        [sys.executable, "-m", "mimo_edge", "talk", server.url, *options],
        env={**os.environ, "MIMO_EDGE_API_KEY": KEY},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "seven plus five is twelve",
        "you said what is seven plus five",
    ]
    assert len(read_at(tmp_path / "answer-2.flac", RATE).samples) > RATE
