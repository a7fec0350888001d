"""A transcript in the formats that callers ask for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from starlette.responses import JSONResponse, PlainTextResponse, Response

from .transcript import Segment, Transcript

__all__ = ["TranscriptFormat", "as_response", "token_usage"]

TranscriptFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]


def as_response(transcript: Transcript, form: TranscriptFormat, language: str | None) -> Response:
    """The answer to a request; `language` is what the caller said it is, which nobody checked."""
    if form == "json":
        return JSONResponse({"text": transcript.text, "usage": token_usage(transcript)})
    if form == "verbose_json":
        return JSONResponse(_verbose(transcript, language))
    make, kind = _TEXTS[form]
    return PlainTextResponse(make(transcript), media_type=kind)


def token_usage(transcript: Transcript) -> dict[str, Any]:
    """Positions that were evaluated and generated, as OpenAI counts tokens."""
    heard = sum(part.audio_tokens for part in transcript.parts)
    asked = sum(part.stats.prompt_positions for part in transcript.parts)
    written = sum(part.stats.text_tokens for part in transcript.parts)
    return {
        "type": "tokens",
        "input_tokens": asked,
        "input_token_details": {"audio_tokens": heard, "text_tokens": asked - heard},
        "output_tokens": written,
        "total_tokens": asked + written,
    }


def _verbose(transcript: Transcript, language: str | None) -> dict[str, Any]:
    return {
        "task": "transcribe",
        # The model writes any language down without saying which it is.
        "language": language or "unknown",
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
        "segments": [
            _segment(number, segment) for number, segment in enumerate(transcript.segments)
        ],
        "usage": {"type": "duration", "seconds": round(transcript.duration_s, 3)},
    }


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


def _text(transcript: Transcript) -> str:
    return f"{transcript.text}\n"


def _srt(transcript: Transcript) -> str:
    cues = (
        f"{number}\n{_time(cue.begin_s, ',')} --> {_time(cue.end_s, ',')}\n{_line(cue.text)}\n\n"
        for number, cue in enumerate(transcript.segments, 1)
    )
    return "".join(cues)


def _vtt(transcript: Transcript) -> str:
    cues = (
        f"{_time(cue.begin_s, '.')} --> {_time(cue.end_s, '.')}\n{_escaped(_line(cue.text))}\n\n"
        for cue in transcript.segments
    )
    return "WEBVTT\n\n" + "".join(cues)


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


_TEXTS: Mapping[str, tuple[Callable[[Transcript], str], str]] = {
    "text": (_text, "text/plain"),
    "srt": (_srt, "application/x-subrip"),
    "vtt": (_vtt, "text/vtt"),
}
