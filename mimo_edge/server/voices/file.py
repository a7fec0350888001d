"""One voice of the library as a file: NumPy's .npz, nothing in it is pickled.

It holds the recording and the patches that one audio tokenizer made of it. With another one the
recording is listened to again. Anybody may have put a file into the folder: nothing in it is
trusted.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, ConfigDict, Field

from ...atomic import atomic_output
from ...bundle.manifest import Manifest
from ...bundle.untrusted_arrays import ArrayFile
from ...bundle.untrusted_json import parse_json, validate
from .sample import LONGEST_S

__all__ = ["LONGEST_CONSENT", "LONGEST_NAME", "VoiceFile", "VoiceHead", "printable", "tokenizer_of"]

_FORMAT: Literal["mimo_edge voice 1"] = "mimo_edge voice 1"
LONGEST_NAME = 64
"""Characters of a voice's name."""
LONGEST_CONSENT = 500
"""Characters of what is noted about the speaker's consent."""
_LONGEST_HEAD = 1 << 14
_LARGEST_RATE = 192_000
_MOST_SAMPLES = round((LONGEST_S + 1) * _LARGEST_RATE)
_MOST_PATCHES = 2_000
_MOST_BYTES = 1 << 26


def printable(text: str) -> str:
    """The text; ValueError if a terminal would obey it, or a page not show it."""
    if not text.isprintable() or not text.strip():
        raise ValueError("it holds characters that cannot be shown")
    return text


@dataclass(frozen=True, kw_only=True)
class VoiceHead:
    """What a file says of itself."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    format: Literal["mimo_edge voice 1"] = _FORMAT
    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(printable)]
    consent: Annotated[str, Field(max_length=LONGEST_CONSENT)]
    """What whoever uploaded it said about the speaker's consent."""
    created: Annotated[float, Field(ge=0, le=2**40)]
    """Seconds since 1970."""
    seconds: Annotated[float, Field(ge=0, le=LONGEST_S + 1)]
    rate: Annotated[int, Field(ge=1000, le=_LARGEST_RATE)]
    """Hz, of the recording."""
    tokenizer: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Which audio tokenizer made the patches; see `tokenizer_of`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VoiceFile:
    """Everything about one voice."""

    head: VoiceHead
    samples: NDArray[np.int16]
    """[n], mono, at the head's rate."""
    patches: NDArray[np.int64]
    """[patches, group, channels]."""

    def write(self, path: Path) -> None:
        """Write it down; the file appears whole or not at all.

        Raises:
            MimoEdgeError: it cannot be written.
        """
        head = json.dumps(vars(self.head)).encode()
        with atomic_output(path) as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                head=np.frombuffer(head, dtype=np.uint8),
                samples=self.samples,
                patches=self.patches.astype(np.int32),
            )

    @classmethod
    def read_head(cls, path: Path) -> VoiceHead:
        """What the file at `path` says of itself; ValueError if it is no voice."""
        with ArrayFile(path, budget=_LONGEST_HEAD) as file:
            return _head(file)

    @classmethod
    def read(cls, path: Path, manifest: Manifest) -> VoiceFile:
        """What `write` wrote; ValueError if it is no voice.

        The patches are those in the file: of this model only if the head's tokenizer is.
        """
        with ArrayFile(path, budget=_MOST_BYTES) as file:
            head = _head(file)
            samples = file.integers(
                "samples", [None], least=-(2**15), most=2**15 - 1, longest=_MOST_SAMPLES
            )
            patches = np.zeros((0, 0, 0), dtype=np.int64)
            if head.tokenizer == tokenizer_of(manifest):
                patches = file.integers(
                    "patches",
                    [None, manifest.patch.group_size, manifest.patch.channels],
                    least=0,
                    most=max(manifest.audio.codebook_sizes) - 1,
                    longest=_MOST_PATCHES,
                )
        return cls(head=head, samples=samples.astype(np.int16), patches=patches)


def _head(file: ArrayFile) -> VoiceHead:
    return validate(VoiceHead, parse_json(file.data("head", longest=_LONGEST_HEAD)))


def tokenizer_of(manifest: Manifest) -> str:
    """A hash that is equal for bundles which make the same patches of the same sound."""
    files = [
        f"{file.name} {file.sha256}"
        for file in manifest.files
        if file.name.startswith("audio_encoder")
    ]
    patch = manifest.patch
    text = "\n".join([*files, f"{patch.group_size} {patch.channels}"])
    return hashlib.sha256(text.encode()).hexdigest()
