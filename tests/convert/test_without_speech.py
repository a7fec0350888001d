"""Bundles without their speaking half: smaller, they hear as well, and say what they cannot do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from convert.bundle import convert
from convert.checkpoints.source import open_source
from convert.recipes import get_recipe, part_sizes, without_speech
from convert.released import RELEASED_AUDIO, RELEASED_LANGUAGE
from mimo_edge import CannotSpeakError, MimoAudio, MimoEdgeError, Overrides, RuntimeOptions, Speak
from mimo_edge.bundle.documents import CARD
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import CHECKSUM_KEY, MANIFEST_FILE, SPEAKING_PARTS, checksum
from tests.commands.test_bundle_commands import ROOT, run
from tests.golden.folder import Golden
from tests.tools.exact_demo import (
    DEMO_CHECKPOINT,
    DEMO_TOKENIZER,
    EXACT_OPTIONS,
    exact_demo,
    load_exact_demo,
)
from tests.tools.safetensors_files import read_tensors, write_safetensors

QUESTIONS = ROOT / "tests" / "data" / "demo"
SEEDED = Overrides(seed=1)
REFUSAL = "mimo-edge: this bundle only listens: it has no patch decoder"


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model in float32, converted so by the command."""
    out = tmp_path_factory.mktemp("listening") / "bundle"
    source = ("--model", DEMO_CHECKPOINT, "--tokenizer", DEMO_TOKENIZER, "--recipe", "reference")
    done = run(*source, "--without-speech", "--threads", 1, "--out", out, module="convert")
    assert done.returncode == 0, done.stderr
    assert "every part loads and runs" in done.stdout and "vocoder" not in done.stdout
    return out


@pytest.fixture(scope="module")
def model(listening: Path) -> Iterator[MimoAudio]:
    with MimoAudio.load(listening, EXACT_OPTIONS) as model:
        yield model


def test_it_is_smaller(listening: Path) -> None:
    whole = exact_demo()
    manifest = load_manifest(listening)
    assert not manifest.speaks and load_manifest(whole).speaks
    assert manifest.recipe == "reference, without speech"
    names = {path.name for path in listening.iterdir()}
    assert names == {file.name for file in manifest.files} | {MANIFEST_FILE, CARD}
    assert not any(name.startswith(SPEAKING_PARTS) for name in names)
    sizes = [sum(path.stat().st_size for path in f.glob("*[!d]")) for f in (listening, whole)]
    assert sizes[0] < 0.6 * sizes[1]


def test_sizes_are_told_before_converting() -> None:
    recipe = get_recipe("default")
    whole = part_sizes(recipe, RELEASED_LANGUAGE, RELEASED_AUDIO)
    sizes = part_sizes(without_speech(recipe), RELEASED_LANGUAGE, RELEASED_AUDIO)
    assert sizes == {name: size for name, size in whole.items() if name not in SPEAKING_PARTS}


def test_it_hears_and_answers_in_text_as_the_whole_model(model: MimoAudio) -> None:
    with load_exact_demo() as whole:
        for which in (model, whole):
            which.warm_up()
        for name in ("sum", "color", "voice-slt"):
            clip = QUESTIONS / f"{name}.flac"
            texts = [m.transcribe(clip, overrides=SEEDED).text for m in (model, whole)]
            assert texts[0] and texts[0] == texts[1]
        asked = [
            m.ask(QUESTIONS / "sum.flac", "What is said?", overrides=SEEDED).text
            for m in (model, whole)
        ]
        assert asked[0] == asked[1]
    with model.session(reply="text", overrides=SEEDED) as session:
        assert session.ask(QUESTIONS / "sum.flac").text == "seven plus five is twelve"
        events = list(session.stream(text="What is your name?", sound=True))
        assert events and session.turns[-1].answer == "my name is echo"


def test_it_never_tries_to_speak(golden: Golden, tmp_path: Path) -> None:
    """Not even a random model, which would draw the token of a patch."""
    source = open_source(golden.model, golden.tokenizer)
    recipe = without_speech(get_recipe("default"))
    convert(source, tmp_path / "bundle", recipe, name="test", threads=1)
    with MimoAudio.load(tmp_path / "bundle", RuntimeOptions(context=512)) as model:
        for seed in range(8):
            overrides = Overrides(seed=seed, max_new_tokens=32, temperature=2.0)
            with model.session(reply="text", overrides=overrides) as session:
                assert session.ask(text="Hello.").stats.patches == 0


