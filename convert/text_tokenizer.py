"""The checkpoint's text tokenizer, checked and laid out as GGUF wants it.

llama.cpp tokenizes with the vocabulary and merges it finds in the GGUF and with a
pre-tokenizer it knows by name. A tokenizer it would read differently from the
reference gives other ids for the same text and ruins the answers without an error,
so whatever is not exactly Qwen2's byte-level BPE is refused here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimo_edge.errors import MimoEdgeError

__all__ = [
    "ADDED_SPECIAL_TOKENS",
    "REQUIRED_SPECIAL_TOKENS",
    "TextTokenizer",
    "read_text_tokenizer",
]

REQUIRED_SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Qwen2's; a tokenizer without them is another model's."""
ADDED_SPECIAL_TOKENS = (
    "<|sosp|>",
    "<|eosp|>",
    "<|empty|>",
    "<|Human|>",
    "<|SpeechLM|>",
    "<|sostm|>",
    "<|eostm|>",
    "<|eot|>",
)
"""MiMo-Audio's; the reference adds the missing ones at the end, in this order."""

# GGUF's token types (`gguf.TokenType`, llama.cpp `llama_token_type`).
NORMAL, CONTROL, UNUSED = 1, 3, 5

_MAX_PADDING = 1024
"""Embedding rows are padded to a multiple of 64 to 512; more missing ids than this
mean that the tokenizer was cut short or belongs to another model."""

_QWEN2_REGEX = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""What llama.cpp's pre-tokenizer `qwen2` splits by."""


@dataclass(frozen=True, kw_only=True)
class TextTokenizer:
    """A byte-level BPE tokenizer, one entry for each row of the embedding table."""

    tokens: tuple[str, ...]
    """Text per id, in byte-level characters; `[PAD{id}]` where the tokenizer ends."""
    token_types: tuple[int, ...]
    """GGUF type per id: NORMAL, CONTROL for every added token, UNUSED for padding.

    Added tokens that Hugging Face calls not special (`<think>`) are CONTROL too:
    llama.cpp finds USER_DEFINED ones inside plain text, and text typed by a user
    must never become one.
    """
    merges: tuple[str, ...]
    """`left right`, the earlier the stronger."""
    special_tokens: Mapping[str, int]
    """Text → id of every CONTROL token."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What the files say, before it is checked."""

    path: Path
    vocab: Mapping[str, int]
    merges: tuple[tuple[str, str], ...]
    added: Mapping[str, int]


def read_text_tokenizer(folder: Path, *, vocab_size: int) -> TextTokenizer:
    """Read `tokenizer.json`, or else `vocab.json` and `merges.txt`, from a checkpoint.

    `vocab_size` is the number of rows of the embedding table (`config.json`).

    Raises:
        MimoEdgeError: no tokenizer, one that is damaged or cut short, or one that
            llama.cpp's `qwen2` tokenizer would not reproduce.
    """
    if (folder / "tokenizer.json").is_file():
        source = _read_tokenizer_json(folder)
    elif (folder / "vocab.json").is_file():
        source = _read_vocab_and_merges(folder)
    else:
        raise MimoEdgeError(
            f"{folder} holds neither tokenizer.json nor vocab.json; "
            "download the text tokenizer's files into it too."
        )
    added = _all_added(source, vocab_size)
    _check_bpe(source, added)
    tokens = _token_list(source, added, vocab_size)
    control = set(added.values())
    end = 1 + max(*source.vocab.values(), *control)
    return TextTokenizer(
        tokens=tokens,
        token_types=tuple(
            CONTROL if id_ in control else NORMAL if id_ < end else UNUSED
            for id_ in range(vocab_size)
        ),
        merges=tuple(f"{left} {right}" for left, right in source.merges),
        special_tokens=dict(sorted(added.items(), key=lambda item: item[1])),
    )


