"""Prompt pieces → positions of the backbone (reference: `process_speechdata.py`).

A position is either a text id or one patch of codes. Audio has the text id `<|empty|>`,
text has every codebook's empty id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import PatchConfig
from .text_tokenizer import Template, TextTokenizer

__all__ = [
    "AudioPiece",
    "InterleavedPiece",
    "Layout",
    "Piece",
    "Positions",
    "RawPiece",
    "TextPiece",
    "concatenate",
    "to_patches",
]

TEXT_RUN = 5
"""Text tokens between two runs of patches in the assistant's speech."""
PATCH_RUN = 5
"""Patches between two runs of text tokens."""


@dataclass(frozen=True)
class TextPiece:
    """Text that is tokenized as one string; templates may hold control tokens."""

    parts: tuple[str | Template, ...]


@dataclass(frozen=True)
class AudioPiece:
    """A user's audio: `<|sosp|>` patches `<|eosp|>`; int64 [patches, group, channels]."""

    patches: NDArray[np.int64]
    open_end: bool = False
    """Leave the end marker out: the model is to go on speaking."""


@dataclass(frozen=True)
class InterleavedPiece:
    """The assistant's speech with its text: `<|sostm|>`, then text and patches in turns of five."""

    text: str
    patches: NDArray[np.int64]


@dataclass(frozen=True)
class RawPiece:
    """Positions as the model generated them."""

    positions: Positions


Piece = TextPiece | AudioPiece | InterleavedPiece | RawPiece


@dataclass(frozen=True)
class Positions:
    """A run of positions."""

    text_ids: NDArray[np.int32]
    """[positions]; the empty id at patches."""
    codes: NDArray[np.int64]
    """[positions, group, channels]; the empty ids at text."""

    def __len__(self) -> int:
        """Number of positions."""
        return len(self.text_ids)

    def __getitem__(self, part: slice) -> Positions:
        """A run of them."""
        return Positions(self.text_ids[part], self.codes[part])

    def common_prefix(self, other: Positions) -> int:
        """How many leading positions both have in common."""
        count = min(len(self), len(other))
        same = (self.text_ids[:count] == other.text_ids[:count]) & (
            self.codes[:count] == other.codes[:count]
        ).all(axis=(1, 2))
        return count if same.all() else int(same.argmin())


def concatenate(runs: Sequence[Positions]) -> Positions:
    """Join runs of positions; at least one."""
    return Positions(
        np.concatenate([run.text_ids for run in runs]),
        np.concatenate([run.codes for run in runs]),
    )


def to_patches(codes: NDArray[np.int64], config: PatchConfig) -> NDArray[np.int64]:
    """Codes [steps, ≥ channels] → patches [patches, group, channels].

    The last step is repeated to fill the last patch, as the model was trained.
    """
    codes = codes[:, : config.channels]
    codes = np.pad(codes, ((0, -len(codes) % config.group_size), (0, 0)), mode="edge")
    return codes.reshape(-1, config.group_size, config.channels)


class Layout:
    """Makes positions for one model: knows its empty ids and marker tokens."""

    def __init__(self, tokenizer: TextTokenizer, config: PatchConfig) -> None:
        self._tokenizer = tokenizer
        self._config = config
        self.group_size = config.group_size
        """Code steps of a patch."""
        self.empty_id = tokenizer.id("<|empty|>")
        self._empty_patch = np.broadcast_to(
            np.array(config.empty_ids, dtype=np.int64), (config.group_size, config.channels)
        )

    def text(self, ids: Sequence[int]) -> Positions:
        """Text ids as positions."""
        codes = np.broadcast_to(self._empty_patch, (len(ids), *self._empty_patch.shape))
        return Positions(np.array(ids, dtype=np.int32), codes)

    def audio(self, patches: NDArray[np.int64]) -> Positions:
        """Patches as positions."""
        ids = np.full(len(patches), self.empty_id, dtype=np.int32)
        return Positions(ids, patches.astype(np.int64))

    def positions(self, pieces: Sequence[Piece]) -> Positions:
        """A whole prompt."""
        return concatenate([run for piece in pieces for run in self._runs(piece)])

    def _runs(self, piece: Piece) -> list[Positions]:
        marker = self._tokenizer.id
        if isinstance(piece, TextPiece):
            return [self.text(self._tokenizer.encode_piece(piece.parts))]
        if isinstance(piece, AudioPiece):
            end = [] if piece.open_end else [self.text([marker("<|eosp|>")])]
            return [self.text([marker("<|sosp|>")]), self.audio(piece.patches), *end]
        if isinstance(piece, RawPiece):
            return [piece.positions]
        return self._interleave(piece)

    def _interleave(self, piece: InterleavedPiece) -> list[Positions]:
        """Five ids, five patches, and so on; the rest of the longer one follows at the end.

        `<|eot|>` belongs to the last run of text, which can so have six ids.
        """
        ids = self._tokenizer.encode(piece.text)
        cuts = range(0, max(len(ids), 1), TEXT_RUN)
        texts = [ids[cut : cut + TEXT_RUN] for cut in cuts]
        texts[-1] = [*texts[-1], self._tokenizer.id("<|eot|>")]
        starts = range(0, len(piece.patches), PATCH_RUN)
        patches = [piece.patches[start : start + PATCH_RUN] for start in starts]
        runs = [self.text([self._tokenizer.id("<|sostm|>")])]
        for turn in range(max(len(texts), len(patches))):
            if turn < len(texts):
                runs.append(self.text(texts[turn]))
            if turn < len(patches):
                runs.append(self.audio(patches[turn]))
        return [*runs, self.text([self._tokenizer.id("<|eostm|>")])]
