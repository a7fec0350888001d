"""Reading a checkpoint folder: numbers exactly, damage in one sentence."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from convert.checkpoints.checkpoint import Checkpoint
from mimo_edge.errors import MimoEdgeError
from tests.tools.safetensors_files import (
    AUDIO_TOKENIZER,
    LANGUAGE_MODEL,
    bfloat16_bits,
    copy_language_model,
    write_checkpoint,
    write_safetensors,
)

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3) - 2.5
TENSORS = {
    "a.weight": ("F32", WEIGHT),
    "b.weight": ("BF16", bfloat16_bits(WEIGHT)),
    "c.weight": ("F16", WEIGHT.astype(np.float16)),
}


def message(folder: Path) -> str:
    with pytest.raises(MimoEdgeError) as caught:
        Checkpoint.open(folder)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("shards", [1, 2])
def test_reads_all_float_dtypes_exactly(tmp_path: Path, shards: int) -> None:
    folder = write_checkpoint(tmp_path / "m", TENSORS, config={"x": 1}, shards=shards)
    checkpoint = Checkpoint.open(folder)
    assert checkpoint.config == {"x": 1}
    assert checkpoint.names() == sorted(TENSORS)
    assert "a.weight" in checkpoint and "z" not in checkpoint
    for name in TENSORS:
        array = checkpoint.array(name)
        assert array.dtype == np.float32 and type(array) is np.ndarray
        assert array.flags.writeable
        np.testing.assert_array_equal(array, WEIGHT)
    checkpoint.check({name: (2, 3) for name in TENSORS})


def test_small_values_and_signs_survive(tmp_path: Path) -> None:
    bits = np.array([0x0001, 0x8000, 0x3F80, 0x7F7F, 0xFF7F], np.uint16)
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path, {"x": ("BF16", bits)}))
    np.testing.assert_array_equal(bfloat16_bits(checkpoint.array("x")), bits)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    values = np.ones((3, 5), np.float32)
    values[1, 2] = value
    tensors = {"a": ("F32", values), "b": ("BF16", bfloat16_bits(values))}
    tensors |= {"c": ("F16", values.astype(np.float16))}
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path, tensors))
    for name in tensors:
        with pytest.raises(MimoEdgeError, match=rf"'{name}' holds values .* weights are damaged"):
            checkpoint.array(name)


@pytest.mark.parametrize("folder", [LANGUAGE_MODEL, AUDIO_TOKENIZER], ids=lambda path: path.name)
def test_golden_checkpoints_equal_the_safetensors_library(folder: Path) -> None:
    checkpoint = Checkpoint.open(folder)
    with safe_open(folder / "model.safetensors", framework="numpy") as reference:
        assert checkpoint.names() == sorted(reference.keys())
        for name in checkpoint.names():
            info = checkpoint.info(name)
            assert list(info.shape) == reference.get_slice(name).get_shape()
            if info.dtype == "F32":
                np.testing.assert_array_equal(checkpoint.array(name), reference.get_tensor(name))


def test_raw_is_a_read_only_view_of_the_file(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_checkpoint(tmp_path, TENSORS))
    raw = checkpoint.raw("b.weight")
    assert raw.dtype == np.uint16
    assert isinstance(raw, np.memmap) and not raw.flags.writeable


def test_opening_and_viewing_take_no_memory(tmp_path: Path) -> None:
    big = np.zeros((1 << 12, 1 << 12), np.float32)
    folder = write_checkpoint(tmp_path, {"big": ("F32", big)})
    del big
    tracemalloc.start()
    try:
        assert Checkpoint.open(folder).raw("big").sum() == 0
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_source_files_are_those_that_matter(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "m", TENSORS, shards=2)
    (folder / "README.md").write_text("x")
    (folder / "vocab.json").write_text("{}")
    names = [path.name for path in Checkpoint.open(folder).source_files()]
    assert names == [
        "config.json",
        "vocab.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    names = [path.name for path in Checkpoint.open(LANGUAGE_MODEL).source_files()]
    assert names[0] == "config.json" and names[-1] == "model.safetensors"


def test_check_names_the_first_missing_or_misshapen_tensor(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, TENSORS | {"i": ("I64", np.zeros(3, np.int64))})
    checkpoint = Checkpoint.open(folder)
    with pytest.raises(MimoEdgeError, match=r"no tensor 'z'"):
        checkpoint.check({"z": (1,)})
    with pytest.raises(MimoEdgeError, match=r"'a.weight' has shape \[2, 3\] .* \[3, 2\]"):
        checkpoint.check({"a.weight": (3, 2)})
    with pytest.raises(MimoEdgeError, match=r"'i' is stored as I64"):
        checkpoint.check({"i": (3,)})
    with pytest.raises(MimoEdgeError, match=r"stored as I64"):
        checkpoint.raw("i")


def test_no_folder_no_config_bad_config(tmp_path: Path) -> None:
    assert "is not a folder" in message(tmp_path / "nothing")
    assert "no config.json" in message(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "not valid JSON" in message(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    assert "not valid JSON" in message(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    assert "not a JSON object" in message(tmp_path)
    for text in ('{"a": 1, "a": 2}', '{"a": NaN}', "[" * 200_000, f'{{"a": {"9" * 5000}}}'):
        (tmp_path / "config.json").write_text(text)
        assert "not valid JSON" in message(tmp_path)
    with (tmp_path / "config.json").open("r+b") as stream:
        stream.truncate(1 << 40)
    assert "has 1048576 MiB, more than any such file" in message(tmp_path)


def test_no_safetensors(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert "holds no model.safetensors" in message(tmp_path)
    write_safetensors(tmp_path / "other.safetensors", TENSORS)
    assert "other.safetensors but neither" in message(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    assert "pytorch_model.bin" in message(tmp_path)


def test_missing_shard_and_strange_index(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, TENSORS, shards=2)
    shard = folder / "model-00002-of-00002.safetensors"
    shard.rename(tmp_path / "away")
    assert "00002-of-00002.safetensors is missing" in message(folder)
    write_safetensors(shard, {"other": TENSORS["a.weight"]})
    assert "lacks 'b.weight'" in message(folder)
    write_safetensors(shard, {name: TENSORS[name] for name in ("a.weight", "b.weight")})
    assert "has 'a.weight', which model.safetensors.index.json does not place" in message(folder)
    index = folder / "model.safetensors.index.json"
    for name in ("../x.safetensors", "\x1b[2J", "é" * 200, 7, ["x"]):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        assert "no file name" in message(folder)
    index.write_text(json.dumps({"weight_map": {"a": "\ud800"}}))
    assert "half of a surrogate pair" in message(folder)
    index.write_text("{}")
    assert "no 'weight_map'" in message(folder)


def test_truncated_files_say_how_much_is_there(tmp_path: Path) -> None:
    path = copy_language_model(tmp_path) / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert f"has {len(whole) - 5} bytes and its header asks for {len(whole)}" in message(tmp_path)
    path.write_bytes(whole[:100])
    assert "has 100 bytes and its header asks for at least" in message(tmp_path)
    path.write_bytes(whole + b"12345")
    assert "damaged" in message(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"abc", b"\xff" * 64, b"\x08\0\0\0\0\0\0\0notjson!", b"\x02\0\0\0\0\0\0\0[]"],
    ids=["empty", "short", "huge", "text", "list"],
)
def test_garbage_header(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(content)
    assert "safetensors header" in message(tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        '"shape":[2.0],"data_offsets":[0,8]',
        '"shape":["2"],"data_offsets":[0,8]',
        '"shape":[true,2],"data_offsets":[0,8]',
        '"shape":[-2],"data_offsets":[0,8]',
        '"shape":2,"data_offsets":[0,8]',
        '"shape":[2],"data_offsets":[8,0]',
        '"shape":[2],"data_offsets":[0,8,16]',
        '"shape":[2],"data_offsets":[-8,0]',
        '"shape":[0,1000000000000000000000],"data_offsets":[0,0]',
        f'"shape":[{",".join(["99999999999999999999"] * 100_000)}],"data_offsets":[0,8]',
    ],
)
def test_headers_of_no_meaning(tmp_path: Path, entry: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    text = f'{{"a":{{"dtype":"F32",{entry}}}}}'.encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    assert "safetensors header" in message(tmp_path)


@pytest.mark.parametrize("second", ["[0,8]", "[4,12]", "[16,24]"], ids=["same", "overlap", "gap"])
def test_tensors_that_overlap_or_leave_gaps(tmp_path: Path, second: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    entries = (
        f'"{n}":{{"dtype":"F32","shape":[2],"data_offsets":{o}}}'
        for n, o in (("a", "[0,8]"), ("b\\u001b", second))
    )
    text = "{" + ",".join(entries) + "}"
    data = bytes(json.loads(second)[1])
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + data)
    assert "is damaged" in message(tmp_path)
    assert message(tmp_path).isprintable()


def test_lfs_pointer_and_lying_header(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    assert "git lfs pull" in message(tmp_path)
    text = b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}} '
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    assert "safetensors header" in message(tmp_path)
    text = text.replace(b"[3]", b"[2]").replace(b"[0,8]", b"[8,16]")
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    assert "is damaged" in message(tmp_path)
