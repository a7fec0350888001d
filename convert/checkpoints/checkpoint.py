"""A checkpoint folder in the public layout: `config.json` and safetensors.

Either one `model.safetensors` or shards named by `model.safetensors.index.json`.
The headers are read when the folder is opened; the numbers stay in the files and
are mapped into memory when asked for, so that a checkpoint may be larger than RAM.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mimo_edge.bundle.untrusted_json import shown
from mimo_edge.errors import BadBundleError, BadInputError

from .float_types import FLOAT_TYPES, check_finite, to_float32
from .json_file import read_json
from .safetensors_header import TensorInfo, read_header

__all__ = ["Checkpoint"]

CONFIG_FILE = "config.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_LONGEST_FILE_NAME = 255
"""Bytes, on every usual file system."""
TEXT_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
)


class Checkpoint:
    """The tensors and the config of one checkpoint folder."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        tensors: Mapping[str, TensorInfo],
        weight_files: tuple[Path, ...],
    ) -> None:
        """Of parts that were read already; `Checkpoint.open` reads them."""
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
            raise BadInputError(f"{folder} is not a folder; give the folder of a checkpoint.")
        config_path = folder / CONFIG_FILE
        if not config_path.is_file():
            raise BadBundleError(
                f"{folder} holds no {CONFIG_FILE}, so it is not a checkpoint; "
                "give the folder the released files were downloaded to."
            )
        config = read_json(config_path)
        shards = _shards(folder)
        tensors: dict[str, TensorInfo] = {}
        for path, names in shards.items():
            found = read_header(path)
            if names:
                _check_shard(path, names, found.keys())
            tensors |= found
        files = (folder / INDEX_FILE,) if any(shards.values()) else ()
        return cls(folder, config, tensors, (*files, *sorted(shards)))

    def names(self) -> list[str]:
        """The names of all tensors, sorted."""
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
            raise BadBundleError(
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
            MimoEdgeError: as `raw`, or a value is NaN or infinite.
        """
        raw = self.raw(name)
        check_finite(raw, f"{self.info(name).path}: {name!r}")
        return to_float32(raw)

    def check(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        """See that every expected tensor is there with its shape and a float dtype.

        Raises:
            MimoEdgeError: names the first one that is not.
        """
        for name, shape in expected.items():
            info = self.info(name)
            if info.shape != tuple(shape):
                raise BadBundleError(
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
            return FLOAT_TYPES[info.dtype]
        except KeyError as error:
            raise BadBundleError(
                f"{info.path}: {info.name!r} is stored as {info.dtype}; only "
                f"{', '.join(FLOAT_TYPES)} can be converted, use the released checkpoint."
            ) from error


def _shards(folder: Path) -> dict[Path, set[str]]:
    """File → the tensors the index places there; an empty set: whatever the file has."""
    if (folder / SINGLE_FILE).is_file():
        return {folder / SINGLE_FILE: set()}
    index = folder / INDEX_FILE
    if not index.is_file():
        raise BadBundleError(_no_weights(folder))
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise BadBundleError(f"{index} has no 'weight_map'; download it again.")
    shards: dict[Path, set[str]] = {}
    for name, file in weight_map.items():
        if not _is_file_name(file):
            raise BadBundleError(
                f"{index} places {shown(name)} in {shown(file)}, which is no file name; "
                "download it again."
            )
        shards.setdefault(folder / file, set()).add(name)
    for path in sorted(shards):
        if not path.is_file():
            raise BadBundleError(
                f"{path} is missing, though {INDEX_FILE} lists it; download the missing shard."
            )
    return shards


def _is_file_name(value: Any) -> bool:
    return (
        isinstance(value, str)
        and value.isprintable()
        and Path(value).name == value
        and len(value.encode()) <= _LONGEST_FILE_NAME
    )


def _check_shard(path: Path, names: Set[str], found: Set[str]) -> None:
    """A shard has the tensors that the index places in it, and no others."""
    for name in sorted(names ^ found)[:1]:
        what = "lacks" if name in names else "has"
        where = "places" if name in names else "does not place"
        raise BadBundleError(
            f"{path} {what} {shown(name)}, which {INDEX_FILE} {where} there; "
            "the shards are not of one checkpoint, download them again."
        )


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
