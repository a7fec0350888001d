"""The random checkpoints are complete, valid, reproducible, and worth testing with."""

from __future__ import annotations

import hashlib
import json
import wave
from math import prod
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

from tests.reference import AudioTokenizer, LanguageModel, load_config

from .random_checkpoint import PROFILES, Checkpoint, Profile, main, make_checkpoint
from .random_tensors import audio_tensors, language_tensors
from .random_vocabulary import write_tokenizer

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
GOLDEN_CHECKPOINT = Checkpoint(
    GOLDEN / "checkpoint" / "MiMo-Audio-7B-Instruct", GOLDEN / "checkpoint" / "MiMo-Audio-Tokenizer"
)
PROMPTS: tuple[tuple[int, ...], ...] = ((), (10, 20, 30), (50, 60), (77, 300, 5, 9))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return make_checkpoint(tmp_path_factory.mktemp("second"), "second")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return make_checkpoint(tmp_path_factory.mktemp("bare"), "bare")


def shapes(folder: Path) -> dict[str, tuple[str, list[int]]]:
    """Name → dtype and shape of all tensors, as the safetensors library sees them."""
    found = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "numpy") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                part = file.get_slice(name)
                found[name] = (part.get_dtype(), part.get_shape())
    return found


def digests(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        f"{folder.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in checkpoint
        for path in folder.iterdir()
    }


