"""The text tokenizer: ids as the reference has them, everything doubtful refused."""

import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convert.checkpoints.text_tokenizer import (
    ADDED_SPECIAL_TOKENS,
    CONTROL,
    NORMAL,
    UNUSED,
    byte_characters,
    read_text_tokenizer,
)
from mimo_edge.errors import MimoEdgeError
from tests.tools.safetensors_files import LANGUAGE_MODEL, copy_language_model

VOCAB_SIZE = 768


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_language_model(tmp_path / "m", weights=False)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def without(folder: Path, *texts: str) -> None:
    """Take added tokens out of every file of the tokenizer."""

    def from_json(raw: dict[str, Any]) -> None:
        raw["added_tokens"] = [t for t in raw["added_tokens"] if t["content"] not in texts]

    def from_config(raw: dict[str, Any]) -> None:
        raw["added_tokens_decoder"] = {
            id_: token
            for id_, token in raw["added_tokens_decoder"].items()
            if token["content"] not in texts
        }

    edit(folder / "tokenizer.json", from_json)
    edit(folder / "tokenizer_config.json", from_config)


def message(folder: Path, vocab_size: int = VOCAB_SIZE) -> str:
    with pytest.raises(MimoEdgeError) as caught:
        read_text_tokenizer(folder, vocab_size=vocab_size)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_golden_tokenizer() -> None:
    tokenizer = read_text_tokenizer(LANGUAGE_MODEL, vocab_size=VOCAB_SIZE)
    assert len(tokenizer.tokens) == len(tokenizer.token_types) == VOCAB_SIZE
    assert len(set(tokenizer.tokens)) == VOCAB_SIZE
    assert len(tokenizer.merges) == 444
    assert tokenizer.special_tokens["<|endoftext|>"] == 700
    assert [tokenizer.special_tokens[text] for text in ADDED_SPECIAL_TOKENS] == [*range(722, 730)]
    assert tokenizer.token_types.count(NORMAL) == 700
    assert tokenizer.token_types.count(UNUSED) == 38
    assert tokenizer.tokens[730] == "[PAD730]"
    for text, id_ in tokenizer.special_tokens.items():
        assert tokenizer.tokens[id_] == text and tokenizer.token_types[id_] == CONTROL


def test_vocab_and_merges_give_the_same(folder: Path) -> None:
    whole = read_text_tokenizer(folder, vocab_size=VOCAB_SIZE)
    (folder / "tokenizer.json").unlink()
    assert read_text_tokenizer(folder, vocab_size=VOCAB_SIZE) == whole
    config = json.loads((folder / "tokenizer_config.json").read_text())
    added = {t["content"]: int(i) for i, t in config["added_tokens_decoder"].items()}
    (folder / "tokenizer_config.json").unlink()
    (folder / "added_tokens.json").write_text(json.dumps(added))
    assert read_text_tokenizer(folder, vocab_size=VOCAB_SIZE) == whole


def test_merges_as_text(folder: Path) -> None:
    whole = read_text_tokenizer(folder, vocab_size=VOCAB_SIZE)
    edit(
        folder / "tokenizer.json",
        lambda raw: raw["model"].update(merges=[" ".join(m) for m in raw["model"]["merges"]]),
    )
    assert read_text_tokenizer(folder, vocab_size=VOCAB_SIZE) == whole


def test_missing_special_tokens_are_added_at_the_end(folder: Path) -> None:
    without(folder, *ADDED_SPECIAL_TOKENS)
    tokenizer = read_text_tokenizer(folder, vocab_size=VOCAB_SIZE)
    assert [tokenizer.special_tokens[text] for text in ADDED_SPECIAL_TOKENS] == [*range(722, 730)]
    without(folder, "<|file_sep|>")
    assert read_text_tokenizer(folder, vocab_size=VOCAB_SIZE).special_tokens["<|sosp|>"] == 721


