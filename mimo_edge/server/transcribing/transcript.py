"""What is said in a recording that a caller sent, part by part as it becomes known."""

from __future__ import annotations

import threading
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from ...hearing import Hearing
from ...model import MimoAudio
from ...tasks import Overrides, Transcribe
from ...trained_tasks import hinted_language
from ...transcription import Segment, Transcript, write_down

__all__ = ["transcribe"]


def transcribe(
    model: MimoAudio,
    samples: NDArray[np.float32],
    *,
    language: str | None,
    overrides: Overrides,
    cancel: threading.Event,
) -> Generator[str | Segment | Transcript, None, None]:
    """Pieces of the text, each part when it is done, and at last all of it.

    `samples` is a recording, mono float32 [n] at the model's rate. The pieces joined are the text.
    A silent recording has a transcript without a word.

    Raises:
        MimoEdgeError: the recording is too short, or does not fit.
    """
    parts: list[Segment] = []
    if not Hearing.is_silent(samples):
        hinted = hinted_language(language, model.manifest)
        task = Transcribe(audio=samples, language=hinted, overrides=overrides)
        with model.recording(samples) as recording:
            # One part at a time: other callers are served beside it.
            for item in write_down(model, task, recording, voices=True, cancel=cancel):
                if isinstance(item, Segment):
                    parts.append(item)
                yield item
    yield Transcript(duration_s=len(samples) / model.sample_rate, parts=parts)