def byte_characters() -> list[str]:
    """The character that stands for each of the 256 bytes (GPT-2's `bytes_to_unicode`)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (0x100 + rank for rank in range(256))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # also UnicodeDecodeError
        raise MimoEdgeError(f"{path} is not valid JSON ({error}); download it again.") from error
    if not isinstance(value, dict):
        raise MimoEdgeError(f"{path} is not a JSON object; download it again.")
    return value


def _read_tokenizer_json(folder: Path) -> _Source:
    path = folder / "tokenizer.json"
    raw = _read_json(path)
    try:
        model = raw["model"]
        kind, vocab, merges = model.get("type", "BPE"), model.get("vocab"), model.get("merges")
        _check_pipeline(raw, path)
        if kind != "BPE" or not isinstance(vocab, dict):
            raise _refuse(path, f"its model is {kind!r} and not a byte-level BPE")
        added = {str(token["content"]): int(token["id"]) for token in raw["added_tokens"] or ()}
        pairs = tuple(_pair(merge) for merge in merges or ())
        vocab = {str(text): int(id_) for text, id_ in vocab.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MimoEdgeError(
            f"{path} is not laid out as a tokenizer ({error!r}); download it again."
        ) from error
    return _Source(path=path, vocab=vocab, merges=pairs, added=_added_elsewhere(folder, added))


def _read_vocab_and_merges(folder: Path) -> _Source:
    path = folder / "merges.txt"
    vocab = _read_json(folder / "vocab.json")
    if not all(type(id_) is int for id_ in vocab.values()):
        raise MimoEdgeError(f"{folder / 'vocab.json'} does not map text to ids; download it again.")
    config_path = folder / "tokenizer_config.json"
    config = _read_json(config_path) if config_path.is_file() else {}
    kind = str(config.get("tokenizer_class", "Qwen2Tokenizer"))
    if not kind.startswith("Qwen2Tokenizer"):
        raise _refuse(config_path, f"it is a {kind}")
    if not path.is_file():
        raise MimoEdgeError(f"{path} is missing; without its merges no text can be tokenized.")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        if lines[0].startswith("#version"):
            del lines[0]
        pairs = tuple(_pair(line) for line in lines if line)
    except ValueError as error:
        raise MimoEdgeError(f"{path} is not a list of merges ({error}).") from error
    return _Source(path=path, vocab=vocab, merges=pairs, added=_added_elsewhere(folder, {}))


def _pair(merge: Any) -> tuple[str, str]:
    """`"a b"` or `["a", "b"]`."""
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return str(left), str(right)


def _added_elsewhere(folder: Path, added: dict[str, int]) -> dict[str, int]:
    """`added` and what two more files say: transformers joins them the same way."""
    for name in ("tokenizer_config.json", "added_tokens.json"):
        path = folder / name
        raw = _read_json(path) if path.is_file() else {}
        try:
            if name == "tokenizer_config.json":
                decoder = raw.get("added_tokens_decoder") or {}
                more = {str(token["content"]): int(id_) for id_, token in decoder.items()}
            else:
                more = {str(text): int(id_) for text, id_ in raw.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MimoEdgeError(f"{path} lists its added tokens in no known way.") from error
        for text, id_ in more.items():
            if added.setdefault(text, id_) != id_:
                raise MimoEdgeError(
                    f"{path} gives {text!r} the id {id_} and another file of the tokenizer "
                    f"gives it {added[text]}; download the tokenizer's files again."
                )
    return added


def _refuse(path: Path, why: str) -> MimoEdgeError:
    return MimoEdgeError(
        f"{path}: {why}; llama.cpp would split text differently, so only "
        "the Qwen2 tokenizer of the released checkpoints is converted."
    )


def _check_pipeline(raw: Mapping[str, Any], path: Path) -> None:
    """Normalizer, pre-tokenizer, post-processor and BPE options are Qwen2's."""
    normalizer = raw.get("normalizer")
    if normalizer != {"type": "NFC"}:
        raise _refuse(path, f"its normalizer is {normalizer!r} and not NFC")
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
        raise _refuse(path, f"its post-processor {processor!r} adds tokens")
    model = raw["model"]
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(option):
            raise _refuse(path, f"its BPE has {option} {model[option]!r}")
    for option in ("byte_fallback", "ignore_merges"):
        if model.get(option):
            raise _refuse(path, f"its BPE has {option} set")


