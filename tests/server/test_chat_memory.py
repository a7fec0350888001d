"""What the server keeps of conversations between requests is bounded."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mimo_edge.model import MimoAudio
from mimo_edge.prompt.positions import Positions
from mimo_edge.prompt.prompts import Exchange
from mimo_edge.server.chat.answers import Answers, KeptAnswer, new_answer
from mimo_edge.server.chat.conversations import Conversations
from mimo_edge.server.chat.recordings import Recordings
from mimo_edge.server.options import Limits
from mimo_edge.tasks import Overrides, converse

DEMO = Path(__file__).parent.parent / "data" / "demo"


@pytest.fixture(scope="module")
def model() -> Iterator[MimoAudio]:
    with MimoAudio.load() as model:
        yield model


def positions(count: int) -> Positions:
    codes = np.arange(count * 32, dtype=np.int64).reshape(count, 4, 8) % 1024
    return Positions(np.arange(count, dtype=np.int32), codes)


def test_an_answer_is_kept_as_it_was() -> None:
    answers, kept, said = Answers(), new_answer(), positions(20)
    answers.keep(kept, said)
    found = answers.find(kept.id)
    assert found is not None and found.common_prefix(said) == len(found) == 20
    assert found.codes.dtype == np.int64
    assert answers.find("audio_unknown") is None and new_answer().id != kept.id


def test_answers_are_forgotten_by_number_by_size_and_by_age() -> None:
    few, many = Answers(), [new_answer() for _ in range(600)]
    for kept in many:
        few.keep(kept, positions(1))
    assert few.find(many[0].id) is None and few.find(many[-1].id) is not None
    large = Answers()
    for kept in many[:20]:
        large.keep(kept, positions(60_000))
    assert large.find(many[0].id) is None and large.find(many[19].id) is not None
    old = KeptAnswer(id="audio_old", expires_at=0)
    large.keep(old, positions(1))
    large.keep(many[30], positions(1))
    assert large.find(many[30].id) is not None
    expired = Answers()
    expired.keep(old, positions(1))
    assert expired.find(old.id) is None


def test_a_recording_is_heard_once(model: MimoAudio) -> None:
    recordings = Recordings(Limits())
    data = base64.b64encode((DEMO / "sum.flac").read_bytes()).decode()
    first = recordings.patches(model, data, "a")
    wrapped = "\n".join(data[at : at + 76] for at in range(0, len(data), 76))
    assert recordings.patches(model, wrapped, "a") is first
    assert recordings.patches(model, f"data:audio/flac;base64,{data}", "a") is first
    np.testing.assert_array_equal(first, model.listen(DEMO / "sum.flac"))


def test_a_request_gets_the_cache_of_its_own_conversation(model: MimoAudio) -> None:
    conversations = Conversations()
    short = Overrides(max_new_tokens=2, temperature=0)
    topics = [f"{chr(97 + number)}, {'abc def ' * 4}" for number in range(12)]

    def cached(text: str) -> int:
        task = converse([Exchange(request=text)], "text", overrides=short)
        with conversations.borrow(model, model.positions(task)) as cache:
            *_, end = cache.stream(task)
        stats: int = end.stats.cached_positions  # type: ignore[union-attr]
        return stats

    opening = max(cached(topic) for topic in topics[:4])
    assert all(cached(topic) > opening for topic in topics[:4])
    for topic in topics:  # more conversations than are kept: the longest unused are given up
        cached(topic)
    assert cached(topics[-1]) > opening
