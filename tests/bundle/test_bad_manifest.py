"""Manifests whose checksums fit and whose values cannot be: one sentence that names the field."""

from __future__ import annotations

import errno
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import CHECKSUM_KEY, MANIFEST_FILE, checksum
from mimo_edge.errors import MimoEdgeError

HUGE = (0, -1, 10**18, 10**21)
NO_NUMBER: tuple[object, ...] = ("4", None, True, 1.5, [], {}, [4])
NAMES = ("", "\x1b[2Jx", "a\nb", "\ud800", "x" * 300, 5, None)
WRONG: dict[str, tuple[Any, ...]] = {
    "name": NAMES,
    "recipe": NAMES,
    "precisions": ({}, [], {"backbone": "f16"}, None),
    "precisions.backbone": ("", "\x07", 5),
    "precisions.vocoder2": ("fp32",),
    "source.0.size": (-1, 10**18, "1"),
    "source.0.sha256": ("", "z" * 64, 5),
    "source.0.name": NAMES,
    "files": ([], {}, None, "backbone.gguf"),
    "files.0.size": (-1, 10**18, 10**21, 1.5),
    "files.0.parameters": (-1, 10**18, None),
    "files.0.sample": ("", "0", None),
    "audio": (None, [], 3),
    "audio.sample_rate": (*HUGE, *NO_NUMBER, 1, 999),
    "audio.n_fft": (*HUGE, *NO_NUMBER, 959, 1),
    "audio.window_size": (*HUGE, 16_000),
    "audio.hop_length": (*HUGE, 16_000),
    "audio.n_mels": (*HUGE, *NO_NUMBER),
    "audio.f_min": (-1.0, math.nan, math.inf, 10.0**21, 15_000.0, "0"),
    "audio.f_max": (-1.0, 0.0, math.nan, math.inf, 10.0**21, None),
    "audio.num_quantizers": (*HUGE, 1),
    "audio.codebook_sizes": ([], [128], [0] * 20, [10**21] * 20, None, ["128"] * 20),
    "audio.encode_stride": HUGE,
    "audio.decode_stride": HUGE,
    "audio.vocoder_left": (-2, 10**18, 10**21, 0.5),
    "audio.vocoder_right": (-2, 10**18, 10**21, None),
    "audio.decoder_layers": HUGE,
    "audio.decoder_heads": HUGE,
    "audio.decoder_head_dim": HUGE,
    "patch.group_size": (*HUGE, *NO_NUMBER),
    "patch.channels": (*HUGE, 7, 9, 255),
    "patch.vocab_sizes": ([], [129] * 8, [0] * 8, [10**21] * 8, [1025] * 7),
    "patch.empty_ids": ([], [-1] * 8, [5000] * 8, [10**18] * 8),
    "patch.delays": ([], [-1] * 8, [10**9] * 8, [0] * 9, ["0"] * 8),
    "patch.local_dim": (*HUGE, 7),
    "patch.local_layers": (*HUGE, 513),
    "patch.local_heads": (*HUGE, 7),
    "backbone.vocab_size": (*HUGE, 5),
    "backbone.hidden_size": (*HUGE, *NO_NUMBER),
    "backbone.layers": HUGE,
    "backbone.kv_heads": HUGE,
    "backbone.head_dim": HUGE,
    "backbone.max_positions": (*HUGE, 15),
    "backbone.embedding_type": ("", "Q9_9", "I64", "\x1b[0m", 4),
    "backbone.embedding_offset": (-1, 10**12, 10**21),
    "special_tokens": ({}, [], None, {"": 3}),
    "special_tokens.<|im_end|>": (-1, 10**6, 10**21, 0.5, None),
    "special_tokens.<|more|>": (10**21, "5"),
}
"""Field → values that no model has there."""


@pytest.fixture
def bundle(reference_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(reference_bundle, tmp_path / "bundle"))


def write(bundle: Path, raw: dict[str, Any]) -> None:
    """Write a manifest with the checksum that belongs to it."""
    values = {key: value for key, value in raw.items() if key != CHECKSUM_KEY}
    text = json.dumps({**values, CHECKSUM_KEY: sign(values)})
    (bundle / MANIFEST_FILE).write_text(text, "utf-8")


def sign(values: dict[str, Any]) -> str:
    try:
        return checksum(values)
    except UnicodeEncodeError:  # a lone surrogate has no bytes to hash
        return "0" * 64


def changed(raw: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(raw))
    *path, last = field.split(".")
    part = copy
    for key in path:
        part = part[int(key) if isinstance(part, list) else key]
    part[int(last) if isinstance(part, list) else last] = value
    return dict(copy)


def complaint(bundle: Path) -> str:
    with pytest.raises(MimoEdgeError) as caught:
        load_manifest(bundle)
    text = str(caught.value)
    assert text.startswith(str(bundle)) and text.endswith(".")
    assert text.replace("…", "").isprintable() and len(text) < 500, text
    return text


@pytest.mark.parametrize("field", WRONG)
def test_values_that_no_model_has(bundle: Path, field: str) -> None:
    raw = json.loads((bundle / MANIFEST_FILE).read_text("utf-8"))
    for value in WRONG[field]:
        write(bundle, changed(raw, field, value))
        text = complaint(bundle)
        nan = isinstance(value, float) and not math.isfinite(value)
        assert nan or value == "\ud800" or field.split(".")[-1] in text, (value, text)


def test_files_that_no_bundle_has(bundle: Path) -> None:
    raw = json.loads((bundle / MANIFEST_FILE).read_text("utf-8"))
    files = raw["files"]
    for name in ("../x", "/etc/passwd", "a\\b", "more.onnx", "manifest.json", "vocoder.onnx/"):
        write(bundle, {**raw, "files": [*files, {**files[0], "name": name}]})
        assert repr(name) in complaint(bundle)
    write(bundle, {**raw, "files": [*files, files[0]]})
    assert "twice" in complaint(bundle)
    for index, file in enumerate(files):
        if not file["name"].endswith(".data"):
            write(bundle, {**raw, "files": files[:index] + files[index + 1 :]})
            assert f"does not name {file['name']!r}" in complaint(bundle)


def test_json_that_programs_read_differently(bundle: Path) -> None:
    path = bundle / MANIFEST_FILE
    text = path.read_text("utf-8")
    for other in (
        text.replace('"recipe"', '"name": "other", "recipe"', 1),
        text.replace('"f_min": 0.0', '"f_min": NaN').replace('"f_min": 0', '"f_min": -Infinity'),
        "[" * 1_000_000,
        '{"a":' * 100_000,
        '{"schema_version": ' + "9" * 10_000 + "}",
        text.replace('"schema_version": 2', f'"schema_version": "{"x" * 10_000}"'),
    ):
        assert other != text
        path.write_text(other, "utf-8")
        complaint(bundle)
    path.write_bytes(text.encode("utf-16"))
    complaint(bundle)
    path.write_bytes(b" " * (17 << 20))
    assert "bytes" in complaint(bundle)


def test_a_manifest_that_is_no_file(bundle: Path, tmp_path: Path) -> None:
    path = bundle / MANIFEST_FILE
    path.unlink()
    path.mkdir()
    complaint(bundle)
    path.rmdir()
    path.symlink_to(path)
    complaint(bundle)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    complaint(loop)
    complaint(tmp_path / ("m" * 300))


def test_a_manifest_that_the_system_keeps(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may read everything cannot be refused, so the system's answer is made up."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "Permission denied" in complaint(bundle)
