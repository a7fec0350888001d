"""What comes of a server's events, without a server."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from mimo_edge.dialogue.model_events import Failed, ModelEvent, Transcribed
from mimo_edge.remote.responses import Responses
from mimo_edge.remote.server_events import event_of

RATE = 24_000
QUESTION = np.full(RATE, 0.1, dtype=np.float32)


def test_a_question_that_is_refused_does_not_give_its_name_to_the_next_one() -> None:
    """The next one was deleted at the server, since the refused one was to be forgotten."""
    sent: list[dict[str, Any]] = []
    posted: list[ModelEvent] = []
    responses = Responses(sent.append, posted.append, rate=RATE, speaks=True)

    def told(kind: str, **fields: Any) -> None:
        event = event_of(json.dumps({"type": kind, **fields}))
        assert event is not None
        responses.take(event)

    responses.answer(1, QUESTION)
    refusal = {"type": "invalid_request_error", "code": "empty", "message": "It is empty."}
    told("error", error={**refusal, "event_id": "commit_1"})
    assert [type(event) for event in posted] == [Failed]
    responses.answer(2, -QUESTION)
    told("input_audio_buffer.committed", item_id="second")
    words = {"item_id": "second", "content_index": 0, "transcript": "Hello."}
    told("conversation.item.input_audio_transcription.completed", **words)
    assert posted[1:] == [Transcribed(turn=2, text="Hello.")]
    assert "conversation.item.delete" not in [event["type"] for event in sent]
