"""What is asked of a server: the events of OpenAI's Realtime API (GA) that a client sends."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RATE",
    "RemoteSettings",
    "appends",
    "cancel",
    "clear",
    "commit",
    "create_item",
    "create_response",
    "delete_item",
    "sound_content",
    "text_content",
    "truncate_item",
    "update_session",
]

RATE = 24_000
"""Hz of the sound that is asked for: the only rate of the API's PCM."""

_MOST_SAMPLES = 4 * RATE
"""Of one message: a quarter of a megabyte, what every server and proxy takes."""

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RemoteSettings:
    """What a conversation asks of a server."""

    instructions: str | None = None
    """None: the server's own."""
    voice: str | None = None
    """Name or identifier of a voice that the server knows; None: the server's own."""
    speaks: bool = True
    """Whether answers have sound; else they are text."""
    transcriber: str | None = None
    """Model that writes the user's speech down, as the server names it; None: nobody does."""
    max_tokens: int | None = None
    """Longest answer, in the server's tokens; None: as long as the server lets it be."""


def update_session(settings: RemoteSettings, event_id: str) -> Event:
    """What is to hold for the whole conversation; whose turn it is, is decided on this side."""
    pcm = {"type": "audio/pcm", "rate": RATE}
    hears: Event = {"format": pcm, "turn_detection": None}
    if settings.transcriber is not None:
        hears["transcription"] = {"model": settings.transcriber}
    says: Event = {"format": pcm}
    if settings.voice is not None:
        says["voice"] = settings.voice
    session: Event = {
        "type": "realtime",
        "output_modalities": ["audio" if settings.speaks else "text"],
        "audio": {"input": hears, "output": says},
    }
    if settings.instructions is not None:
        session["instructions"] = settings.instructions
    if settings.max_tokens is not None:
        session["max_output_tokens"] = settings.max_tokens
    return {"type": "session.update", "event_id": event_id, "session": session}


def appends(samples: NDArray[np.float32]) -> Iterator[Event]:
    """The user's next sound, float32 [n], in pieces of bounded size."""
    for start in range(0, len(samples), _MOST_SAMPLES):
        piece = samples[start : start + _MOST_SAMPLES]
        yield {"type": "input_audio_buffer.append", "audio": _encoded(piece)}


def clear() -> Event:
    """Forget the sound that was sent and not committed."""
    return {"type": "input_audio_buffer.clear"}


def commit(event_id: str) -> Event:
    """The sound that was sent is the user's turn."""
    return {"type": "input_audio_buffer.commit", "event_id": event_id}


def create_response(event_id: str) -> Event:
    """Answer."""
    return {"type": "response.create", "event_id": event_id}


def cancel(response: str | None) -> Event:
    """Stop that response; None: the one that runs."""
    event: Event = {"type": "response.cancel"}
    return event if response is None else {**event, "response_id": response}


def truncate_item(item: str, content_index: int, milliseconds: int, event_id: str) -> Event:
    """Of that sound, what is behind so many milliseconds was not heard."""
    return {
        "type": "conversation.item.truncate",
        "event_id": event_id,
        "item_id": item,
        "content_index": content_index,
        "audio_end_ms": milliseconds,
    }


def delete_item(item: str, event_id: str) -> Event:
    """That item never was."""
    return {"type": "conversation.item.delete", "event_id": event_id, "item_id": item}


def create_item(item: str, role: str, content: Event, event_id: str) -> Event:
    """Something was said, by the user or by the assistant; it becomes the last item."""
    message = {"id": item, "type": "message", "role": role, "content": [content]}
    return {"type": "conversation.item.create", "event_id": event_id, "item": message}


def sound_content(samples: NDArray[np.float32]) -> Event:
    """What the user said, float32 [n], for `create_item`."""
    return {"type": "input_audio", "audio": _encoded(samples)}


def text_content(text: str) -> Event:
    """What the assistant said, for `create_item`."""
    return {"type": "output_text", "text": text}


def _encoded(samples: NDArray[np.float32]) -> str:
    pcm = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
    return base64.b64encode(pcm.tobytes()).decode("ascii")
