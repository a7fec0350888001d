"""mimo_edge: Xiaomi's MiMo-Audio, which listens and speaks, on a laptop without CUDA.

from mimo_edge import MimoAudio

with MimoAudio.load() as model:  # the demo model, or the folder of a bundle
    print(model.transcribe("question.wav").text)
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answer import Answer
    from .audio import AudioInput
    from .errors import (
        BadBundleError,
        BadInputError,
        CannotSpeakError,
        DeviceError,
        DoesNotFitError,
        MimoEdgeError,
        MissingPackageError,
        NoMemoryError,
        NotSoundError,
        NotTrainedError,
        OutputError,
        ServerError,
        WrongUseError,
    )
    from .generation.events import AudioChunk, TextDelta, TurnEnd
    from .generation.sound import SoundOptions
    from .model import MimoAudio
    from .session import Session
    from .stages.machine.runtime_options import RuntimeOptions
    from .tasks import Ask, Continue, FewShot, Overrides, Speak, Transcribe, Turn
    from .transcription import Transcript, transcript_of

# onnxruntime's builds for Linux, macOS and Windows send what they run to Microsoft unless this is
# set before they are imported. Besides, the thread that does it makes forked processes hang.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "Answer",
    "Ask",
    "AudioChunk",
    "AudioInput",
    "BadBundleError",
    "BadInputError",
    "CannotSpeakError",
    "Continue",
    "DeviceError",
    "DoesNotFitError",
    "FewShot",
    "MimoAudio",
    "MimoEdgeError",
    "MissingPackageError",
    "NoMemoryError",
    "NotSoundError",
    "NotTrainedError",
    "OutputError",
    "Overrides",
    "RuntimeOptions",
    "ServerError",
    "Session",
    "SoundOptions",
    "Speak",
    "TextDelta",
    "Transcribe",
    "Transcript",
    "Turn",
    "TurnEnd",
    "WrongUseError",
    "transcript_of",
]

_HOMES = {
    "Turn": "tasks",
    "Transcribe": "tasks",
    "Transcript": "transcription",
    "transcript_of": "transcription",
    "Speak": "tasks",
    "FewShot": "tasks",
    "Continue": "tasks",
    "Ask": "tasks",
    "Answer": "answer",
    "AudioChunk": "generation.events",
    "AudioInput": "audio",
    "BadBundleError": "errors",
    "BadInputError": "errors",
    "CannotSpeakError": "errors",
    "DeviceError": "errors",
    "DoesNotFitError": "errors",
    "MimoAudio": "model",
    "MimoEdgeError": "errors",
    "MissingPackageError": "errors",
    "NoMemoryError": "errors",
    "NotSoundError": "errors",
    "NotTrainedError": "errors",
    "OutputError": "errors",
    "Overrides": "tasks",
    "RuntimeOptions": "stages.machine.runtime_options",
    "ServerError": "errors",
    "Session": "session",
    "SoundOptions": "generation.sound",
    "TextDelta": "generation.events",
    "TurnEnd": "generation.events",
    "WrongUseError": "errors",
}


def __getattr__(name: str) -> Any:
    # Late, because `convert` imports only the manifest from here and not llama.cpp.
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