def question(rate: int) -> NDArray[np.float32]:
    """A second or two of speech at the checkpoint's own rate."""
    with wave.open(str(GOLDEN / "audio" / "question.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        times = np.arange(int(len(samples) * rate / file.getframerate())) / rate
        original = np.arange(len(samples)) / file.getframerate()
    return np.interp(times, original, samples).astype(np.float32)


def test_tiny_has_the_tensors_of_the_golden_checkpoint(tmp_path: Path) -> None:
    made = make_checkpoint(tmp_path, "tiny")
    for folder, golden in zip(made, GOLDEN_CHECKPOINT, strict=True):
        assert shapes(folder) == shapes(golden)
        assert load_config(folder) == load_config(golden)
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        found = (made.model / name).read_text("utf-8")
        golden_text = (GOLDEN_CHECKPOINT.model / name).read_text("utf-8")
        if name.endswith(".json"):
            assert json.loads(found) == json.loads(golden_text)
        else:
            assert found == golden_text


def test_second_differs_where_it_should(second: Checkpoint) -> None:
    model, audio = shapes(second.model), shapes(second.tokenizer)
    assert len(list(second.model.glob("model-*.safetensors"))) > 2
    index = json.loads((second.model / "model.safetensors.index.json").read_text("utf-8"))
    assert index["weight_map"].keys() == model.keys()
    assert model["speech_embeddings_to_local.weight"] == ("BF16", [96, 64])
    assert audio["encoder.conv1.weight"] == ("BF16", [96, 80, 3])
    assert audio["encoder.quantizer.vq.layers.6._codebook.embed"] == ("BF16", [64, 96])
    assert "encoder.quantizer.vq.layers.7._codebook.embed" not in audio


def test_second_lacks_control_tokens(second: Checkpoint) -> None:
    """Two are missing from the files and get the ids after all others."""
    tokenizer = json.loads((second.model / "tokenizer.json").read_text("utf-8"))
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    assert sorted(ids.values()) == list(range(700, 728))
    found = LanguageModel(second.model).special_tokens
    assert found == {**ids, "<|sostm|>": 728, "<|eot|>": 729}


def test_bare_goes_without(bare: Checkpoint) -> None:
    assert not (bare.model / "tokenizer.json").exists()
    audio = shapes(bare.tokenizer)
    assert not any("dconv1" in name or "down_sample" in name for name in audio)


@pytest.mark.parametrize("name", ("second", "bare"))
def test_same_seed_same_bytes(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    first = digests(request.getfixturevalue(name))
    again = digests(make_checkpoint(tmp_path / "again", name))
    other = digests(make_checkpoint(tmp_path / "other", name, seed=1))
    assert first == again
    assert {path for path in first if first[path] != other[path]} == {
        path for path in first if path.endswith(".safetensors")
    }


@pytest.mark.parametrize("name", ("second", "bare"))
def test_codes_vary_and_survive_rounding(name: str, request: pytest.FixtureRequest) -> None:
    """Compared in float32 and float64: no near-tie may decide what a test expects."""
    checkpoint: Checkpoint = request.getfixturevalue(name)
    tokenizer = AudioTokenizer(checkpoint.tokenizer)
    exact = AudioTokenizer(checkpoint.tokenizer, np.float64)
    samples = question(tokenizer.config["sampling_rate"])
    codes = tokenizer.encode(samples)
    np.testing.assert_array_equal(codes, exact.encode(samples))
    assert all(len(np.unique(row)) >= 5 for row in codes.T)
    wave_out = tokenizer.decode(codes)
    assert wave_out.shape == (len(codes) * tokenizer.samples_per_step,)
    assert 1e-4 < np.abs(wave_out).max() < 1
    np.testing.assert_allclose(wave_out, exact.decode(codes), atol=1e-7)


@pytest.mark.parametrize("name", ("second", "bare"))
def test_greedy_generation_has_text_and_speech(name: str, request: pytest.FixtureRequest) -> None:
    checkpoint: Checkpoint = request.getfixturevalue(name)
    model = LanguageModel(checkpoint.model)
    exact = LanguageModel(checkpoint.model, np.float64)
    ids = model.special_tokens
    stops = {ids[token] for token in ("<|endoftext|>", "<|im_end|>", "<|eostm|>")}
    tokenizer = AudioTokenizer(checkpoint.tokenizer)
    codes = tokenizer.encode(question(tokenizer.config["sampling_rate"]))
    texts, patches, stopped = set(), [], 0
    for text in PROMPTS:
        pieces = [
            model.text_positions([ids["<|im_start|>"], *text, ids["<|sosp|>"]]),
            model.audio_positions(codes),
            model.text_positions([ids["<|eosp|>"], ids["<|im_end|>"], ids["<|sostm|>"]]),
        ]
        prompt = np.concatenate(pieces, axis=1)
        new = model.generate(prompt, stops, 24)
        np.testing.assert_array_equal(new, exact.generate(prompt, stops, 24))
        spoken = new[0] == model.empty_token
        texts.update(new[0, ~spoken].tolist())
        patches.append(new[1:, spoken])
        stopped += int(new[0, -1]) in stops
    spoken_codes = np.concatenate(patches, axis=1)
    assert len(texts) > 10
    assert spoken_codes.shape[1] >= 8 * model.group
    assert all(len(np.unique(row)) > 8 for row in spoken_codes)
    assert stopped > 0


def test_vocabulary_of_any_size(tmp_path: Path) -> None:
    ids = write_tokenizer(tmp_path, entries=5000)
    vocabulary = json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    merges = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))["model"]["merges"]
    assert sorted(vocabulary.values()) == list(range(5000))
    assert len(merges) == 5000 - 256
    for left, right in merges:  # every merge joins entries that are there before it
        joined = vocabulary[left + right]
        assert vocabulary[left] < joined and vocabulary[right] < joined
    assert ids["<|endoftext|>"] == 5000


def test_repeated_noise_is_reproducible_and_has_no_copied_rows(tmp_path: Path) -> None:
    profile = Profile(repeated_noise=True, shard_bytes=1_000_000)
    first = make_checkpoint(tmp_path / "first", profile)
    assert digests(first) == digests(make_checkpoint(tmp_path / "again", profile))
    table = LanguageModel(first.model).tensors["model.embed_tokens.weight"]
    assert len(np.unique(table[:, 0])) > 256  # bfloat16 has few values, rows differ
    assert 0.09 < table.std() < 0.11


def test_command_line(tmp_path: Path) -> None:
    assert main(["second", str(tmp_path), "--layers", "1", "--seed", "3"]) == 0
    model, tokenizer = tmp_path / "MiMo-Audio-7B-Instruct", tmp_path / "MiMo-Audio-Tokenizer"
    assert load_config(model)["num_hidden_layers"] == 1
    assert load_config(tokenizer)["encoder_skip_layer_id"] == 1
    assert AudioTokenizer(tokenizer).encode(question(16000)).shape[1] == 7


def test_released_dimensions() -> None:
    """The profile `full` has the parameters the released model is said to have."""
    golden = [load_config(folder) for folder in GOLDEN_CHECKPOINT]
    full = PROFILES["full"]
    language = sum(prod(s.shape) for s in language_tensors({**golden[0], **full.language}, {}))
    audio = sum(prod(s.shape) for s in audio_tensors({**golden[1], **full.audio}, 0))
    assert 7.0e9 < language < 8.5e9
    assert 1.1e9 < audio < 1.4e9
