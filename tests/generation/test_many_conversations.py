"""Conversations that come, go and are broken off at random, several at a time."""

from __future__ import annotations

import pytest

from tests.tools.exact_demo import load_exact_demo

from .many_conversations import Footprint, answers_alone, converse

SESSIONS = 8
ANSWERS = 20
"""Begun by each of four threads."""


@pytest.mark.slow
def test_each_answers_its_own_question() -> None:
    """And at the end nothing is left of them."""
    with load_exact_demo() as model:
        expected = answers_alone(model)
        converse(model, expected, lambda counts: counts["begun"] < 8, sessions=SESSIONS, seed=1)
        before = Footprint.take()
        counts, wrong = converse(
            model, expected, lambda counts: counts["begun"] < ANSWERS, sessions=SESSIONS
        )
        after = Footprint.take()
    assert not wrong
    assert counts["stop"] >= 20 and counts["dropped"] and counts["cancelled"], counts
    assert after.memory - before.memory < 30e6, (str(before), str(after))
    assert after.threads <= before.threads and after.descriptors <= before.descriptors
