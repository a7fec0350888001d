"""A folder of golden numbers: what a public checkpoint computes, to be reproduced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STOPS", "Golden", "relative"]

STOPS: Mapping[str, str] = {"eos": "<|endoftext|>", "eostm": "<|eostm|>", "im_end": "<|im_end|>"}
"""The short names of `golden.json` → control tokens."""


@dataclass(frozen=True)
class Golden:
    """`golden.npz`, `golden.json`, `audio/` and `checkpoint/` of one folder."""

    folder: Path
    numbers: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any]
    """`golden.json`."""
    model: Path
    """Checkpoint of the language model."""
    tokenizer: Path
    """Checkpoint of the audio tokenizer."""

    @classmethod
    def open(cls, folder: Path) -> Golden:
        """Find the parts of a folder; the checkpoints by their configs, whatever their names."""
        checkpoints = folder / "checkpoint"
        return cls(
            folder=folder,
            numbers=np.load(folder / "golden.npz"),
            settings=json.loads((folder / "golden.json").read_text("utf-8")),
            model=_with_key(checkpoints, "group_size"),
            tokenizer=_with_key(checkpoints, "num_quantizers"),
        )

    def names(self, kind: str) -> list[str]:
        """The names behind `kind/` among the arrays."""
        return [key.split("/", 1)[1] for key in self.numbers if key.startswith(f"{kind}/")]

    def audio(self, clip: str) -> Path:
        """The WAV file of a clip."""
        return self.folder / "audio" / f"{clip}.wav"

    def __getitem__(self, name: str) -> NDArray[Any]:
        """An array by its name, for example `codes/question`."""
        return self.numbers[name]

    def positions(self, name: str, group: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """A prompt matrix as text ids [positions] and codes [positions, group, channels]."""
        matrix = self.numbers[name]
        channels = len(matrix) - 1
        codes = matrix[1:].reshape(channels, -1, group).transpose(1, 2, 0)
        return matrix[0, ::group], codes


def _with_key(folder: Path, key: str) -> Path:
    """The one checkpoint below `folder` whose config has `key`."""
    configs = sorted(folder.glob("*/config.json"))
    found = [path.parent for path in configs if key in json.loads(path.read_text("utf-8"))]
    if len(found) != 1:
        raise ValueError(f"{folder} holds {len(found)} checkpoints with {key!r} in their config")
    return found[0]


def relative(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest deviation as a part of the largest expected magnitude."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float(np.abs(found - expected).max() / np.abs(expected).max())
