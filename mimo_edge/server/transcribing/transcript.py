"""What is said in a recording that a caller sent, part by part as it becomes known."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import ExitStack
from typing import BinaryIO

from ...errors import MimoEdgeError
from ...model import MimoAudio
from ...tasks import Overrides, Transcribe
from ...trained_tasks import hinted_language
from ...transcription import Segment, Transcript, write_down
from ..options import Limits
from ..requests.api_errors import api_error
from ..requests.sounds import checked_file

__all__ = ["transcribe"]


def transcribe(
    model: MimoAudio,
    file: BinaryIO,
    limits: Limits,
    *,
    language: str | None,
    overrides: Overrides,
    cancel: threading.Event,
) -> Generator[str | Segment | Transcript, None, None]:
    """Pieces of the text, each part when it is done, and at last all of it; blocks.

    The file is decoded while it is heard, and never in memory as a whole. The pieces joined are
    the text. A silent recording has a transcript without a word.

    Raises:
        ApiError: the file is no sound, damaged, too short or too long.
        MimoEdgeError: a part does not fit.
    """
    task = Transcribe(
        audio=checked_file(file, limits, cancel=cancel),
        language=hinted_language(language, model.manifest),
        overrides=overrides,
    )
    with ExitStack() as opened:
        try:
            recording = opened.enter_context(
                model.recording(task.audio, longest_s=limits.upload_seconds, may_be_silent=True)
            )
        except MimoEdgeError as error:
            raise api_error(error, "file") from error
        parts: list[Segment] = []
        # One part at a time: other callers are served beside it.
        for item in write_down(model, task, recording, voices=True, cancel=cancel):
            if isinstance(item, Segment):
                parts.append(item)
            yield item
        yield Transcript(duration_s=recording.seconds, parts=parts)
