"""Write small safetensors checkpoints, whole, sharded or damaged, for the tests."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
LANGUAGE_MODEL = GOLDEN / "checkpoint" / "MiMo-Audio-7B-Instruct"
AUDIO_TOKENIZER = GOLDEN / "checkpoint" / "MiMo-Audio-Tokenizer"

Tensors = dict[str, tuple[str, np.ndarray]]
"""Name → safetensors dtype, and an array of the matching numpy dtype."""

_NUMPY = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32, "I64": np.int64}


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """uint16 bits of the float32 `values`, cut (exact for values that fit)."""
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def read_tensors(path: Path) -> Tensors:
    """What `write_safetensors` takes, of a file that holds only the dtypes known here."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], _NUMPY[entry["dtype"]])
        tensors[name] = (entry["dtype"], values.reshape(entry["shape"]))
    return tensors


def write_safetensors(path: Path, tensors: Tensors) -> None:
    """Write a safetensors file."""
    header, offset = {}, 0
    for name, (dtype, array) in tensors.items():
        assert array.dtype == _NUMPY.get(dtype, array.dtype), name
        end = offset + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for _, array in tensors.values():
            np.ascontiguousarray(array).tofile(stream)


def write_checkpoint(
    folder: Path,
    tensors: Tensors,
    *,
    config: dict[str, Any] | None = None,
    shards: int = 1,
) -> Path:
    """A checkpoint folder; with more than one shard also the index."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config or {}))
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return folder
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        names = list(tensors)[shard::shards]
        write_safetensors(folder / file, {name: tensors[name] for name in names})
        weight_map |= dict.fromkeys(names, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def copy_audio_tokenizer(folder: Path) -> Path:
    """A copy of the golden audio tokenizer that a test may damage."""
    return _copy(AUDIO_TOKENIZER, folder)


def copy_language_model(folder: Path, *, weights: bool = True) -> Path:
    """A copy of the golden language model that a test may damage."""
    return _copy(LANGUAGE_MODEL, folder, weights=weights)


def _copy(checkpoint: Path, folder: Path, *, weights: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for path in checkpoint.iterdir():
        if weights or path.suffix != ".safetensors":
            shutil.copyfile(path, folder / path.name)
    return folder
