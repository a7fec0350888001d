"""The numpy evaluation against the golden numbers: only then may it judge anything else."""

from __future__ import annotations

import json
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from . import AudioTokenizer, LanguageModel, audio_tokenizer, language_model, load_tensors

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
NUMBERS = np.load(GOLDEN / "golden.npz")
SETTINGS = json.loads((GOLDEN / "golden.json").read_text("utf-8"))
CLIPS = ("question", "short", "voice", "tiny")
PROMPTS = tuple(SETTINGS["prompts"])
QUICK = ("asr", "tts_en", "dialogue", "understand_think")
MODEL_CODEBOOKS = 8
STOPS = {"eos": "<|endoftext|>", "eostm": "<|eostm|>", "im_end": "<|im_end|>"}

every_prompt = pytest.mark.parametrize(
    "name", [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in PROMPTS]
)


def read_clip(name: str) -> NDArray[np.float32]:
    with wave.open(str(GOLDEN / "audio" / f"{name}.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return samples.astype(np.float32) / np.float32(32768)


def relative(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest deviation as a part of the largest expected value."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def tokenizer() -> AudioTokenizer:
    return AudioTokenizer(GOLDEN / "checkpoint" / "MiMo-Audio-Tokenizer")


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel(GOLDEN / "checkpoint" / "MiMo-Audio-7B-Instruct")


@pytest.mark.parametrize("clip", ("short", "tiny"))
def test_log_mel(tokenizer: AudioTokenizer, clip: str) -> None:
    expected = NUMBERS[f"mel/{clip}"]
    found = tokenizer.log_mel(read_clip(clip))
    assert found.shape == expected.shape
    # The golden numbers come from a float32 FFT whose rounding reaches 2e-7 of the loudest
    # band; in the logarithm of a band far below that, it is more than 1e-4.
    magnitude = np.exp(expected)
    rounding = 5e-7 * magnitude.max()
    assert (np.abs(np.exp(found) - magnitude) <= 1e-4 * magnitude + rounding).all()


@pytest.mark.parametrize("clip", CLIPS)
def test_codes(tokenizer: AudioTokenizer, clip: str) -> None:
    np.testing.assert_array_equal(tokenizer.encode(read_clip(clip)).T, NUMBERS[f"codes/{clip}"])


@pytest.mark.parametrize("clip", CLIPS)
def test_patched(tokenizer: AudioTokenizer, model: LanguageModel, clip: str) -> None:
    codes = tokenizer.encode(read_clip(clip), MODEL_CODEBOOKS)
    found = model.to_patches(codes).reshape(-1, model.channels)
    np.testing.assert_array_equal(found, NUMBERS[f"patched/{clip}"])


@pytest.mark.slow
def test_patched_over_two_segments(tokenizer: AudioTokenizer, model: LanguageModel) -> None:
    samples = np.tile(read_clip("question"), 100)[: 61 * 24000]
    found = model.to_patches(tokenizer.encode(samples, MODEL_CODEBOOKS))
    expected = NUMBERS["patched/long61s"]
    # One sound over and over repeats its near-ties.
    assert np.mean(found.reshape(-1, model.channels) == expected) >= 0.995


@pytest.mark.parametrize("clip", ("question", "short"))
def test_dequantize_and_decode(tokenizer: AudioTokenizer, clip: str) -> None:
    codes = NUMBERS[f"codes/{clip}"].T[:, :MODEL_CODEBOOKS]
    dequantized = NUMBERS[f"dequant/{clip}"]
    assert np.abs(tokenizer.dequantize(codes) - dequantized).max() <= 1e-4
    assert relative(tokenizer.decode(codes), NUMBERS[f"decode/{clip}"]) <= 1e-3


def test_decode_longer(tokenizer: AudioTokenizer) -> None:
    found = tokenizer.decode(NUMBERS["stream/codes"].T)
    assert relative(found, NUMBERS["stream/offline"]) <= 1e-3


@pytest.mark.parametrize("name", ("asr", "tts_en", "dialogue", "dialogue_multi"))
def test_embeddings(model: LanguageModel, name: str) -> None:
    assert relative(model.embed(NUMBERS[f"prompt/{name}"]), NUMBERS[f"embeds/{name}"]) <= 1e-3


@every_prompt
def test_hidden_state_and_logits(model: LanguageModel, name: str) -> None:
    hidden = model.hidden(model.embed(NUMBERS[f"prompt/{name}"]))[-1]
    assert relative(hidden, NUMBERS[f"hidden/{name}"]) <= 1e-3
    assert relative(model.logits(hidden), NUMBERS[f"logits/{name}"]) <= 1e-3


def test_patch_decoder(model: LanguageModel) -> None:
    found = np.array([model.decode_patch(x) for x in NUMBERS["local/in"]])
    np.testing.assert_array_equal(found, NUMBERS["local/out"])


@every_prompt
def test_greedy_generation(model: LanguageModel, name: str) -> None:
    stops = {model.special_tokens[STOPS[stop]] for stop in SETTINGS["prompts"][name]["stops"]}
    found = model.generate(NUMBERS[f"prompt/{name}"], stops, SETTINGS["max_new"])
    np.testing.assert_array_equal(found, NUMBERS[f"greedy/{name}"])


class Read(dict[str, NDArray[Any]]):
    """Tensors that remember which of them were looked at."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(tensors)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> NDArray[Any]:
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


def test_the_evaluation_takes_everything_from_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tensor that it does not read is one whose loss in a conversion it could not see."""
    checkpoints: list[Read] = []

    def load(folder: Path, dtype: DTypeLike = np.float32) -> Read:
        checkpoints.append(Read(load_tensors(folder, dtype)))
        return checkpoints[-1]

    for module in (audio_tokenizer, language_model):
        monkeypatch.setattr(module, "load_tensors", load)
    tokenizer = AudioTokenizer(GOLDEN / "checkpoint" / "MiMo-Audio-Tokenizer")
    tokenizer.decode(tokenizer.encode(read_clip("tiny")))
    model = LanguageModel(GOLDEN / "checkpoint" / "MiMo-Audio-7B-Instruct")
    hidden = model.hidden(model.embed(NUMBERS["prompt/asr"]))[-1]
    model.logits(hidden)
    model.decode_patch(model.decoder_input(hidden))
    left = [name for tensors in checkpoints for name in tensors.keys() - tensors.names]
    training = (".embed_avg", ".cluster_size", ".inited")
    assert [name for name in left if not name.endswith(training)] == []


def test_prompt_pieces(model: LanguageModel) -> None:
    """The pieces a prompt is put together from give the reference's matrix back."""
    prompt = NUMBERS["prompt/dialogue"]
    text = prompt[0, :: model.group]
    first, last = np.flatnonzero(text == model.empty_token)[[0, -1]]
    codes = NUMBERS["codes/question"].T
    pieces = [
        model.text_positions(text[:first]),
        model.audio_positions(codes),
        model.text_positions(text[last + 1 :]),
    ]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), prompt)
