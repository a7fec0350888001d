"""A transcript in the formats that people and programs ask for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .segments import Segment, Transcript

__all__ = ["FORMATS", "srt", "text", "verbose", "vtt"]


def text(transcript: Transcript) -> str:
    """The words on one line."""
    return f"{transcript.text}\n"


def srt(transcript: Transcript) -> str:
    """Subtitles as SubRip has them."""
    cues = (
        f"{number}\n{_time(cue.begin_s, ',')} --> {_time(cue.end_s, ',')}\n{_line(cue.text)}\n\n"
        for number, cue in enumerate(transcript.segments, 1)
    )
    return "".join(cues)


def vtt(transcript: Transcript) -> str:
    """Subtitles as WebVTT has them."""
    cues = (
        f"{_time(cue.begin_s, '.')} --> {_time(cue.end_s, '.')}\n{_escaped(_line(cue.text))}\n\n"
        for cue in transcript.segments
    )
    return "WEBVTT\n\n" + "".join(cues)


def verbose(transcript: Transcript, language: str | None = None) -> dict[str, Any]:
    """What whisper's programs and OpenAI's `verbose_json` tell; `language` is what a caller said
    it is."""
    return {
        "task": "transcribe",
        # MiMo-Audio writes any language down without saying which it is.
        "language": language or transcript.language or "unknown",
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
        "segments": [
            _segment(number, segment) for number, segment in enumerate(transcript.segments)
        ],
    }


def _json(transcript: Transcript) -> str:
    return json.dumps(verbose(transcript), ensure_ascii=False, indent=1) + "\n"


FORMATS: Mapping[str, Callable[[Transcript], str]] = MappingProxyType(
    {"txt": text, "srt": srt, "vtt": vtt, "json": _json}
)
"""How the names of files in a format end, without the dot → what makes the file's text."""


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    """As whisper's; its `seek` counts frames of 10 ms, its texts begin with a blank."""
    silence = segment.no_speech_prob
    return {
        "id": number,
        "seek": round(100 * segment.begin_s),
        "start": round(segment.begin_s, 3),
        "end": round(segment.end_s, 3),
        "text": f" {segment.text}",
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": round(segment.avg_logprob, 6),
        "compression_ratio": round(segment.compression_ratio, 6),
        "no_speech_prob": None if silence is None else round(silence, 6),
    }


def _time(seconds: float, point: str) -> str:
    """`00:01:02,345`, hours always there."""
    milliseconds = math.floor(1000 * seconds + 0.5)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{milliseconds:03}"


def _line(text: str) -> str:
    """One line without an arrow: an empty line would end the cue, an arrow would begin one."""
    return " ".join(text.split()).replace("-->", "->")


def _escaped(text: str) -> str:
    """As WebVTT writes what would be a tag or a name of a character."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
