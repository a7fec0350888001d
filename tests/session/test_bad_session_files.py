"""Saved conversations that are damaged, edited or made by somebody else: one sentence each."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio

from .test_session_files import change_head, rewrite, saved
from .test_sessions import OPTIONS, end_of, same_sampling

__all__ = ["saved"]  # a fixture


@pytest.mark.parametrize("size", [0, 1, 100, 0.5, -1])
def test_a_truncated_file_is_refused(reference_model: MimoAudio, saved: Path, size: float) -> None:
    data = saved.read_bytes()
    cut = int(size * len(data)) if size == 0.5 else int(size)
    saved.write_bytes(data[:cut])
    with pytest.raises(MimoEdgeError, match="is not a saved session"):
        reference_model.load_session(saved)


def test_a_flipped_byte_is_refused(reference_model: MimoAudio, saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[len(data) // 2] ^= 255
    saved.write_bytes(data)
    with pytest.raises(MimoEdgeError, match="is not a saved session"):
        reference_model.load_session(saved)


@pytest.mark.parametrize(
    "change", [{"turns": 3}, {"turns": "two"}, {"format": "mimo_edge session 99"}, {"bundle": None}]
)
def test_an_edited_head_is_refused(
    reference_model: MimoAudio, saved: Path, change: dict[str, Any]
) -> None:
    change_head(saved, **change)
    with pytest.raises(MimoEdgeError, match=r"not a saved session|another bundle"):
        reference_model.load_session(saved)


@pytest.mark.parametrize("missing", ["head", "turn1.request.patches", "turn0.answer.ids"])
def test_a_missing_part_is_refused(reference_model: MimoAudio, saved: Path, missing: str) -> None:
    rewrite(saved, **{missing: None})
    with pytest.raises(MimoEdgeError, match="is not a saved session"):
        reference_model.load_session(saved)


def test_a_head_that_nobody_wrote(reference_model: MimoAudio, saved: Path) -> None:
    """Each value of a wrong type or range is a sentence that names it."""
    wrong: dict[str, list[object]] = {
        "turns": [-1, 10**9, 10**30, 1.5, True, None, float("nan")],
        "system": [7, ["Be kind."], "\ud800"],
        "reply": ["shout", None, 3],
        "model": [None, 5],
        "more": [1],
    }
    before = saved.read_bytes()
    for key, values in wrong.items():
        for value in values:
            saved.write_bytes(before)
            change_head(saved, **{key: value})
            with pytest.raises(MimoEdgeError, match="is not a saved session") as caught:
                reference_model.load_session(saved)
            assert key in str(caught.value) or value in ("\ud800",) or value != value
    for head in (b"", b"[" * 100_000, b"[]", b'"x"', b"\xff", b'{"turns": 1, "turns": 2}'):
        saved.write_bytes(before)
        rewrite(saved, head=np.frombuffer(head, dtype=np.uint8))
        with pytest.raises(MimoEdgeError, match="is not a saved session"):
            reference_model.load_session(saved)


def test_a_model_name_of_another_session_cannot_rule_the_terminal(
    reference_model: MimoAudio, saved: Path
) -> None:
    change_head(saved, bundle="0" * 64, model="\x1b[2Jevil" * 1000)
    with pytest.raises(MimoEdgeError, match="another bundle") as caught:
        reference_model.load_session(saved)
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 500


def test_arrays_that_no_conversation_has(
    reference_model: MimoAudio, clips: dict[str, Path], saved: Path
) -> None:
    """Voices, ids and codes of other shapes, types and ranges are refused when they are read."""
    with np.load(saved) as file:
        arrays = dict(file)
    voice, ids, codes = (arrays[name] for name in ("voice", "cache.ids", "cache.codes"))
    wrong: dict[str, list[Any]] = {
        "voice": [
            voice[0],
            voice[:, :3],
            voice[:, :, :2],
            voice[None],
            np.array(5),
            voice.astype(np.float32),
            np.full(voice.shape, np.nan),
            np.full_like(voice, -1),
            np.full_like(voice, 10**12),
            np.full(voice.shape, 2**63, dtype=np.uint64),
            voice.astype("<U8"),
            voice > 0,
            voice.astype(complex),
            np.zeros((1 << 19, *voice.shape[1:]), dtype=np.int8),
        ],
        "turn0.request.patches": [voice[:, :3], voice.astype(np.float64), np.zeros(3, np.int64)],
        "turn1.answer.ids": [np.full_like(arrays["turn1.answer.ids"], 10**8), ids.reshape(-1, 1)],
        "cache.ids": [
            np.full_like(ids, -1),
            np.full(ids.shape, 1 << 20, dtype=np.int32),
            ids.astype(np.float32),
            ids[:-1],
            ids[None],
        ],
        "cache.codes": [codes[:-2], codes[:, :3], np.full_like(codes, 1 << 20)],
        "cache.state": [arrays["cache.state"].astype(np.int64), np.array(1)],
        "turn0.request.text": [np.frombuffer(b"\xff\xfe", dtype=np.uint8)],
    }
    before = saved.read_bytes()
    for name, values in wrong.items():
        for value in values:
            saved.write_bytes(before)
            rewrite(saved, **{name: value})
            with pytest.raises(MimoEdgeError, match="is not a saved session") as caught:
                reference_model.load_session(saved)
            assert len(str(caught.value)) < 500


def test_other_integers_mean_the_same(
    reference_model: MimoAudio, clips: dict[str, Path], saved: Path
) -> None:
    """Somebody's own program may write narrower ones, or columns first."""
    with np.load(saved) as file:
        changes = {
            "voice": np.asfortranarray(file["voice"].astype(">i2")),
            "cache.ids": file["cache.ids"].astype(np.uint64),
        }
    with reference_model.load_session(saved, overrides=OPTIONS) as session:
        expected = end_of(session.stream(clips["tiny"]))
    rewrite(saved, **changes)
    with reference_model.load_session(saved, overrides=OPTIONS) as session:
        assert same_sampling(end_of(session.stream(clips["tiny"])), expected)


def test_junk_beside_a_conversation_is_not_unpacked(
    reference_model: MimoAudio, clips: dict[str, Path], saved: Path
) -> None:
    """A part that nobody asks for may claim any size."""
    with (
        zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("junk.npy", "w", force_zip64=True) as stream,
    ):
        for _ in range(300):
            stream.write(bytes(1 << 20))
    tracemalloc.start()
    reference_model.load_session(saved, overrides=OPTIONS).close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20


def test_nothing_pickled_is_read(reference_model: MimoAudio, saved: Path) -> None:
    rewrite(saved, head=np.array([{"format": "mimo_edge session 1"}], dtype=object))
    with pytest.raises(MimoEdgeError, match="is not a saved session"):
        reference_model.load_session(saved)
