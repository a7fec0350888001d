"""Text ↔ ids. The BPE itself is llama.cpp's; here is what surrounds it.

Control tokens go in by id, and only where a prompt template asks for them: whatever a user
types is tokenized as plain text, so it can never open a turn or end an answer.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Protocol

from ..errors import BadInputError

__all__ = [
    "Detokenizer",
    "Template",
    "TextTokenizer",
    "Vocabulary",
    "check_text",
    "split_thinking",
]


_THOUGHT_END = "</think>"
_VISIBLE = frozenset({"<think>", _THOUGHT_END})
"""Control tokens of some checkpoints that are ordinary text in others."""


def check_text(text: str) -> None:
    """Refuse half of a surrogate pair: in arguments of programs, a byte that is not UTF-8.

    Raises:
        MimoEdgeError: where it is.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.start + 20]
        raise BadInputError(f"there is a byte that is not UTF-8 in {near!r}; mend the text.") from (
            error
        )


class Vocabulary(Protocol):
    """What a text tokenizer needs of the backbone."""

    def tokenize(self, text: str) -> list[int]:
        """Plain text to ids."""

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one id."""


class TextTokenizer:
    """Text and prompt templates to ids, and back."""

    def __init__(self, vocabulary: Vocabulary, special_tokens: Mapping[str, int]) -> None:
        self._vocabulary = vocabulary
        self.special_tokens = dict(special_tokens)
        names = sorted(self.special_tokens, key=len, reverse=True)
        self._control = re.compile("(" + "|".join(map(re.escape, names)) + ")")
        self._silent_ids = frozenset(
            token for name, token in self.special_tokens.items() if name not in _VISIBLE
        )

    def id(self, name: str) -> int:
        """The id of a control token by its text, for example `<|empty|>`."""
        return self.special_tokens[name]

    def encode(self, text: str) -> list[int]:
        """Plain text, normalized to NFC as the reference does (llama.cpp does not).

        Raises:
            MimoEdgeError: it is no text, see `check_text`.
        """
        check_text(text)
        return self._vocabulary.tokenize(unicodedata.normalize("NFC", text)) if text else []

    def encode_piece(self, parts: Iterable[str | Template]) -> list[int]:
        """A prompt piece of templates and users' text.

        Neighbouring text is joined before it is tokenized, whoever wrote it, as the
        reference tokenizes the piece as one string; control tokens of templates go in by id.
        """
        ids: list[int] = []
        text = ""
        for part in parts:
            if not isinstance(part, Template):
                text += part
                continue
            for index, segment in enumerate(self._control.split(part)):
                if index % 2:
                    ids += [*self.encode(text), self.special_tokens[segment]]
                    text = ""
                else:
                    text += segment
        return ids + self.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Ids to text, control tokens left out, incomplete characters as U+FFFD."""
        detokenizer = Detokenizer(self)
        return "".join([detokenizer.push(token) for token in ids]) + detokenizer.finish()

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one id; none for a control token other than the thinking marks."""
        return b"" if token in self._silent_ids else self._vocabulary.token_bytes(token)


class Template(str):
    """Text of a prompt template: control tokens written in it are meant as such."""

    __slots__ = ()


class Detokenizer:
    """Ids to text as they arrive; a character appears once all its bytes are there."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The text that this id completes, maybe none."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def finish(self) -> str:
        """What an unfinished character leaves."""
        return self._decoder.decode(b"", final=True)


def split_thinking(text: str) -> tuple[str, str]:
    """(thinking, answer) of a generated text; the prompt already opened the thought."""
    thinking, mark, answer = text.partition(_THOUGHT_END)
    return (thinking.strip(), answer.strip()) if mark else ("", text.strip())