def test_what_needs_speech_is_refused(model: MimoAudio) -> None:
    clip = QUESTIONS / "sum.flac"
    codes = model.encode(clip)
    with model.session(reply="text", overrides=SEEDED) as session:
        for speak in (
            lambda: model.speak("Hello."),
            lambda: model.decode(codes),
            lambda: model.continue_speech(clip, anyway=True),
            lambda: list(model.stream(Speak(text="Hello."), sound=True)),
            model.session,
            lambda: session.ask(clip, reply="speech"),
            lambda: session.prepare(clip, reply="speech"),
            lambda: list(session.stream(text="Hello.", reply="speech", sound=True)),
        ):
            with pytest.raises(CannotSpeakError, match="only listens") as caught:
                speak()
            assert isinstance(caught.value, MimoEdgeError)
        assert not session.turns
        assert session.ask(clip).text == "seven plus five is twelve"


def test_commands(listening: Path, tmp_path: Path) -> None:
    """One sentence and status 1 where it cannot; the others work."""
    clip, on = QUESTIONS / "sum.flac", ("--model", listening)
    codes = tmp_path / "codes.npz"
    for works in (
        ("transcribe", clip, *on),
        ("encode", clip, "-o", codes, *on),
        ("chat", "--text-only", "--input", clip, "--output", tmp_path / "text", *on),
    ):
        done = run(*works)
        assert done.returncode == 0, done.stderr
    for fails in (
        ("speak", "Hello.", "-o", tmp_path / "x.wav", *on),
        ("chat", "--input", clip, "--output", tmp_path / "speech", *on),
        ("decode", codes, "-o", tmp_path / "x.wav", *on),
        ("bench", listening, "--runs", 1),
        ("lookahead", listening, "--audio", clip),
    ):
        done = run(*fails)
        assert done.returncode == 1, (fails, done.stdout)
        last = done.stderr.splitlines()[-1]
        assert last.startswith(REFUSAL), done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.wav").exists()


def test_info_says_so(listening: Path) -> None:
    assert "it only listens" in run("info", listening, "--verify").stdout
    record = json.loads(run("info", listening, "--json").stdout)
    assert record["speaks"] is False
    assert record["seconds_per_second_of_speech"] == {"dialogue": None, "speak": None}
    assert sorted(record["manifest"]["precisions"]) == [
        "audio_encoder",
        "backbone",
        "patch_encoder",
    ]


def test_a_whole_bundle_takes_the_place_of_a_listening_one(listening: Path, tmp_path: Path) -> None:
    """And the other way round: no file of the former stays."""
    out = tmp_path / "bundle"
    shutil.copytree(listening, out)
    source = open_source(DEMO_CHECKPOINT, DEMO_TOKENIZER)
    recipe = get_recipe("default")
    for made in (recipe, without_speech(recipe)):
        manifest = convert(source, out, made, name="test", threads=1, force=True)
        assert manifest.speaks == made.speaks
        found = {path.name for path in out.iterdir()}
        assert found == {file.name for file in manifest.files} | {MANIFEST_FILE, CARD}


def test_a_checkpoint_that_lacks_the_speaking_half(tmp_path: Path) -> None:
    for folder in (DEMO_CHECKPOINT, DEMO_TOKENIZER):
        shutil.copytree(folder, tmp_path / folder.name)
        for path in (tmp_path / folder.name).glob("*.safetensors"):
            kept = {
                name: tensor
                for name, tensor in read_tensors(path).items()
                if not name.startswith(("decoder.", "local_transformer", "hidden_states_downcast"))
            }
            write_safetensors(path, kept)
        for index in (tmp_path / folder.name).glob("*.index.json"):
            index.unlink()
    folders = [tmp_path / folder.name for folder in (DEMO_CHECKPOINT, DEMO_TOKENIZER)]
    with pytest.raises(MimoEdgeError, match=r"hidden_states_downcast|local_transformer"):
        open_source(*folders)
    source = open_source(*folders, speaks=False)
    recipe = without_speech(get_recipe("reference"))
    manifest = convert(source, tmp_path / "bundle", recipe, name="test", threads=1)
    assert not manifest.speaks and manifest.recipe == "reference, without speech"


@pytest.mark.parametrize("part", SPEAKING_PARTS)
def test_a_table_that_does_not_agree_with_the_files(
    listening: Path, tmp_path: Path, part: str
) -> None:
    """The speaking half is whole or not there at all, and no file is without its part."""
    whole = exact_demo()

    def complaint(folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
        values = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
        del values[CHECKSUM_KEY]
        change(values["precisions"])
        values[CHECKSUM_KEY] = checksum(values)
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        (copy / MANIFEST_FILE).write_text(json.dumps(values), "utf-8")
        with pytest.raises(MimoEdgeError) as caught:
            load_manifest(copy)
        return str(caught.value)

    assert f"precisions has no part {part!r}" in complaint(whole, lambda parts: parts.pop(part))
    said = complaint(listening, lambda parts: parts.update({part: "w8"}))
    assert "precisions has no part" in said
    said = complaint(whole, lambda parts: [parts.pop(name) for name in SPEAKING_PARTS])
    assert "which no part of this bundle has" in said
