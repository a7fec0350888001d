"""A recording in parts: each with its times, its words and how sure the model was of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.generation.events import TextDelta, TurnEnd
from mimo_edge.model import MimoAudio
from mimo_edge.tasks import PreparedTask, Transcribe
from tests.tools.exact_demo import load_exact_demo

QUESTIONS = Path(__file__).parent.parent / "data" / "demo"
RATE = 24_000


@pytest.fixture(scope="module")
def demo() -> Iterator[MimoAudio]:
    with load_exact_demo() as model:
        yield model


def question(name: str) -> np.ndarray:
    samples: np.ndarray = soundfile.read(QUESTIONS / f"{name}.flac", dtype="float32")[0]
    return samples


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def answer(model: MimoAudio, part: PreparedTask) -> tuple[str, TurnEnd]:
    *deltas, end = model.stream(part)
    assert isinstance(end, TurnEnd)
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)).strip(), end


def test_each_part_is_when_it_was_said(demo: MimoAudio) -> None:
    first, second = question("sum"), question("name")
    begins = (2.0, 2.0 + len(first) / RATE + 10.0)
    recording = np.concatenate([silence(2), first, silence(10), second, silence(20)])
    parts = list(demo.parts(Transcribe(audio=recording)))
    heard = [part.part for part in parts]
    texts = [answer(demo, part)[0] for part in parts]
    assert texts == ["what is seven plus five", "what is your name"]
    for part, samples, begin in zip(heard, (first, second), begins, strict=True):
        assert part is not None
        assert part.begin_s == pytest.approx(begin, abs=0.5)
        assert part.end_s == pytest.approx(begin + len(samples) / RATE, abs=0.7)
    assert demo.run(Transcribe(audio=recording)).text == " ".join(texts)


def test_parts_of_a_long_recording_follow_each_other(demo: MimoAudio) -> None:
    recording = np.concatenate([question("sum"), silence(0.5)] * 30)
    parts = [part.part for part in demo.parts(Transcribe(audio=recording))]
    times = [(part.begin_s, part.end_s) for part in parts if part is not None]
    assert len(times) > 2 and times[0][0] == 0
    assert times[-1][1] == pytest.approx(len(recording) / RATE)
    for (_, end), (begin, _) in itertools.pairwise(times):
        assert begin == end
    assert all(end - begin <= 30 for begin, end in times)


def test_how_likely_the_text_was(demo: MimoAudio) -> None:
    (part,) = demo.parts(Transcribe(audio=question("sum")))
    _, end = answer(demo, part)
    assert end.logprobs is None
    asked = replace(part, options=replace(part.options, logprobs=True))
    text, end = answer(demo, asked)
    assert text == "what is seven plus five"
    assert end.logprobs is not None
    assert len(end.logprobs) == len(end.text_ids) + 1  # and of the stop
    assert (end.logprobs <= 0).all() and end.logprobs.mean() > -0.5
    joined = list(demo.stream(asked))[-1]
    assert isinstance(joined, TurnEnd) and joined.logprobs is not None
    np.testing.assert_allclose(joined.logprobs, end.logprobs)
