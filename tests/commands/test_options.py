"""Options of the commands: what they change, and how wrong ones are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import soundfile

from mimo_edge.commands.cli import cli
from tests.tools.command_line import Command, Result

BASE = ("--threads", "1", "--max-new-tokens", "16")


Say = Callable[..., tuple[str, bytes]]


@pytest.fixture
def say(command: Command, reference_bundle: Path, tmp_path: Path) -> Say:
    """Text and sound of a short answer under further options.

    In float32: what random weights say hangs on the last digits, and in 4 bits so on the processor.
    """

    def run(*options: object) -> tuple[str, bytes]:
        path = tmp_path / "said.wav"
        path.unlink(missing_ok=True)
        given = ("--model", reference_bundle, *BASE, *options)
        result = command("speak", "Hello there.", "-o", path, *given)
        assert result.status == 0, result.err
        return result.out, path.read_bytes()

    return run


def test_the_seed(say: Say) -> None:
    first, again, other = say("--seed", 1), say("--seed", 1), say("--seed", 5)
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "option",
    [("--temperature", 1), ("--temperature", 0.001), ("--top-p", 0.05), ("--top-k", 1)],
)
def test_samplers_of_the_text(
    command: Command, reference_bundle: Path, option: tuple[object, ...]
) -> None:
    """With one seed the text may end before it could differ, or begin with the same words."""

    def texts(*options: object) -> list[str]:
        given = ("text", "Hello there.", "--model", reference_bundle, *BASE, *options)
        return [command(*given, "--seed", seed).out for seed in (1, 2, 3)]

    plain = texts()
    assert all(plain) and texts(*option) != plain


@pytest.mark.parametrize(
    "option",
    [("--code-temperature", 5), ("--code-top-p", 0.05), ("--code-top-k", 1)],
)
def test_samplers_of_the_sound(say: Say, option: tuple[object, ...]) -> None:
    """The first patch comes at the same place: the text before it does not change."""
    plain, changed = say("--seed", 1), say("--seed", 1, *option)
    assert plain[1] != changed[1]


@pytest.mark.parametrize("option", ["--top-k", "--code-top-k"])
def test_top_k_0_keeps_all(say: Say, option: str) -> None:
    assert say("--seed", 1) == say("--seed", 1, option, 0)


def test_top_k_1_needs_no_seed(say: Say) -> None:
    best = ("--top-k", 1, "--code-top-k", 1)
    assert say("--seed", 1, *best) == say("--seed", 2, *best)


@pytest.mark.parametrize("temperature", ["0", "0.0", "1e-6"])
def test_temperature_0_takes_the_likeliest_text(command: Command, temperature: str) -> None:
    """Everyone's way to ask for it; whatever the seed."""
    said = ("text", "Hello.", *BASE, "--code-top-k", 1)
    best = command(*said, "--top-k", 1).out
    for seed in (1, 2):
        given = command(*said, "--temperature", temperature, "--seed", seed)
        assert given.status == 0 and given.out == best


def test_the_number_of_threads_changes_nothing(say: Say) -> None:
    assert say("--seed", 1, "--threads", 2) == say("--seed", 1)


def record(result: Result) -> dict[str, Any]:
    """The only line on standard output; nothing on standard error."""
    assert result.status == 0 and not result.err, result.err
    (line,) = result.out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_json(command: Command, clips: dict[str, Path], tmp_path: Path) -> None:
    clip, options = clips["short"], (*BASE, "--seed", "1", "--json")
    heard = record(command("transcribe", clip, *options))
    assert heard["task"] == "transcribe" and isinstance(heard["text"], str)
    stats = heard["stats"]
    assert stats["text_tokens"] + stats["patches"] <= 16
    assert stats["prompt_positions"] == stats["evaluated_positions"] > 20
    assert heard["reason"] in ("stop", "length")
    answered = record(command("ask", clip, "What?", *options, "--think"))
    assert answered["question"] == "What?" and "thinking" in answered
    said = record(command("speak", "Hi.", "-o", tmp_path / "a.wav", *options))
    assert said["output"] == str(tmp_path / "a.wav") and said["stats"]["audio_seconds"] > 0
    texts = command("text", "One.", "Two.", *options).out.splitlines()
    assert [json.loads(line)["request"] for line in texts] == ["One.", "Two."]
    codes = tmp_path / "a.npz"
    assert record(command("encode", clip, "-o", codes, "--json"))["shape"] == [37, 20]
    decoded = record(command("decode", codes, "-o", tmp_path / "b.wav", "--json"))
    assert decoded["seconds"] == pytest.approx(37 * 0.04)
    turns = command("chat", "--input", clip, "--input", clip, *options).out.splitlines()
    assert [json.loads(line)["turn"] for line in turns] == [1, 2]


