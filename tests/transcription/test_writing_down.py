"""Long recordings to text by the demo model: words, times, parts at once, what was known before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimo_edge import BadInputError, MimoAudio, Transcribe
from mimo_edge.transcription import Segment, positions_for, transcript_of, write_down
from mimo_edge.transcription.spacing import joined
from tests.tools.exact_demo import load_exact_demo

from .recordings import RATE, Said, word_errors, write_recording


@pytest.fixture(scope="module")
def model() -> Iterator[MimoAudio]:
    with load_exact_demo(cache_positions=positions_for(4)) as model:
        yield model


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Said]]:
    """Half a minute in a file."""
    path = tmp_path_factory.mktemp("recording") / "half.flac"
    return path, write_recording(path, 30)


def segments(model: MimoAudio, path: Path, at_once: int) -> list[Segment]:
    return list(transcript_of(model, Transcribe(audio=path), at_once=at_once).parts)


def test_words_and_times(model: MimoAudio, recording: tuple[Path, list[Said]]) -> None:
    path, said = recording
    found = segments(model, path, 4)
    assert [segment.text for segment in found] == [one.text for one in said]
    assert [segment.number for segment in found] == list(range(len(said)))
    for segment, one in zip(found, said, strict=True):
        assert segment.begin_s == pytest.approx(one.begin_s, abs=0.8)
        assert segment.end_s == pytest.approx(one.end_s, abs=0.8)
        assert segment.reason == "stop" and segment.avg_logprob > -1
        assert segment.language is None and segment.no_speech_prob is None


def test_several_at_once_say_the_same(model: MimoAudio, recording: tuple[Path, list[Said]]) -> None:
    one, four = (segments(model, recording[0], at_once) for at_once in (1, 4))
    for first, second in zip(one, four, strict=True):
        assert (first.text, first.tokens) == (second.text, second.tokens)
        assert (first.begin_s, first.end_s) == (second.begin_s, second.end_s)


@pytest.mark.parametrize("at_once", [1, 3])
def test_the_pieces_joined_are_the_text(
    model: MimoAudio, recording: tuple[Path, list[Said]], at_once: int
) -> None:
    task = Transcribe(audio=recording[0])
    with model.recording(task.audio) as opened:
        items = list(write_down(model, task, opened, at_once=at_once))
    pieces = [item for item in items if isinstance(item, str)]
    assert len(pieces) > len(recording[1])
    assert "".join(pieces) == " ".join(one.text for one in recording[1])


def test_what_was_done_before_is_not_done_again(
    model: MimoAudio, recording: tuple[Path, list[Said]]
) -> None:
    task = Transcribe(audio=recording[0])
    done = segments(model, recording[0], 1)
    known = {1: replace(done[1], text="known"), 2: replace(done[2], begin_s=0.5, text="of another")}
    finished: list[int] = []
    with model.recording(task.audio) as opened:
        items = write_down(
            model,
            task,
            opened,
            at_once=2,
            known=known,
            finished=lambda segment: finished.append(segment.number),
        )
        texts = [item.text for item in items if isinstance(item, Segment)]
    assert texts == [done[0].text, "known", *(one.text for one in done[2:])]
    assert sorted(finished) == [n for n in range(len(done)) if n != 1]


@pytest.mark.parametrize("at_once", [1, 3])
def test_cancelled_in_the_middle(
    model: MimoAudio, recording: tuple[Path, list[Said]], at_once: int
) -> None:
    cancel, task = threading.Event(), Transcribe(audio=recording[0])
    with model.recording(task.audio) as opened:
        parts = []
        for item in write_down(model, task, opened, at_once=at_once, cancel=cancel):
            if isinstance(item, Segment):
                parts.append(item)
                cancel.set()
    assert 1 <= len(parts) < len(recording[1])
    assert not any(thread.name == "mimo_edge part" for thread in threading.enumerate())


def test_nothing_to_hear(model: MimoAudio) -> None:
    with pytest.raises(BadInputError, match=r"silent \(peak"):
        transcript_of(model, Transcribe(audio=np.zeros(40 * RATE, np.float32)))


def test_blanks_between_parts() -> None:
    assert joined([" one ", "", "two"]) == "one two"
    assert joined(["今天天气很好。", "我们走吧", "ok", "好"]) == "今天天气很好。我们走吧 ok 好"


@pytest.mark.slow
def test_word_errors_of_a_long_recording(model: MimoAudio, tmp_path: Path) -> None:
    """Ten minutes, so that it is decoded more than once and its parts are far apart.

    An hour of it was written down by hand: no error in 2,983 words, as of the sentences alone.
    """
    path = tmp_path / "ten.flac"
    said = write_recording(path, 600, seed=1)
    transcript = transcript_of(model, Transcribe(audio=path), at_once=4)
    wrong, words = word_errors(said, transcript.text)
    assert words > 400 and wrong <= 0.01 * words
    assert transcript.duration_s == pytest.approx(said[-1].end_s)
