"""The file that keeps what is done: it goes on only with the same work, and survives anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimo_edge import BadInputError, OutputError, Overrides, Transcribe
from mimo_edge.audio import SurveyedSound, surveyed
from mimo_edge.bundle.files import load_manifest
from mimo_edge.installation import DEMO_MODEL
from mimo_edge.transcription import Segment, Unfinished
from tests.server.transcribing.test_formats import segment
from tests.tools.full_disk import largest_file

RATE = 24_000
MANIFEST = load_manifest(DEMO_MODEL)
TASK = Transcribe(audio="x.wav", overrides=Overrides(seed=1))
PARTS = [replace(segment(n, n + 1, f"part {n} é"), number=n) for n in range(4)]


def sound(seed: int) -> AbstractContextManager[SurveyedSound]:
    return surveyed(np.random.default_rng(seed).normal(0, 0.1, RATE).astype(np.float32), RATE)


@pytest.fixture(scope="module")
def recording() -> Iterator[SurveyedSound]:
    with sound(0) as recording:
        yield recording


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "talk.srt"


def begin(output: Path, recording: SurveyedSound, *parts: Segment) -> Path:
    """What a run leaves that was ended after so many parts."""
    with Unfinished.open(output, MANIFEST, TASK, recording) as unfinished:
        for part in parts:
            unfinished.add(part)
    return Unfinished.path_for(output)


def known(output: Path, recording: SurveyedSound) -> dict[int, Segment]:
    with Unfinished.open(output, MANIFEST, TASK, recording) as unfinished:
        return unfinished.known


def test_it_goes_on_with_the_parts_that_were_done(output: Path, recording: SurveyedSound) -> None:
    path = begin(output, recording, PARTS[1], PARTS[0])
    assert path.name == "talk.srt.partial" and not output.exists()
    before = path.read_bytes()
    assert known(output, recording) == {0: PARTS[0], 1: PARTS[1]}
    begin(output, recording, PARTS[3])
    assert path.read_bytes().startswith(before)  # it only grows
    assert known(output, recording).keys() == {0, 1, 3}
    with Unfinished.open(output, MANIFEST, TASK, recording) as unfinished:
        pass
    unfinished.remove()
    assert not list(output.parent.iterdir())


def test_one_run_at_a_time_writes_it(output: Path, recording: SurveyedSound) -> None:
    with Unfinished.open(output, MANIFEST, TASK, recording) as unfinished:
        unfinished.add(PARTS[0])
        with (
            pytest.raises(OutputError, match="written by another transcription"),
            Unfinished.open(output, MANIFEST, TASK, recording, restart=True),
        ):
            pass
        unfinished.add(PARTS[1])
    assert known(output, recording) == {0: PARTS[0], 1: PARTS[1]}
    assert [*output.parent.iterdir()] == [Unfinished.path_for(output)]


def test_of_something_else_it_is_refused(output: Path, recording: SurveyedSound) -> None:
    path = begin(output, recording, PARTS[0])
    before = path.read_bytes()
    other = replace(MANIFEST, files=MANIFEST.files[1:])
    with sound(1) as another:
        for manifest, task, heard, what in (
            (MANIFEST, TASK, another, "another recording"),
            (other, TASK, recording, "another bundle"),
            (MANIFEST, replace(TASK, language="en"), recording, "with other options"),
            (MANIFEST, replace(TASK, overrides=None), recording, "with other options"),
        ):
            with pytest.raises(BadInputError, match=what) as caught:
                Unfinished.open(output, manifest, task, heard).__enter__()
            assert str(path) in str(caught.value) and caught.value.about == "restart"
        assert path.read_bytes() == before
        with Unfinished.open(output, MANIFEST, TASK, another, restart=True) as unfinished:
            assert unfinished.known == {}
            assert len(path.read_bytes().splitlines()) == 1


def test_without_a_part_nothing_is_kept(output: Path, recording: SurveyedSound) -> None:
    path = begin(output, recording, PARTS[0])
    begun = path.read_bytes().splitlines(keepends=True)[0]
    path.unlink()
    with Unfinished.open(output, MANIFEST, TASK, recording) as unfinished:
        assert not unfinished.holds_parts
    assert not list(output.parent.iterdir())
    path.write_bytes(begun)  # of a run that was killed
    with sound(1) as another, Unfinished.open(output, MANIFEST, TASK, another) as unfinished:
        unfinished.add(PARTS[0])
        assert unfinished.holds_parts
    with sound(1) as another:
        assert known(output, another) == {0: PARTS[0]}


def test_the_name_of_the_file_does_not_matter(output: Path, recording: SurveyedSound) -> None:
    begin(output, recording, PARTS[0])
    moved = replace(TASK, audio="moved.wav")
    with Unfinished.open(output, MANIFEST, moved, recording) as unfinished:
        assert unfinished.known == {0: PARTS[0]}


@pytest.mark.parametrize("cut", [1, 20])
def test_half_a_line_at_its_end_is_cut_off(
    output: Path, recording: SurveyedSound, cut: int
) -> None:
    path = begin(output, recording, PARTS[0], PARTS[1])
    path.write_bytes(path.read_bytes()[:-cut])
    assert known(output, recording) == {0: PARTS[0]}
    begin(output, recording, PARTS[2])
    assert known(output, recording) == {0: PARTS[0], 2: PARTS[2]}


@pytest.mark.parametrize("left", [b"", b'{"version": 1, "recor'])
def test_ended_while_it_was_begun(output: Path, recording: SurveyedSound, left: bytes) -> None:
    Unfinished.path_for(output).write_bytes(left)
    assert known(output, recording) == {}
    assert begin(output, recording, PARTS[0]).read_bytes().count(b"\n") == 2
    assert known(output, recording) == {0: PARTS[0]}


@pytest.mark.parametrize(
    "line", [b"no JSON\n", b"[]\n", b'{"number": "one"}\n', b"\xff\n", b'{"number": 1e999}\n']
)
def test_a_damaged_file_is_refused(output: Path, recording: SurveyedSound, line: bytes) -> None:
    path = begin(output, recording, PARTS[0])
    whole = path.read_bytes()
    for damaged in (whole + line, line + whole):
        path.write_bytes(damaged)
        with pytest.raises(BadInputError, match="can be read") as caught:
            known(output, recording)
        assert caught.value.about == "restart"


def test_a_full_disk_keeps_what_was_done(output: Path, recording: SurveyedSound) -> None:
    path = begin(output, recording, PARTS[0])
    with Unfinished.open(output, MANIFEST, TASK, recording) as unfinished:
        full = pytest.raises(OutputError, match="what was done before is kept")
        with largest_file(path.stat().st_size + 100), full:
            unfinished.add(PARTS[1])
        unfinished.add(PARTS[2])
    assert known(output, recording).keys() == {0, 2}
    assert all(json.loads(line) for line in path.read_text("utf-8").splitlines())


def test_where_nothing_can_be_written(tmp_path: Path, recording: SurveyedSound) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        known(tmp_path / "missing" / "a.txt", recording)
    (tmp_path / "a.txt.partial").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        known(tmp_path / "a.txt", recording)