def test_encode_and_decode(command: Command, clips: dict[str, Path], tmp_path: Path) -> None:
    codes, sound = tmp_path / "a.npz", tmp_path / "a.wav"
    assert "37 steps of 20 codes" in command("encode", clips["short"], "-o", codes).err
    assert "1.48 s" in command("decode", codes, "-o", sound).err
    assert soundfile.info(sound).frames == 37 * 960
    codes.write_bytes(b"")
    assert "is not a file of codes" in command("decode", codes, "-o", sound).sentence
    assert ".npz" in command("encode", clips["short"], "-o", sound).sentence


def test_verbose(command: Command, clips: dict[str, Path]) -> None:
    quiet = command("transcribe", clips["short"], *BASE, "--seed", "1")
    assert "positions" not in quiet.err
    some = command("transcribe", clips["short"], *BASE, "--seed", "1", "-v")
    assert some.out == quiet.out and "positions evaluated, 0 cached" in some.err


def test_text_from_standard_input(command: Command, tmp_path: Path) -> None:
    typed = command("text", *BASE, "--seed", "1", stdin="Grüß Gott.\n\nWie?\n".encode())
    given = command("text", "Grüß Gott.", "Wie?", *BASE, "--seed", "1")
    assert typed.out == given.out and typed.status == 0
    path = tmp_path / "a.wav"
    spoken = command("speak", "-", "-o", path, *BASE, "--seed", "1", stdin=b"Hello there.\n")
    assert spoken.status == 0 and path.is_file()
    nothing = command("speak", "-", "-o", path, *BASE, stdin=b" \n")
    assert "no text to speak" in nothing.sentence


def test_an_answer_without_speech_writes_nothing(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    result = command("speak", "Hello there.", "-o", path, *BASE, "--seed", 1, "--temperature", 5)
    assert "answered without speech" in result.sentence and "--seed" in result.sentence
    assert not path.exists()


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        (("--threads", -1), "the number of threads is -1"),
        (("--threads", 100_000), "the number of threads is 100000"),
        (("--ctx", 3), "the context is 3 positions"),
        (("--ctx", 99_999), "more than this model knows; give at most 8192"),
        (("--ctx", 16), "do not fit the context of 16"),
        (("--gpu-layers", -5), "layers on the GPU is -5"),
        (("--top-p", 2), "top-p is 2.0"),
        (("--top-p", "nan"), "top-p is nan"),
        (("--top-k", -1), "top-k is -1"),
        (("--temperature", -1), "temperature is -1.0"),
        (("--temperature", "nan"), "temperature is nan"),
        (("--temperature", "inf"), "temperature is inf"),
        (("--code-temperature", 0), "temperature of the sound is 0.0"),
        (("--code-temperature", -1), "temperature is -1.0"),
        (("--code-top-p", 0), "top-p is 0.0"),
        (("--max-new-tokens", 0), "the longest answer is 0 positions"),
        (("--seed", -1), "the seed is -1"),
    ],
)
def test_wrong_values(command: Command, option: tuple[str, object], complaint: str) -> None:
    text = "A sentence that is longer than sixteen positions of the smallest context."
    assert complaint in command("text", text, *BASE, *option).sentence


def test_a_conversion_looks_at_its_threads_first(command: Command, tmp_path: Path) -> None:
    """Not behind an hour of work."""
    source = ("--model", tmp_path, "--tokenizer", tmp_path, "--out", tmp_path / "out")
    assert "number of threads is 5000" in command("convert", *source, "--threads", 5000).sentence


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("text", ("--threads", "x")),
        ("text", ("--seed",)),
        ("text", ("--nonsense",)),
        ("bench", ("--runs", "0")),
    ],
)
def test_wrong_usage(command: Command, name: str, option: tuple[str, ...]) -> None:
    result = command(name, "Hello.", *option)
    assert result.status == 2 and result.err.startswith(("Usage: ", "Error: "))
    assert option[0] in result.err and "Traceback" not in result.err


