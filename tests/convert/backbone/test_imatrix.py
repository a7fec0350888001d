"""Importance matrices that anybody may have made: read, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.backbone.imatrix import read_imatrix
from mimo_edge.errors import MimoEdgeError
from tests.tools.imatrix_files import CALLS, random_sums, write_imatrix

COLUMNS = {"blk.0.attn_q.weight": 64, "blk.0.ffn_up.weight": 32}
SUMS = random_sums(COLUMNS)

both_formats = pytest.mark.parametrize("legacy", [False, True], ids=["gguf", "dat"])


def message(path: Path) -> str:
    with pytest.raises(MimoEdgeError) as caught:
        read_imatrix(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and text.endswith(".")
    assert text.isprintable()
    return text


@both_formats
def test_mean_squares(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "imatrix"
    write_imatrix(path, SUMS, legacy=legacy)
    found = read_imatrix(path)
    assert found.keys() == SUMS.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, SUMS[name] / CALLS, rtol=1e-6)


@both_formats
def test_what_was_never_evaluated_weighs_every_column_alike(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "imatrix"
    write_imatrix(path, SUMS | {"x": np.zeros(32, np.float32)}, legacy=legacy)
    np.testing.assert_array_equal(read_imatrix(path)["x"], np.ones(32))


@both_formats
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 3e38])
def test_values_that_are_no_mean_squares(tmp_path: Path, legacy: bool, value: float) -> None:
    sums = {name: values.copy() for name, values in SUMS.items()}
    sums["blk.0.ffn_up.weight"][7] = value
    path = tmp_path / "imatrix"
    write_imatrix(path, sums, legacy=legacy)
    assert "'blk.0.ffn_up.weight' holds values that are no mean squares" in message(path)


@both_formats
def test_damaged_files(tmp_path: Path, legacy: bool) -> None:
    """Cut anywhere, or with any number of the header replaced by an enormous one."""
    path = tmp_path / "imatrix"
    write_imatrix(path, SUMS, legacy=legacy)
    whole = path.read_bytes()
    header = whole.index(SUMS["blk.0.attn_q.weight"].tobytes())
    for end in range(0, len(whole) - 64, 13):
        path.write_bytes(whole[:end])
        message(path)
    for at in range(4, header - 8):
        for number in (b"\xff" * 8, (1 << 40).to_bytes(8, "little"), bytes(8)):
            path.write_bytes(whole[:at] + number + whole[at + 8 :])
            try:
                read_imatrix(path)
            except MimoEdgeError as error:
                assert "importance matrix" in str(error) or "mean squares" in str(error)


def test_a_list_that_claims_more_than_there_is(tmp_path: Path) -> None:
    """A reader that believes it runs for hours."""
    path = tmp_path / "imatrix"
    key = b"a"
    data = (
        b"GGUF" + (3).to_bytes(4, "little") + (0).to_bytes(8, "little") + (1).to_bytes(8, "little")
    )
    data += len(key).to_bytes(8, "little") + key + (9).to_bytes(4, "little")
    data += (0).to_bytes(4, "little") + (1 << 60).to_bytes(8, "little")
    path.write_bytes(data)
    assert "claims 1152921504606846976 entries" in message(path)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "imatrix"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    assert "it has 1048576 MiB" in message(path)