def test_the_last_missing_ones_follow_the_present_ones(folder: Path) -> None:
    without(folder, "<|eot|>")
    tokenizer = read_text_tokenizer(folder, vocab_size=VOCAB_SIZE)
    assert tokenizer.special_tokens["<|eot|>"] == 729


def test_tokens_that_are_not_special_are_control_too(folder: Path) -> None:
    token = {"id": 730, "content": "<think>", "special": False}
    edit(folder / "tokenizer.json", lambda raw: raw["added_tokens"].append(token))
    tokenizer = read_text_tokenizer(folder, vocab_size=VOCAB_SIZE)
    assert tokenizer.special_tokens["<think>"] == 730
    assert tokenizer.token_types[730] == CONTROL


def test_added_tokens_of_the_config_are_joined(folder: Path) -> None:
    entry = {"730": {"content": "<think>", "special": False}}
    path = folder / "tokenizer_config.json"
    edit(path, lambda raw: raw["added_tokens_decoder"].update(entry))
    assert read_text_tokenizer(folder, vocab_size=VOCAB_SIZE).special_tokens["<think>"] == 730
    edit(
        path, lambda raw: raw["added_tokens_decoder"].update({"731": {"content": "<|endoftext|>"}})
    )
    assert "'<|endoftext|>' the id 731, and the id 700 stands there or in" in message(folder)


def test_byte_characters_are_gpt2s() -> None:
    characters = byte_characters()
    assert len(set(characters)) == 256
    assert characters[0x20] == "Ġ" and characters[0x0A] == "Ċ" and characters[0x41] == "A"
    assert characters[0x7F] == "ġ" and characters[0xAD] == "Ń" and characters[0xFF] == "ÿ"


