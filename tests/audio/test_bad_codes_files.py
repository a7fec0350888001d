"""Files of codes that are damaged or made by somebody else: one sentence, in little memory."""

from __future__ import annotations

import io
import os
import re
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimo_edge.audio import codes_file
from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import Manifest
from mimo_edge.errors import MimoEdgeError
from tests.tools.command_line import Command

ZLIB = Path(__file__).parent.parent / "data" / "untrusted" / "codes-zlib.npz"
"""Compressed in a way whose data ends in the middle."""


@pytest.fixture(scope="module")
def manifest(default_bundle: Path) -> Manifest:
    return load_manifest(default_bundle)


@pytest.fixture
def arrays(manifest: Manifest) -> dict[str, Any]:
    """What a good file holds."""
    audio = manifest.audio
    return {
        "codes": np.zeros((5, audio.num_quantizers), dtype=np.int16),
        "codebook_sizes": np.array(audio.codebook_sizes),
        "sample_rate": np.array(audio.sample_rate),
        "samples_per_step": np.array(audio.samples_per_step),
    }


def complaint(path: Path, manifest: Manifest) -> str:
    with pytest.raises(MimoEdgeError) as caught:
        codes_file.read(path, manifest)
    text = str(caught.value)
    assert str(path) in text and text.endswith(".") and "\n" not in text and len(text) < 800
    return text


def header_of(shape: str, descr: str = "'<i2'", length: int | None = None) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + (length or len(text)).to_bytes(2, "little") + text


def test_arrays_that_are_no_codes(
    manifest: Manifest, arrays: dict[str, Any], tmp_path: Path
) -> None:
    codes = arrays["codes"]
    wrong: dict[str, list[Any]] = {
        "codes": [
            codes[0],
            codes[None],
            np.array(3),
            np.zeros((0,)),
            codes.astype(np.float32),
            np.full(codes.shape, np.nan),
            codes - 1,
            codes + 20_000,
            np.full(codes.shape, 2**63, dtype=np.uint64),
            codes.astype(bool),
            codes.astype("S3"),
            codes.astype("datetime64[s]"),
            np.zeros(5, dtype=[("a", "i4")]),
            np.zeros((400_000, codes.shape[1]), dtype=np.int8),
        ],
        "codebook_sizes": [np.array(7), np.zeros((2, 3)), np.array([]), np.array([-1] * 20)],
        "sample_rate": [
            *(np.array(rate) for rate in (0, -1, 10**18, np.inf, np.nan, 24000.0)),
            np.array([24000]),
            np.array("24000"),
        ],
        "samples_per_step": [np.array(0), np.array(1), np.array(2**62)],
    }
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    assert codes_file.read(path, manifest).shape == codes.shape
    for name, values in wrong.items():
        for value in (*values, None):
            kept = {**arrays, name: value} if value is not None else arrays.keys() - {name}
            np.savez(path, **(kept if isinstance(kept, dict) else {k: arrays[k] for k in kept}))
            complaint(path, manifest)


def test_headers_that_numpy_does_not_write(
    manifest: Manifest, arrays: dict[str, Any], tmp_path: Path
) -> None:
    """Their claims are checked before anything is read or made for them."""
    path = tmp_path / "a.npz"
    width = arrays["codes"].shape[1]
    headers = [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00\x10\x00" + bytes(16),
        header_of(f"(-5, {width})"),
        header_of(f"(True, {width})"),
        header_of(f"({10**18}, {width})"),
        header_of(f"({10**30}, {width})"),
        header_of("(" * 5000),
        header_of(f"(5, {width})", "'|O'"),
        header_of(f"(5, {width})", "'<q9'"),
        header_of(f"(5, {width})", "[('a', '<i2')]"),
        header_of(f"(5, {width})", "__import__('os').abort()"),
        header_of(f"(5, {width})", length=65_535),
        header_of(f"(90000, {width})"),  # more than there is
        header_of(f"(1, {width})") + bytes(1000),  # less than there is
    ]
    good = {name: value for name, value in arrays.items() if name != "codes"}
    for header in headers:
        np.savez(path, **good)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("codes.npy", header)
        tracemalloc.start()
        complaint(path, manifest)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
        tracemalloc.stop()


