"""Transcripts to the letter: times, numbers, blank lines, what has to be escaped."""

from __future__ import annotations

import json

import pytest

from mimo_edge.generation.events import TurnStats
from mimo_edge.server.transcribing.formats import TranscriptFormat, as_response, token_usage
from mimo_edge.transcription import Segment, Transcript

STATS = TurnStats(
    prompt_positions=40,
    cached_positions=0,
    text_tokens=7,
    patches=0,
    prefill_seconds=0,
    backbone_seconds=0,
    patch_seconds=0,
    audio_seconds=0,
)


def segment(begin_s: float, end_s: float, text: str) -> Segment:
    return Segment(
        number=0,
        begin_s=begin_s,
        end_s=end_s,
        text=text,
        tokens=(1, 2),
        temperature=0.0,
        avg_logprob=-0.25,
        no_speech_prob=0.125,
        audio_tokens=25,
        stats=STATS,
    )


def transcript(*segments: Segment) -> Transcript:
    return Transcript(duration_s=4000.5, parts=segments)


def written(form: TranscriptFormat, *segments: Segment) -> str:
    return bytes(as_response(transcript(*segments), form, None).body).decode()


HARD = (
    segment(0, 1.9996, "Tom & Jerry: 1 < 2"),
    segment(1.9996, 59.9995, "an --> arrow\n\nand a blank line"),
    segment(60, 61, ""),
    segment(3599.9999, 36000.001, "Grüße, 世界 <i>"),
)


def test_srt() -> None:
    assert written("srt", *HARD) == (
        "1\n00:00:00,000 --> 00:00:02,000\nTom & Jerry: 1 < 2\n\n"
        "2\n00:00:02,000 --> 00:01:00,000\nan -> arrow and a blank line\n\n"
        "3\n01:00:00,000 --> 10:00:00,001\nGrüße, 世界 <i>\n\n"
    )


def test_vtt() -> None:
    assert written("vtt", *HARD) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:02.000\nTom &amp; Jerry: 1 &lt; 2\n\n"
        "00:00:02.000 --> 00:01:00.000\nan -&gt; arrow and a blank line\n\n"
        "01:00:00.000 --> 10:00:00.001\nGrüße, 世界 &lt;i&gt;\n\n"
    )


def test_text_and_json() -> None:
    parts = (segment(0, 1, "one two"), segment(1, 2, ""), segment(2, 3, "three"))
    assert written("text", *parts) == "one two three\n"
    assert json.loads(written("json", *parts)) == {
        "text": "one two three",
        "usage": {
            "type": "tokens",
            "input_tokens": 120,
            "input_token_details": {"audio_tokens": 75, "text_tokens": 45},
            "output_tokens": 21,
            "total_tokens": 141,
        },
    }


def test_verbose_json() -> None:
    parts = (segment(0, 1, ""), segment(1.23456, 2.5, "a " * 50 + "a"))
    said = json.loads(written("verbose_json", *parts))
    (only,) = said.pop("segments")
    assert said == {
        "task": "transcribe",
        "language": "unknown",
        "duration": 4000.5,
        "text": "a " * 50 + "a",
        "usage": {"type": "duration", "seconds": 4000.5},
    }
    assert only.pop("compression_ratio") > 5
    assert only == {
        "id": 0,
        "seek": 123,
        "start": 1.235,
        "end": 2.5,
        "text": " " + "a " * 50 + "a",
        "tokens": [1, 2],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "no_speech_prob": 0.125,
    }


@pytest.mark.parametrize(
    ("form", "kind", "text"),
    [
        ("text", "text/plain", "\n"),
        ("srt", "application/x-subrip", ""),
        ("vtt", "text/vtt", "WEBVTT\n\n"),
    ],
)
def test_nothing_said(form: TranscriptFormat, kind: str, text: str) -> None:
    answer = as_response(transcript(), form, None)
    assert answer.body == text.encode()
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert token_usage(transcript())["total_tokens"] == 0
