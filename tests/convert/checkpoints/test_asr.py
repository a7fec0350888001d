"""Checkpoints of MiMo-V2.5-ASR: what is taken for one, what is refused, and what it writes down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.bundle import convert
from convert.checkpoints.source import open_source
from convert.recipes import get_recipe
from mimo_edge import CannotSpeakError, MimoAudio, MimoEdgeError, Overrides, RuntimeOptions
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import SPEAKING_PARTS
from mimo_edge.tasks import transcription
from tests.commands.test_bundle_commands import ROOT, run
from tests.tools.asr_checkpoint import repackaged
from tests.tools.random_checkpoint import make_checkpoint
from tests.tools.safetensors_files import AUDIO_TOKENIZER, LANGUAGE_MODEL

DEMO = ROOT / "models" / "demo-checkpoint" / "MiMo-Audio-Demo"
DEMO_TOKENIZER = DEMO.with_name("MiMo-Audio-Demo-Tokenizer")
QUESTIONS = ROOT / "tests" / "data" / "demo"
WORDS = json.loads((QUESTIONS / "questions.json").read_text("utf-8"))
SEEDED = Overrides(seed=1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model's own weights as such a checkpoint, in float32, converted by the command."""
    folder = tmp_path_factory.mktemp("asr")
    model, tokenizer = repackaged(DEMO, DEMO_TOKENIZER, folder)
    source = ("--model", model, "--tokenizer", tokenizer, "--threads", 1)
    # In float32 it says the same on every machine.
    done = run(*source, "--out", folder / "bundle", "--recipe", "reference", module="convert")
    assert done.returncode == 0, done.stderr
    assert "MiMo-V2.5-ASR only listens, and so its bundle" in done.stderr
    assert "every part loads and runs" in done.stdout and "vocoder" not in done.stdout
    return folder / "bundle"


@pytest.fixture(scope="module")
def model(demo: Path) -> Iterator[MimoAudio]:
    with MimoAudio.load(demo) as model:
        yield model


def text_of(model: MimoAudio, name: str, **options: Any) -> str:
    return model.transcribe(QUESTIONS / f"{name}.flac", overrides=SEEDED, **options).text


def prompt_of(model: MimoAudio, **options: Any) -> tuple[str, ...]:
    """The text of the pieces of a prompt."""
    patches = model.listen(QUESTIONS / "sum.flac")
    pieces = transcription(model.manifest, patches, **options).pieces
    return tuple("".join(getattr(piece, "parts", ("[A]",))) for piece in pieces)


def test_its_bundle_only_listens(demo: Path) -> None:
    manifest = load_manifest(demo)
    assert (manifest.name, manifest.prompts) == ("MiMo-V2.5-ASR", "mimo-v2.5-asr")
    assert not manifest.speaks and manifest.recipe == "reference, without speech"
    assert not any(path.name.startswith(SPEAKING_PARTS) for path in demo.iterdir())
    card = (demo / "README.md").read_text("utf-8")
    assert "It writes down what is said" in card and "mimo-edge transcribe recording" in card
    assert "prompts" not in json.loads((ROOT / "models/demo/manifest.json").read_text("utf-8"))


def test_its_prompts(model: MimoAudio) -> None:
    """Those of the reference (`asr_sft`), each piece one string."""
    ask, end = "Please transcribe this audio file", "<|im_end|>\n"
    begin = ("<|im_start|>user\n", "[A]")
    answer, thought = "<|im_start|>assistant\n", "<think>\n\n</think>\n"
    assert prompt_of(model) == (*begin, ask, end, answer, thought)
    assert prompt_of(model, language="en") == (*begin, ask, end, answer, f"{thought}<english>")
    chinese = prompt_of(model, language="zh")
    assert chinese == (*begin, "请将这段语音转换为文字", end, answer, f"{thought}<chinese>")
    assert prompt_of(model, instruction="Write.", language="en")[2] == "Write."


def test_it_writes_down_what_is_said(model: MimoAudio) -> None:
    """With the words of the model whose weights it has: auto is the prompt that one knows."""
    for name in ("sum", "color", "name", "words"):
        assert text_of(model, name) == WORDS[name]["text"]
        assert text_of(model, name, language="en") != WORDS[name]["text"]  # it knows no tags


def test_what_it_cannot_do_is_one_sentence(demo: Path, model: MimoAudio, tmp_path: Path) -> None:
    codes = model.encode(QUESTIONS / "sum.flac")
    for speak in (lambda: model.speak("Hello."), lambda: model.decode(codes), model.session):
        with pytest.raises(CannotSpeakError, match="use a bundle of MiMo-Audio-7B-Instruct"):
            speak()
    done = run("speak", "Hello.", "-o", tmp_path / "x.wav", "--model", demo)
    assert done.returncode == 1 and done.stderr.startswith("mimo-edge: this bundle only listens")
    done = run("ask", QUESTIONS / "sum.flac", "Who is it?", "--model", demo)
    assert "was not trained for questions about a recording: it writes down" in done.stderr


