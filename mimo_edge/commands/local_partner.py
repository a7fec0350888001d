"""The model of this machine as the partner of a live conversation."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..dialogue.model_events import ModelEvent
from ..dialogue.model_worker import ModelWorker
from ..model import MimoAudio
from ..session import Session
from ..tasks import Transcribe
from .live import Partner

__all__ = ["local_partner"]


def local_partner(
    model: MimoAudio, session: Session, *, speaks: bool, lookahead: int, transcribe: bool
) -> Partner:
    """The session's side of a conversation; it stays open at the end.

    Sound waits for `lookahead` mel frames, see `SoundOptions`. With `transcribe` questions are
    written down, each after it was answered, beside the next one.
    """

    def write_down(samples: NDArray[np.float32], cancel: threading.Event) -> str | None:
        answer = model.run(Transcribe(audio=samples), cancel=cancel)
        return None if cancel.is_set() else answer.text

    def worker(post: Callable[[ModelEvent], None]) -> ModelWorker:
        return ModelWorker(
            session,
            model.listener(),
            post,
            lookahead=lookahead,
            write_down=write_down if transcribe else None,
        )

    return Partner(
        name=f"{model.manifest.name}, {model.manifest.recipe}",
        rate=model.sample_rate,
        speaks=speaks,
        worker=worker,
        first_turn=len(session.turns) + 1,
    )
