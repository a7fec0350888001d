"""What the files of a text tokenizer say: `tokenizer.json`, or `vocab.json` and `merges.txt`.

Only Qwen2's byte-level BPE passes; whether its parts fit each other is checked in
`text_tokenizer`. The files may come from anybody, so that their values are read strictly.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from mimo_edge.bundle import manifest_bounds as bounds
from mimo_edge.bundle.untrusted_json import decode_text, validate
from mimo_edge.errors import BadBundleError, MimoEdgeError

from .json_file import read_json, read_small_file

__all__ = ["TokenizerFiles", "read_tokenizer_files"]

_QWEN2_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""What llama.cpp's pre-tokenizer `qwen2` splits by."""


_STRICT = ConfigDict(extra="ignore", strict=True)


@dataclass(frozen=True, kw_only=True)
class TokenizerFiles:
    """Vocabulary, merges and added tokens of a text tokenizer, as its files list them."""

    path: Path
    """The file to name when something does not fit."""
    vocab: Mapping[str, int]
    merges: tuple[tuple[str, str], ...]
    added: Mapping[str, int]
    """Text → id of the added tokens, from all files."""


@dataclass(frozen=True, kw_only=True)
class _Vocabulary:
    """`model` of tokenizer.json, or of the two files that do without it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    vocab: dict[str, bounds.TokenId]
    merges: list[str | tuple[str, str]] | None = None


@dataclass(frozen=True, kw_only=True)
class _AddedToken:
    """One entry of `added_tokens`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    content: bounds.Name
    id: bounds.TokenId


@dataclass(frozen=True, kw_only=True)
class _AddedTokens:
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    added_tokens: list[_AddedToken]


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """Read `tokenizer.json`, or else `vocab.json` and `merges.txt`, from a checkpoint.

    Raises:
        MimoEdgeError: no tokenizer, a file that is damaged, or another kind of tokenizer.
    """
    if (folder / "tokenizer.json").is_file():
        return _read_tokenizer_json(folder)
    if (folder / "vocab.json").is_file():
        return _read_vocab_and_merges(folder)
    raise BadBundleError(
        f"{folder} holds neither tokenizer.json nor vocab.json; "
        "download the text tokenizer's files into it too."
    )


def _read_tokenizer_json(folder: Path) -> TokenizerFiles:
    path = folder / "tokenizer.json"
    raw = read_json(path)
    try:
        model = raw["model"]
        kind = model.get("type", "BPE")
        if kind != "BPE":
            raise _refuse(path, f"its model is {reprlib.repr(kind)} and not a byte-level BPE")
        _check_pipeline(raw, path)
        model = validate(_Vocabulary, model)
        tokens = raw["added_tokens"]
        added = _join([] if tokens is None else tokens, path)
        pairs = tuple(_pair(merge) for merge in model.merges or ())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadBundleError(
            f"{path} is not laid out as a tokenizer ({_reason(error)}); download it again."
        ) from error
    return TokenizerFiles(
        path=path, vocab=model.vocab, merges=pairs, added=_added_elsewhere(folder, added)
    )


def _read_vocab_and_merges(folder: Path) -> TokenizerFiles:
    path, vocab_path = folder / "merges.txt", folder / "vocab.json"
    try:
        vocab = validate(_Vocabulary, {"vocab": read_json(vocab_path)}).vocab
    except ValueError as error:
        raise BadBundleError(
            f"{vocab_path} does not map text to ids ({error}); download it again."
        ) from error
    config_path = folder / "tokenizer_config.json"
    config = read_json(config_path) if config_path.is_file() else {}
    kind = config.get("tokenizer_class", "Qwen2Tokenizer")
    if not str(kind).startswith("Qwen2Tokenizer"):
        raise _refuse(config_path, f"it is a {str(kind)[:60]!a}")
    if not path.is_file():
        raise BadBundleError(f"{path} is missing; without its merges no text can be tokenized.")
    try:
        lines = decode_text(read_small_file(path)).split("\n")
        if lines[0].startswith("#version"):
            del lines[0]
        pairs = tuple(_pair(line.removesuffix("\r")) for line in lines if line)
    except ValueError as error:
        raise BadBundleError(f"{path} is not a list of merges ({error}).") from error
    return TokenizerFiles(path=path, vocab=vocab, merges=pairs, added=_added_elsewhere(folder, {}))


def _pair(merge: str | tuple[str, str]) -> tuple[str, str]:
    """`"a b"` or `("a", "b")`."""
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if len(parts) != 2 or not all(parts):
        raise ValueError(f"{reprlib.repr(merge)} is not two pieces that are joined")
    return parts[0], parts[1]


def _join(tokens: Any, path: Path, added: dict[str, int] | None = None) -> dict[str, int]:
    """Text → id of added tokens, with those known before; ValueError where one means nothing."""
    joined = dict(added or {})
    for token in validate(_AddedTokens, {"added_tokens": tokens}).added_tokens:
        if joined.setdefault(token.content, token.id) != token.id:
            raise BadBundleError(
                f"{path} gives {token.content!r} the id {token.id}, and the id "
                f"{joined[token.content]} stands there or in another file of the tokenizer; "
                "download the tokenizer's files again."
            )
    return joined


def _added_elsewhere(folder: Path, added: dict[str, int]) -> dict[str, int]:
    """`added` and what two more files say: transformers joins them the same way."""
    for name in ("tokenizer_config.json", "added_tokens.json"):
        path = folder / name
        raw = read_json(path) if path.is_file() else {}
        try:
            if name == "tokenizer_config.json":
                decoder = raw.get("added_tokens_decoder") or {}
                tokens = [{"content": t["content"], "id": _id(i)} for i, t in decoder.items()]
            else:
                tokens = [{"content": text, "id": id_} for text, id_ in raw.items()]
            added = _join(tokens, path, added)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadBundleError(
                f"{path} lists its added tokens in no known way ({_reason(error)}); "
                "download it again."
            ) from error
    return added


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"{reprlib.repr(text)} is no id")
    return int(text)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else "a value is missing or of another kind"


def _refuse(path: Path, why: str) -> MimoEdgeError:
    return BadBundleError(
        f"{path}: {why}; llama.cpp would split text differently, so only "
        "the Qwen2 tokenizer of the released checkpoints is converted."
    )


def _check_pipeline(raw: Mapping[str, Any], path: Path) -> None:
    """Normalizer, pre-tokenizer, post-processor and BPE options are Qwen2's."""
    normalizer = raw.get("normalizer")
    if normalizer != {"type": "NFC"}:
        raise _refuse(path, f"its normalizer is {reprlib.repr(normalizer)} and not NFC")
    steps = (raw.get("pre_tokenizer") or {}).get("pretokenizers") or []
    wanted: list[Mapping[str, Any]] = [
        {
            "type": "Split",
            "pattern": {"Regex": _QWEN2_REGEX},
            "behavior": "Isolated",
            "invert": False,
        },
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
    ]
    if len(steps) != len(wanted) or any(
        step.get(key) != value
        for step, want in zip(steps, wanted, strict=True)
        for key, value in want.items()
    ):
        raise _refuse(path, "its pre-tokenizer is not Qwen2's")
    processor = (raw.get("post_processor") or {}).get("type", "ByteLevel")
    if processor != "ByteLevel":
        raise _refuse(path, f"its post-processor {reprlib.repr(processor)} adds tokens")
    model = raw["model"]
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(option):
            raise _refuse(path, f"its BPE has {option} {reprlib.repr(model[option])}")
    for option in ("byte_fallback", "ignore_merges"):
        if model.get(option):
            raise _refuse(path, f"its BPE has {option} set")