def test_the_command(demo: Path) -> None:
    done = run("transcribe", QUESTIONS / "sum.flac", "--language", "auto", "--model", demo)
    assert done.stdout == "what is seven plus five\n", done.stderr


def test_the_demo_model_knows_english_only() -> None:
    done = run("transcribe", QUESTIONS / "sum.flac", "--language", "zh")
    assert done.returncode == 1 and "was trained in English only" in done.stderr
    done = run("transcribe", QUESTIONS / "sum.flac", "--language", "en")
    assert done.stdout == "what is seven plus five\n"


@pytest.mark.parametrize("speaks", [True, False])
def test_with_and_without_the_speaking_tensors(tmp_path: Path, speaks: bool) -> None:
    """The same bundle comes of both, and of a checkpoint in bfloat16."""
    texts = []
    for dtype in ("F32", "BF16"):
        folders = repackaged(
            LANGUAGE_MODEL, AUDIO_TOKENIZER, tmp_path / dtype, speaks=speaks, dtype=dtype
        )
        source = open_source(*folders)
        out = tmp_path / f"{dtype} bundle"
        manifest = convert(source, out, get_recipe("default"), name="x", threads=1)
        assert manifest.prompts == "mimo-v2.5-asr" and not manifest.speaks
        texts.append((out / "backbone.gguf").read_bytes())
    assert texts[0] == texts[1]  # the values are those of bfloat16, however they are stored


def test_a_random_checkpoint_of_that_layout(tmp_path: Path) -> None:
    """In shards of float32; whatever it says holds no tag and no patch."""
    source = open_source(*make_checkpoint(tmp_path, "asr"))
    convert(source, tmp_path / "bundle", get_recipe("reference"), name="x", threads=1)
    with MimoAudio.load(tmp_path / "bundle", RuntimeOptions(context=512)) as model:
        noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
        short = Overrides(max_new_tokens=12, temperature=2.0, seed=0)
        for language in ("auto", "en", "zh"):
            answer = model.transcribe(noise, language=language, overrides=short)
            assert answer.stats.text_tokens and not answer.stats.patches


@pytest.mark.parametrize(
    ("inner", "changes", "said"),
    [
        ({"partial_rotary_factor": 0.334}, {}, "the partial_rotary_factor 0.334; only 1 is"),
        ({"projection_layers": 2}, {}, "the projection_layers 2; only 1 is"),
        ({"add_post_norm": False}, {}, "the add_post_norm False; only True is"),
        ({"tokenizer_version": "v2"}, {}, "the tokenizer_version 'v2'; only 'v1' is"),
        ({"group_size": 8}, {}, "the group_size 8; only 4 is"),
        ({"input_local_head_dim": 64}, {}, "the input_local_head_dim 64; only"),
        ({"out_hidden_size": 1}, {}, "the out_hidden_size 1; only"),
        ({"speech_vocab_size": "1280"}, {}, "the speech_vocab_size '1280'; only"),
        ({}, {"audio_config": 3}, "'audio_config' is 3, not a JSON object"),
        ({}, {"model_type": "mimo_v2"}, "'model_type' is 'mimo_v2'; only 'qwen2' is"),
        ({}, {"attention_bias": False}, "'attention_bias' is False; only True is"),
        ({}, {"add_input_local_transformer": False}, "only True is"),
    ],
    ids=str,
)
def test_what_contradicts_what_is_assumed(
    tmp_path: Path, inner: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    folders = repackaged(LANGUAGE_MODEL, AUDIO_TOKENIZER, tmp_path, inner=inner, **changes)
    with pytest.raises(MimoEdgeError) as caught:
        open_source(*folders)
    assert said in str(caught.value)


def test_the_inner_config_may_be_missing(tmp_path: Path) -> None:
    folders = repackaged(LANGUAGE_MODEL, AUDIO_TOKENIZER, tmp_path, audio_config=None)
    assert open_source(*folders).language.listens_only


def test_a_tensor_that_nothing_reads(tmp_path: Path) -> None:
    """Such as another encoder's: the config does not describe it."""
    folders = repackaged(DEMO, DEMO_TOKENIZER, tmp_path)
    from tests.tools.safetensors_files import read_tensors, write_safetensors

    path = folders[0] / "model.safetensors"
    extra = ("F32", np.zeros((2, 2), np.float32))
    write_safetensors(path, read_tensors(path) | {"audio_encoder.proj.weight": extra})
    with pytest.raises(MimoEdgeError, match=r"audio_encoder\.proj\.weight"):
        open_source(*folders)