def _check_bpe(source: _Source, added: Mapping[str, int]) -> None:
    """Bytes, merges and vocabulary fit each other, so that no text is lost."""
    path, vocab = source.path, source.vocab
    if not source.merges:
        raise MimoEdgeError(
            f"{path} has no merges, so every byte of a text would be a token of its own; "
            "download the whole tokenizer again."
        )
    alphabet = byte_characters()
    for byte, character in enumerate(alphabet):
        if character not in vocab:
            raise _cut(path, f"byte {byte} ({character!r}) is not in the vocabulary")
    reachable = set(alphabet)
    for left, right in source.merges:
        for text in (left, right, left + right):
            if text not in vocab:
                raise _cut(
                    path, f"the merge {left!r} + {right!r} needs {text!r}, not in the vocabulary"
                )
        reachable.add(left + right)
    for text, id_ in vocab.items():
        if text not in reachable and text not in added:
            raise _cut(path, f"no merge makes token {id_} ({text!r})")


def _cut(path: Path, why: str) -> MimoEdgeError:
    return MimoEdgeError(f"{path} is cut short: {why}; download the whole tokenizer again.")


def _all_added(source: _Source, vocab_size: int) -> dict[str, int]:
    """Text → id of every added token, the ones the reference would add included."""
    added = dict(source.added)
    for text in (*REQUIRED_SPECIAL_TOKENS, *ADDED_SPECIAL_TOKENS):
        if text in source.vocab:
            added.setdefault(text, source.vocab[text])
    for text in REQUIRED_SPECIAL_TOKENS:
        if text not in added:
            raise MimoEdgeError(
                f"{source.path} lacks the token {text}, so it is no tokenizer of MiMo-Audio; "
                "download the checkpoint's own."
            )
    next_id = len({*source.vocab.values(), *added.values()})
    for text in ADDED_SPECIAL_TOKENS:
        if text not in added:
            added[text] = next_id
            next_id += 1
    largest = max(*source.vocab.values(), *added.values())
    if largest >= vocab_size:
        raise MimoEdgeError(
            f"{source.path} needs {largest + 1} ids and vocab_size in config.json is "
            f"{vocab_size}; the tokenizer belongs to another checkpoint."
        )
    return added


def _token_list(source: _Source, added: Mapping[str, int], vocab_size: int) -> tuple[str, ...]:
    """Text per id; every id up to the last is taken exactly once."""
    texts: dict[int, str] = {}
    pairs: Iterable[tuple[str, int]] = (*source.vocab.items(), *added.items())
    for text, id_ in pairs:
        if texts.setdefault(id_, text) != text:
            raise MimoEdgeError(
                f"{source.path} gives the id {id_} to {texts[id_]!r} and to {text!r}; "
                "download the tokenizer's files again."
            )
    for text in source.vocab.keys() & added.keys():
        if source.vocab[text] != added[text]:
            raise MimoEdgeError(
                f"{source.path} gives {text!r} the ids {source.vocab[text]} and {added[text]}; "
                "download the tokenizer's files again."
            )
    for id_ in range(len(texts)):
        if id_ not in texts:
            raise _cut(source.path, f"id {id_} has no token, though there are larger ones")
    if vocab_size - len(texts) > _MAX_PADDING:
        raise _cut(
            source.path, f"it has {len(texts)} tokens and vocab_size in config.json is {vocab_size}"
        )
    padding = (f"[PAD{id_}]" for id_ in range(len(texts), vocab_size))
    return (*(texts[id_] for id_ in range(len(texts))), *padding)