def test_archives_that_numpy_does_not_write(
    manifest: Manifest, arrays: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, value in arrays.items():
                stream = io.BytesIO()
                np.save(stream, value)
                archive.writestr(f"{name}.npy", stream.getvalue())
        assert "compressed in a way" in complaint(path, manifest)
    np.savez(path, **arrays)
    marked = bytearray(path.read_bytes())
    for entry in re.finditer(b"PK\x01\x02", bytes(marked)):
        marked[entry.start() + 8] |= 1  # encrypted
    path.write_bytes(marked)
    assert "encrypted" in complaint(path, manifest)
    np.savez_compressed(path, **arrays)
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 0x55
        path.write_bytes(changed)
        try:
            codes_file.read(path, manifest)
        except MimoEdgeError as error:
            assert "\n" not in str(error)


def test_a_bomb_is_refused_unexploded(
    manifest: Manifest, arrays: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    bomb = np.broadcast_to(np.int8(0), (1 << 27, arrays["codes"].shape[1]))
    head = header_of(str(bomb.shape), "'|i1'")
    good = {name: value for name, value in arrays.items() if name != "codes"}
    np.savez(path, **good)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("codes.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(head)
        for _ in range(64):
            stream.write(bytes(1 << 20))
    tracemalloc.start()
    assert "is not a file of codes of at most 4 hours" in complaint(path, manifest)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_archives_of_a_million_parts(
    manifest: Manifest, arrays: dict[str, Any], tmp_path: Path
) -> None:
    """Nobody reads the list of them; that of a million takes seconds and a gigabyte."""
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    good = path.read_bytes()
    start = good.index(b"PK\x01\x02")
    end = good.index(b"PK\x05\x06")
    entry = good[start : good.index(b"PK\x01\x02", start + 4)]
    directory = good[start:end] + entry * 200_000
    small = good[end : end + 12]
    large = (b"PK\6\6", 44, 45, 45, 0, 0, 9, 9, len(directory), start)
    ends = {
        "plain": small + struct.pack("<II", len(directory), start) + bytes(2),
        "with a comment": small + struct.pack("<IIH", len(directory), start, 5) + b"hello",
        "ZIP64": struct.pack("<4sQHHIIQQQQ", *large)
        + struct.pack("<4sIQI", b"PK\6\7", 0, start + len(directory), 1)
        + small
        + struct.pack("<IIH", 0xFFFFFFFF, start, 0),
    }
    for kind, tail in ends.items():
        path.write_bytes(good[:start] + directory + tail)
        tracemalloc.start()
        assert "more parts than it can have" in complaint(path, manifest), kind
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
        tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_what_is_no_file(manifest: Manifest, tmp_path: Path) -> None:
    fifo, loop = tmp_path / "fifo.npz", tmp_path / "loop.npz"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    for path in (fifo, loop, tmp_path, tmp_path / ("m" * 300)):
        complaint(path, manifest)


def test_over_the_command_line(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "x.wav"
    assert "is not a file of codes" in command("decode", ZLIB, "-o", out).sentence
    assert not out.exists()


def test_compressed_data_with_zeros_in_it(
    manifest: Manifest, arrays: dict[str, Any], tmp_path: Path
) -> None:
    """What the library of the compression says of it is no sentence for a person."""
    path = tmp_path / "codes.npz"
    rng = np.random.default_rng(0)
    arrays["codes"] = rng.integers(0, 100, (200, manifest.audio.num_quantizers)).astype(np.int16)
    np.savez_compressed(path, **arrays)
    good = path.read_bytes()
    said = set()
    for at in range(80, len(good) // 2, 97):
        path.write_bytes(good[:at] + bytes(64) + good[at + 64 :])
        text = complaint(path, manifest)
        assert "Error -" not in text and "decompressing" not in text
        said.add("damaged" in text)
    assert True in said