def test_a_gpu_that_llama_cpp_was_not_built_for(command: Command) -> None:
    import llama_cpp

    if llama_cpp.llama_supports_gpu_offload():
        pytest.skip("this llama.cpp supports a GPU")
    sentence = command("text", "Hello.", *BASE, "--device", "gpu").sentence
    assert "built for the CPU only" in sentence and "llama-cpp-python" in sentence
    assert command("text", "Hello.", *BASE, "--device", "auto").status == 0
    assert command("text", "Hello.", *BASE, "--device", "cpu").status == 0


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_help(command: Command, name: str) -> None:
    """Every command explains itself and all of its options."""
    result = command(name, "--help")
    assert result.status == 0 and not result.err
    assert result.out.startswith("Usage: ") and f" {name} [OPTIONS]" in result.out
    described = cli.get_command(click.Context(cli), name)
    assert described is not None
    parameters = described.params
    if name == "convert":  # Loaded only when it is used.
        assert "--recipe" in result.out and "--tokenizer" in result.out
    options = [parameter for parameter in parameters if isinstance(parameter, click.Option)]
    for option in options:
        assert all(written in result.out for written in option.opts)
        # By itself: "Of the text." says something only to who reads the line above it.
        assert option.help and not option.help.startswith(("Of ", "The same"))
        assert len(option.help.split()) >= 2
    helps = [option.help for option in options]
    assert len(set(helps)) == len(helps), "two options of a command with the same explanation"
    assert command("--help").out.count(f"\n  {name} ") == 1


def test_version(command: Command) -> None:
    assert ", version 0." in command("--version").out


def make_file(path: Path) -> Path:
    path.write_text("a file")
    return path


def damaged(name: str, change: Callable[[bytes], bytes | None]) -> Callable[[Path, Path], Path]:
    """A copy of the bundle in which one file is changed, or gone."""

    def make(bundle: Path, where: Path) -> Path:
        copy = Path(shutil.copytree(bundle, where / "bundle"))
        data = change((copy / name).read_bytes())
        (copy / name).unlink()
        if data is not None:
            (copy / name).write_bytes(data)
        return copy

    return make


BAD_BUNDLES: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "truncated GGUF": (damaged("backbone.gguf", lambda data: data[:5000]), "truncated"),
    "missing graph": (damaged("vocoder.onnx", lambda _: None), "is missing"),
    "other graph": (damaged("vocoder.onnx", lambda data: data[::-1]), "is not the file"),
    "edited manifest": (
        damaged("manifest.json", lambda data: data.replace(b"24000", b"16000")),
        "was edited",
    ),
    "unknown key": (
        damaged("manifest.json", lambda data: data.replace(b'"files"', b'"more": 1, "files"')),
        "more: ",
    ),
    "no JSON": (damaged("manifest.json", lambda data: data[:100]), "is not valid JSON"),
    "no manifest": (damaged("manifest.json", lambda _: None), "is not a finished bundle"),
    "no folder": (lambda _, where: where / "nowhere", "is not a folder"),
    "a file": (lambda _, where: make_file(where / "file"), "is not a folder"),
}


@pytest.mark.parametrize("kind", BAD_BUNDLES)
def test_bad_bundles_get_one_sentence(
    command: Command, default_bundle: Path, tmp_path: Path, kind: str
) -> None:
    make, complaint = BAD_BUNDLES[kind]
    bundle = make(default_bundle, tmp_path)
    for arguments in (("text", "Hello.", "--model", bundle), ("info", bundle)):
        sentence = command(*arguments).sentence
        assert complaint in sentence and str(bundle) in sentence


def test_a_variable_that_names_no_bundle(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIMO_EDGE_MODEL", str(tmp_path / "gone"))
    sentence = command("text", "Hello.").sentence
    assert f"MIMO_EDGE_MODEL names {tmp_path}/gone" in sentence and "unset it" in sentence


def test_no_bundle_at_all(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MIMO_EDGE_MODEL")
    monkeypatch.setattr("mimo_edge.bundle.default_bundle.DEMO_MODEL", tmp_path)
    assert "give the folder of a bundle" in command("text", "Hello.").sentence