@pytest.mark.parametrize("text", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
def test_another_models_tokenizer(folder: Path, text: str) -> None:
    without(folder, text)
    assert f"lacks the token {text}" in message(folder)


PIPELINE = {
    "is 'Unigram'": lambda raw: raw["model"].update(type="Unigram"),
    "normalizer is None": lambda raw: raw.update(normalizer=None),
    "normalizer is {'type': 'NFKC'}": lambda raw: raw.update(normalizer={"type": "NFKC"}),
    "pre-tokenizer is not Qwen2's": lambda raw: raw.update(pre_tokenizer=None),
    "pre-tokenizer is not": lambda raw: raw["pre_tokenizer"]["pretokenizers"][0].update(
        pattern={"Regex": r"\p{N}{1,3}|\s+"}
    ),
    "post-processor 'TemplateProcessing' adds": lambda raw: raw.update(
        post_processor={"type": "TemplateProcessing"}
    ),
    "byte_fallback": lambda raw: raw["model"].update(byte_fallback=True),
    "end_of_word_suffix '</w>'": lambda raw: raw["model"].update(end_of_word_suffix="</w>"),
    "not laid out as a tokenizer": lambda raw: raw.pop("model"),
    "is not laid out": lambda raw: raw["model"].update(merges=["a b c"]),
}


@pytest.mark.parametrize("wanted", PIPELINE)
def test_tokenizers_that_llama_cpp_would_not_reproduce(folder: Path, wanted: str) -> None:
    edit(folder / "tokenizer.json", PIPELINE[wanted])
    assert wanted in message(folder)


CUT = {
    "has no merges": lambda raw: raw["model"].update(merges=[]),
    "byte 65 ('A') is not in the vocabulary": lambda raw: raw["model"]["vocab"].pop("A"),
    "no merge makes token 699": lambda raw: raw["model"]["merges"].pop(),
    "not in the vocabulary": lambda raw: raw["model"]["vocab"].popitem(),
    "id 729 has no token": lambda raw: [t.update(id=740) for t in raw["added_tokens"][-1:]],
    "the id 701 to '<|im_start|>' and to '<|im_end|>'": lambda raw: raw["added_tokens"][2].update(
        id=701
    ),
    "the ids 32 and 730": lambda raw: raw["added_tokens"].append({"id": 730, "content": "A"}),
}


@pytest.mark.parametrize("wanted", CUT)
def test_tokenizers_cut_short_or_damaged(folder: Path, wanted: str) -> None:
    (folder / "tokenizer_config.json").unlink()
    edit(folder / "tokenizer.json", CUT[wanted])
    assert wanted in message(folder)


def test_sizes_that_do_not_fit_the_config(folder: Path) -> None:
    assert "needs 730 ids and vocab_size in config.json is 729" in message(folder, 729)
    assert "has 730 tokens and vocab_size in config.json is 151680" in message(folder, 151680)


def test_no_tokenizer_or_a_part_of_it(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    assert "not valid JSON" in message(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "merges.txt").write_text("#version: 0.2\n")
    assert "has no merges" in message(folder)
    (folder / "merges.txt").write_text("#version: 0.2\na b c\n")
    assert "not a list of merges" in message(folder)
    (folder / "merges.txt").unlink()
    assert "merges.txt is missing" in message(folder)
    edit(folder / "tokenizer_config.json", lambda raw: raw.update(tokenizer_class="LlamaTokenizer"))
    assert "it is a 'LlamaTokenizer'" in message(folder)
    (folder / "vocab.json").write_text('{"a": "b"}')
    assert "does not map text to ids" in message(folder)
    (folder / "vocab.json").unlink()
    assert "neither tokenizer.json nor vocab.json" in message(folder)


FOREIGN: dict[str, Callable[[dict[str, Any]], object]] = {
    "vocab.A is 1000000000000": lambda raw: raw["model"]["vocab"].update(A=10**12),
    "vocab.A is -1": lambda raw: raw["model"]["vocab"].update(A=-1),
    "vocab.A is True": lambda raw: raw["model"]["vocab"].update(A=True),
    "vocab.A is '32'": lambda raw: raw["model"]["vocab"].update(A="32"),
    "vocab is [1]": lambda raw: raw["model"].update(vocab=[1]),
    "merges is {'a': 1}": lambda raw: raw["model"].update(merges={"a": 1}),
    "merges.0": lambda raw: raw["model"].update(merges=[7]),
    "is not two pieces": lambda raw: raw["model"].update(merges=["a "]),
    "added_tokens.0.id is -5": lambda raw: raw["added_tokens"][0].update(id=-5),
    "added_tokens.0.id is 1.5": lambda raw: raw["added_tokens"][0].update(id=1.5),
    "added_tokens.0.content is ''": lambda raw: raw["added_tokens"][0].update(content=""),
    r"content is '\x1b[2J'": lambda raw: raw["added_tokens"][0].update(content="\x1b[2J"),
    "it holds half of a surrogate pair": lambda raw: raw["added_tokens"][0].update(
        content="\ud800"
    ),
    "added_tokens is 7": lambda raw: raw.update(added_tokens=7),
    "its normalizer is [[": lambda raw: raw.update(normalizer=nested(100)),
    "a value is missing or of another kind": lambda raw: raw["pre_tokenizer"].update(
        pretokenizers="ab"
    ),
}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("wanted", FOREIGN)
def test_values_that_no_tokenizer_has(folder: Path, wanted: str) -> None:
    edit(folder / "tokenizer.json", FOREIGN[wanted])
    text = message(folder)
    assert wanted in text
    assert text.isprintable() and len(text) < 400


def test_a_file_that_is_nested_without_end(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model":' + "[" * 100_000)
    assert "is not valid JSON (it is nested too deeply)" in message(folder)


def test_added_tokens_of_other_files_that_no_tokenizer_has(folder: Path) -> None:
    (folder / "added_tokens.json").write_text('{"<x>": -1}')
    assert "added_tokens.json lists its added tokens in no known way" in message(folder)
    for decoder in ({"x": {"content": "<x>"}}, {"-1": {"content": "<x>"}}, [1], {"1": 5}):
        added = {"added_tokens_decoder": decoder}
        edit(folder / "tokenizer_config.json", operator.methodcaller("update", added))
        assert "tokenizer_config.json lists its added tokens in no known way" in message(folder)
