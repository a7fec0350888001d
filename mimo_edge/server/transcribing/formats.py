"""A transcript in the formats that callers of the server ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from starlette.responses import JSONResponse, PlainTextResponse, Response

from ...transcription import Transcript, srt, text, verbose, vtt

__all__ = ["TranscriptFormat", "as_response", "token_usage"]

TranscriptFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]


def as_response(transcript: Transcript, form: TranscriptFormat, language: str | None) -> Response:
    """The answer to a request; `language` is what the caller said it is, which nobody checked."""
    if form == "json":
        return JSONResponse({"text": transcript.text, "usage": token_usage(transcript)})
    if form == "verbose_json":
        usage = {"type": "duration", "seconds": round(transcript.duration_s, 3)}
        return JSONResponse({**verbose(transcript, language), "usage": usage})
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


_TEXTS: Mapping[str, tuple[Callable[[Transcript], str], str]] = {
    "text": (text, "text/plain"),
    "srt": (srt, "application/x-subrip"),
    "vtt": (vtt, "text/vtt"),
}
