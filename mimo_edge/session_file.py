"""A conversation as one file: NumPy's .npz, nothing in it is pickled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from .atomic import atomic_output
from .bundle.manifest import Manifest
from .bundle.untrusted_arrays import ArrayFile
from .bundle.untrusted_json import decode_text, parse_json, printable_name, validate
from .errors import BadInputError
from .prompt.positions import InterleavedPiece, Positions
from .prompt.prompts import Exchange, Reply

__all__ = ["SavedSession"]

_FORMAT: Literal["mimo_edge session 1"] = "mimo_edge session 1"
_MOST_TURNS = 20_000
_MOST_POSITIONS = 1 << 18
"""Of one turn or of the voice: as patches of 160 ms more than eleven hours."""
_LONGEST_TEXT = 1 << 22
"""Bytes of UTF-8."""
_MOST_BYTES = 1 << 28
"""All but the cache: more than a day of speech."""
_AROUND = ("instructions", "question")
"""Texts of a turn besides its request and its answer, where it has them."""
_NAMED = 100
"""Characters of a name that a message repeats."""


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What a file says of itself."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    format: Literal["mimo_edge session 1"]
    bundle: str
    """Fingerprint of the bundle that it was saved with."""
    model: str
    reply: Reply
    system: str | None
    turns: Annotated[int, Field(ge=0, le=_MOST_TURNS)]


@dataclass(frozen=True, kw_only=True)
class SavedSession:
    """All that a session has to remember."""

    reply: Reply
    system: str | None
    voice: NDArray[np.int64] | None
    """[patches, group, channels]."""
    turns: list[Exchange]
    cached: Positions
    """What the KV cache holds."""
    state: bytes | None
    """The cache itself, as llama.cpp writes it; None if it is empty."""

    def write(self, path: Path, manifest: Manifest) -> None:
        """Write it down; the file appears whole or not at all.

        Raises:
            MimoEdgeError: it cannot be written.
        """
        arrays: dict[str, Any] = {}
        if self.voice is not None:
            arrays["voice"] = self.voice
        for index, turn in enumerate(self.turns):
            _store(arrays, f"turn{index}.request", turn.request)
            for name in _AROUND:
                if getattr(turn, name) is not None:
                    _store(arrays, f"turn{index}.{name}", getattr(turn, name))
            _store(arrays, f"turn{index}.answer", turn.answer)
        _store(arrays, "cache", self.cached)
        if self.state is not None:
            arrays["cache.state"] = np.frombuffer(self.state, dtype=np.uint8)
        head = {
            "format": _FORMAT,
            "bundle": manifest.fingerprint(),
            "model": manifest.name,
            "reply": self.reply,
            "system": self.system,
            "turns": len(self.turns),
        }
        arrays["head"] = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
        with atomic_output(path) as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path, manifest: Manifest) -> SavedSession:
        """Read what `write` wrote.

        Raises:
            MimoEdgeError: the file is something else, or of another bundle.
        """
        try:
            with ArrayFile(path, budget=_MOST_BYTES + _state_bytes(manifest)) as file:
                head = validate(_Head, parse_json(file.data("head", longest=_LONGEST_TEXT)))
                if head.bundle != manifest.fingerprint():
                    raise BadInputError(
                        f"{path} was saved with another bundle "
                        f"({printable_name(head.model)[:_NAMED]}); load it with that one."
                    )
                parts = _Parts(file, manifest)
                state, cached = parts.cache()
                return cls(
                    reply=head.reply,
                    system=head.system,
                    voice=parts.patches("voice") if "voice" in file else None,
                    turns=[parts.turn(f"turn{index}") for index in range(head.turns)],
                    cached=cached,
                    state=state,
                )
        except ValueError as error:
            raise BadInputError(
                f"{path} is not a saved session ({error}); give one that was saved as such."
            ) from error


class _Parts:
    """The parts of a conversation in an open file; ValueError for what no model can have said."""

    def __init__(self, file: ArrayFile, manifest: Manifest) -> None:
        self._file = file
        self._manifest = manifest
        self._codes = (manifest.patch.group_size, manifest.patch.channels)
        self._vocabularies = np.array(manifest.patch.vocab_sizes)

    def turn(self, name: str) -> Exchange:
        """A finished turn: text or speech, and an answer in one of its three forms."""
        request, answer = f"{name}.request", f"{name}.answer"
        return Exchange(
            request=self._text(request) if self._is_text(request) else self._speech(request),
            **{
                part: self._text(f"{name}.{part}")
                for part in _AROUND
                if self._is_text(f"{name}.{part}")
            },
            answer=self._answer(answer),
        )

    def cache(self) -> tuple[bytes | None, Positions]:
        """The cache as llama.cpp wrote it, and the positions in it."""
        positions = self._positions("cache", self._manifest.backbone.max_positions)
        if "cache.state" not in self._file:
            return None, positions
        return self._file.data("cache.state", longest=_state_bytes(self._manifest)), positions

    def patches(self, name: str, count: int | None = None) -> NDArray[np.int64]:
        """Codes [patches, group, channels], each within its codebook's vocabulary."""
        largest = int(self._vocabularies.max()) - 1
        shape = [count, *self._codes]
        codes = self._file.integers(name, shape, least=0, most=largest, longest=_MOST_POSITIONS)
        if (codes >= self._vocabularies).any():
            raise ValueError(f"{name} holds a code outside its codebook")
        return codes

    def _answer(self, name: str) -> str | Positions | InterleavedPiece:
        if not self._is_text(name):
            return self._positions(name, _MOST_POSITIONS)
        text = self._text(name)
        spoken = f"{name}.patches" in self._file
        return InterleavedPiece(text, self._speech(name)) if spoken else text

    def _is_text(self, name: str) -> bool:
        return f"{name}.text" in self._file

    def _text(self, name: str) -> str:
        return decode_text(self._file.data(f"{name}.text", longest=_LONGEST_TEXT))

    def _speech(self, name: str) -> NDArray[np.int64]:
        return self.patches(f"{name}.patches")

    def _positions(self, name: str, longest: int) -> Positions:
        largest = self._manifest.backbone.vocab_size - 1
        ids = self._file.integers(f"{name}.ids", [None], least=0, most=largest, longest=longest)
        return Positions(ids.astype(np.int32), self.patches(f"{name}.codes", len(ids)))


def _state_bytes(manifest: Manifest) -> int:
    """The most that llama.cpp writes for a full cache: float32 keys and values, and its own."""
    backbone = manifest.backbone
    per_position = 4 * backbone.cached_values + 64
    return per_position * backbone.max_positions + (1 << 20)


def _store(arrays: dict[str, Any], name: str, value: object) -> None:
    """A part of a turn as arrays whose names tell its type."""
    if isinstance(value, str):
        arrays[f"{name}.text"] = np.frombuffer(value.encode(), dtype=np.uint8)
    elif isinstance(value, Positions):
        arrays[f"{name}.ids"], arrays[f"{name}.codes"] = value.text_ids, value.codes
    elif isinstance(value, InterleavedPiece):
        arrays[f"{name}.text"] = np.frombuffer(value.text.encode(), dtype=np.uint8)
        arrays[f"{name}.patches"] = value.patches
    else:
        arrays[f"{name}.patches"] = value
