"""The checkpoint's text tokenizer, checked and laid out as GGUF wants it.

llama.cpp tokenizes with the vocabulary and merges it finds in the GGUF and with a
pre-tokenizer it knows by name. A tokenizer it would read differently from the
reference gives other ids for the same text and ruins the answers without an error,
so whatever is not exactly Qwen2's byte-level BPE is refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mimo_edge.errors import BadBundleError, MimoEdgeError

from .tokenizer_files import TokenizerFiles, read_tokenizer_files

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


def read_text_tokenizer(folder: Path, *, vocab_size: int) -> TextTokenizer:
    """Read `tokenizer.json`, or else `vocab.json` and `merges.txt`, from a checkpoint.

    `vocab_size` is the number of rows of the embedding table (`config.json`).

    Raises:
        MimoEdgeError: no tokenizer, one that is damaged or cut short, or one that
            llama.cpp's `qwen2` tokenizer would not reproduce.
    """
    source = read_tokenizer_files(folder)
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


def _check_bpe(source: TokenizerFiles, added: Mapping[str, int]) -> None:
    """Bytes, merges and vocabulary fit each other, so that no text is lost."""
    path, vocab = source.path, source.vocab
    if not source.merges:
        raise BadBundleError(
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
    return BadBundleError(f"{path} is cut short: {why}; download the whole tokenizer again.")


def _all_added(source: TokenizerFiles, vocab_size: int) -> dict[str, int]:
    """Text → id of every added token, the ones the reference would add included."""
    added = dict(source.added)
    for text in (*REQUIRED_SPECIAL_TOKENS, *ADDED_SPECIAL_TOKENS):
        if text in source.vocab:
            added.setdefault(text, source.vocab[text])
    for text in REQUIRED_SPECIAL_TOKENS:
        if text not in added:
            raise BadBundleError(
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
        raise BadBundleError(
            f"{source.path} needs {largest + 1} ids and vocab_size in config.json is "
            f"{vocab_size}; the tokenizer belongs to another checkpoint."
        )
    return added


def _token_list(
    source: TokenizerFiles, added: Mapping[str, int], vocab_size: int
) -> tuple[str, ...]:
    """Text per id; every id up to the last is taken exactly once."""
    texts: dict[int, str] = {}
    pairs: Iterable[tuple[str, int]] = (*source.vocab.items(), *added.items())
    for text, id_ in pairs:
        if texts.setdefault(id_, text) != text:
            raise BadBundleError(
                f"{source.path} gives the id {id_} to {texts[id_]!r} and to {text!r}; "
                "download the tokenizer's files again."
            )
    for text in source.vocab.keys() & added.keys():
        if source.vocab[text] != added[text]:
            raise BadBundleError(
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
