"""A checkpoint folder in the public layout: `config.json` and safetensors.

Either one `model.safetensors` or shards named by `model.safetensors.index.json`.
The headers are read when the folder is opened; the numbers stay in the files and
are mapped into memory when asked for, so that a checkpoint may be larger than RAM.

Format: 8 bytes little-endian length n, n bytes of JSON, then the data
(https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from mimo_edge.errors import MimoEdgeError

__all__ = ["Checkpoint", "TensorInfo"]

CONFIG_FILE = "config.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
TEXT_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
)

DTYPES: Mapping[str, np.dtype[Any]] = {
    "BF16": np.dtype("<u2"),  # numpy has no bfloat16: the bits
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
}
_ITEM_BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_MAX_HEADER = 100_000_000
"""Bytes; the safetensors library refuses longer headers too."""


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """Where one tensor lies: `nbytes` bytes at `offset` of `path`."""

    name: str
    dtype: str
    """As safetensors spells it: `BF16`, `F16`, `F32`, …"""
    shape: tuple[int, ...]
    path: Path
    offset: int
    nbytes: int


class Checkpoint:
    """The tensors and the config of one checkpoint folder."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        tensors: Mapping[str, TensorInfo],
        weight_files: tuple[Path, ...],
    ) -> None:
        """Use `Checkpoint.open`."""
        self.folder = folder
        self.config = config
        self._tensors = dict(tensors)
        self._weight_files = weight_files

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Read `config.json`, the index and the headers; no tensor data.

        Raises:
            MimoEdgeError: the folder or one of its files is missing, truncated
                or not what its name says.
        """
        if not folder.is_dir():
            raise MimoEdgeError(f"{folder} is not a folder; give the folder of a checkpoint.")
        config_path = folder / CONFIG_FILE
        if not config_path.is_file():
            raise MimoEdgeError(
                f"{folder} holds no {CONFIG_FILE}, so it is not a checkpoint; "
                "give the folder the released files were downloaded to."
            )
        config = _read_json(config_path)
        shards = _shards(folder)
        tensors: dict[str, TensorInfo] = {}
        for path, names in shards.items():
            found = _read_header(path)
            missing = names - found.keys()
            if missing:
                raise MimoEdgeError(
                    f"{path} lacks {min(missing)!r}, which {INDEX_FILE} places there; "
                    "the shards are not of one checkpoint, download them again."
                )
            tensors |= {name: found[name] for name in names or found}
        files = (folder / INDEX_FILE,) if any(shards.values()) else ()
        return cls(folder, config, tensors, (*files, *sorted(shards)))

    def names(self) -> list[str]:
        """All tensors, sorted."""
        return sorted(self._tensors)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tensor of this name."""
        return name in self._tensors

    def info(self, name: str) -> TensorInfo:
        """Shape, dtype and place of a tensor.

        Raises:
            MimoEdgeError: the checkpoint has no such tensor.
        """
        try:
            return self._tensors[name]
        except KeyError as error:
            raise MimoEdgeError(
                f"{self.folder} has no tensor {name!r}: this is not a MiMo-Audio checkpoint, "
                "or not all of it."
            ) from error

    def raw(self, name: str) -> npt.NDArray[Any]:
        """The tensor as it is in the file: read-only, file-backed, nothing is copied.

        dtype float32, float16, or uint16 holding the bits of bfloat16.

        Raises:
            MimoEdgeError: there is no such tensor, or its dtype is none of these.
        """
        info = self.info(name)
        dtype = self._dtype(info)
        if info.nbytes == 0:
            return np.empty(info.shape, dtype)
        return np.memmap(info.path, dtype, "r", offset=info.offset, shape=info.shape)

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """The tensor as a float32 copy, exactly (bfloat16 and float16 fit into float32).

        Raises:
            MimoEdgeError: as `raw`.
        """
        return to_float32(self.raw(name))

    def check(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        """See that every expected tensor is there with its shape and a float dtype.

        Raises:
            MimoEdgeError: names the first one that is not.
        """
        for name, shape in expected.items():
            info = self.info(name)
            if info.shape != tuple(shape):
                raise MimoEdgeError(
                    f"{info.path}: {name!r} has shape {list(info.shape)} and {CONFIG_FILE} asks "
                    f"for {list(shape)}; config and weights are not of the same checkpoint."
                )
            self._dtype(info)

    def source_files(self) -> list[Path]:
        """The files a bundle is made from: config, text tokenizer, index, weights."""
        tokenizer = (self.folder / name for name in TEXT_TOKENIZER_FILES)
        return [
            self.folder / CONFIG_FILE,
            *(path for path in tokenizer if path.is_file()),
            *self._weight_files,
        ]

    @staticmethod
    def _dtype(info: TensorInfo) -> np.dtype[Any]:
        try:
            return DTYPES[info.dtype]
        except KeyError as error:
            raise MimoEdgeError(
                f"{info.path}: {info.name!r} is stored as {info.dtype}; only "
                f"{', '.join(DTYPES)} can be converted, use the released checkpoint."
            ) from error


def to_float32(raw: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """A float32 copy of what `Checkpoint.raw` returns (uint16 means bfloat16)."""
    if raw.dtype == np.uint16:
        wide = np.asarray(raw).astype(np.uint32)
        wide <<= 16  # bfloat16 is the upper half of a float32
        return wide.view(np.float32)
    return np.array(raw, dtype=np.float32, subok=False)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:  # also UnicodeDecodeError
        raise MimoEdgeError(f"{path} is not valid JSON ({error}); download it again.") from error
    if not isinstance(value, dict):
        raise MimoEdgeError(f"{path} is not a JSON object; download it again.")
    return value


def _shards(folder: Path) -> dict[Path, set[str]]:
    """File → the tensors the index places there; an empty set: whatever the file has."""
    if (folder / SINGLE_FILE).is_file():
        return {folder / SINGLE_FILE: set()}
    index = folder / INDEX_FILE
    if not index.is_file():
        raise MimoEdgeError(_no_weights(folder))
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise MimoEdgeError(f"{index} has no 'weight_map'; download it again.")
    shards: dict[Path, set[str]] = {}
    for name, file in weight_map.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise MimoEdgeError(f"{index} places {name!r} in {file!r}, which is no file name.")
        shards.setdefault(folder / file, set()).add(name)
    for path in sorted(shards):
        if not path.is_file():
            raise MimoEdgeError(
                f"{path} is missing, though {INDEX_FILE} lists it; download the missing shard."
            )
    return shards


def _no_weights(folder: Path) -> str:
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth"})
    if pickles:
        return (
            f"{folder} holds {pickles[0]} but no {SINGLE_FILE}: PyTorch files are not read, "
            "use the safetensors of the released checkpoint."
        )
    loose = sorted(p.name for p in folder.glob("*.safetensors"))
    if loose:
        return (
            f"{folder} holds {loose[0]} but neither {SINGLE_FILE} nor {INDEX_FILE}; "
            "download the index too."
        )
    return f"{folder} holds no {SINGLE_FILE} and no {INDEX_FILE}; download the checkpoint again."


def _read_header(path: Path) -> dict[str, TensorInfo]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        length = int.from_bytes(prefix, "little")
        garbage = len(prefix) < 8 or not 2 <= length <= _MAX_HEADER
        header = b"" if garbage else stream.read(length)
    if prefix == b"version ":
        raise MimoEdgeError(f"{path} is only a Git LFS pointer; run `git lfs pull` in its folder.")
    if not garbage and len(header) < length:
        raise _truncated(path, size, 8 + length, at_least=True)
    try:
        entries = json.loads(header)
        tensors = [
            _tensor_info(name, entry, path, 8 + length)
            for name, entry in entries.items()
            if name != "__metadata__"
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MimoEdgeError(
            f"{path} does not begin with a safetensors header; it is damaged or another kind "
            "of file, download it again."
        ) from error
    expected = max((t.offset + t.nbytes for t in tensors), default=8 + length)
    if size != expected:
        raise _truncated(path, size, expected)
    try:  # overlaps, gaps and whatever else the format forbids
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise MimoEdgeError(f"{path} is damaged ({error}); download it again.") from error
    return {tensor.name: tensor for tensor in tensors}


def _truncated(path: Path, size: int, expected: int, *, at_least: bool = False) -> MimoEdgeError:
    word = "at least " if at_least else ""
    what = "truncated" if size < expected else "damaged"
    return MimoEdgeError(
        f"{path} is {what}: it has {size} bytes and its header asks for {word}{expected}; "
        "download it again."
    )


def _tensor_info(name: str, entry: Mapping[str, Any], path: Path, data: int) -> TensorInfo:
    begin, end = (int(offset) for offset in entry["data_offsets"])
    shape = tuple(int(size) for size in entry["shape"])
    dtype = str(entry["dtype"])
    bits = _ITEM_BITS.get(dtype)
    if not 0 <= begin <= end or any(size < 0 for size in shape):
        raise ValueError(name)
    if bits is not None and (end - begin) * 8 != math.prod(shape) * bits:
        raise ValueError(name)
    return TensorInfo(
        name=name, dtype=dtype, shape=shape, path=path, offset=data + begin, nbytes=end - begin
    )
