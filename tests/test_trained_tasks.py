"""What a checkpoint was not trained for is refused; of unknown checkpoints everything is tried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mimo_edge.bundle.default_bundle import find_bundle
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import Manifest
from mimo_edge.errors import NotTrainedError
from mimo_edge.model import MimoAudio
from mimo_edge.trained_tasks import check_trained, doubt_about, is_known
from tests.tools.command_line import QUICK, Command

DEMO = Path(__file__).parent / "data" / "demo"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MIMO_EDGE_MODEL", raising=False)
    return find_bundle()


def named(manifest: Manifest, name: str, hidden_size: int = 4096, layers: int = 36) -> Manifest:
    backbone = replace(manifest.backbone, hidden_size=hidden_size, layers=layers)
    return replace(manifest, name=name, backbone=backbone)


def test_the_demo_model_refuses_what_it_never_learned(
    command: Command, demo: Path, tmp_path: Path
) -> None:
    clip, out = DEMO / "sum.flac", tmp_path / "a.wav"
    learned_by = {
        ("speak", "five", "--voice", DEMO / "voice-slt.flac"): "7B-Instruct",
        ("speak", "five", "--style", "softly"): "7B-Instruct",
        ("speak", "say softly: five", "--style-in-text"): "7B-Instruct",
        ("continue", clip): "7B-Base",
        ("few-shot", clip, "--instruction", "Repeat.", "--example", clip, clip, "Hi."): "7B-Base",
    }
    for arguments, other in learned_by.items():
        sentence = command(*arguments, "-o", out, "--model", demo).sentence
        assert "MiMo-Audio-Demo was not trained for" in sentence and other in sentence
        assert "--anyway" in sentence and "--seed" not in sentence
    assert not out.exists()


def test_anyway_tries_it(command: Command, demo: Path, tmp_path: Path) -> None:
    arguments = ("speak", "five", "--style", "softly", "-o", tmp_path / "a.wav", "--model", demo)
    result = command(*arguments, "--anyway", "--seed", 1)
    assert result.status == 0 or "answered without speech" in result.sentence


def test_in_python(demo: Path) -> None:
    with MimoAudio.load(demo) as model:
        with pytest.raises(NotTrainedError, match="voice of a recording"):
            model.speak("five", voice=DEMO / "voice-slt.flac")
        with pytest.raises(NotTrainedError, match="going on"):
            model.continue_speech(DEMO / "sum.flac")
        with pytest.raises(NotTrainedError, match="examples"):
            model.few_shot("Repeat.", [], DEMO / "sum.flac")
        with model.session(voice=DEMO / "voice-slt.flac") as session:  # this it did learn
            assert session.ask(DEMO / "sum.flac").text


def test_a_question_about_a_recording_comes_with_a_doubt(command: Command, demo: Path) -> None:
    clip = DEMO / "sum.flac"
    asked = command("ask", clip, "What is it?", "--model", demo, *QUICK)
    assert asked.status == 0 and "not trained for questions about a recording" in asked.err
    assert not command("transcribe", clip, "--model", demo, *QUICK).err


def test_the_released_checkpoints(default_bundle: Path) -> None:
    manifest = load_manifest(default_bundle)
    instruct = named(manifest, "MiMo-Audio-7B-Instruct")
    base = named(manifest, "mimo-audio-7b-base")
    with pytest.raises(NotTrainedError, match="7B-Base"):
        check_trained(instruct, "continue")
    check_trained(instruct, "speak in a voice")
    check_trained(base, "few-shot")
    assert doubt_about(instruct, "converse") is None
    assert "7B-Instruct was trained for that" in (doubt_about(base, "converse") or "")
    assert is_known(instruct) and is_known(base)


def test_a_name_alone_says_nothing(default_bundle: Path) -> None:
    """Random checkpoints in the tests have the names of released ones."""
    manifest = load_manifest(default_bundle)
    for other in (manifest, named(manifest, "my-own"), named(manifest, "MiMo-Audio-Demo")):
        assert not is_known(other)
        check_trained(other, "continue")
        assert doubt_about(other, "ask") is None


def test_an_unknown_checkpoint_that_says_nothing(
    command: Command, clips: dict[str, Path], tmp_path: Path
) -> None:
    arguments = ("speak", "Hello.", "-o", tmp_path / "a.wav", "--temperature", 5, "--seed", 1)
    sentence = command(*arguments, "--max-new-tokens", 16).sentence
    assert "try another --seed, or a checkpoint that is known to be trained" in sentence
