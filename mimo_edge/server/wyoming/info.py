"""What there is: the answer to `describe`, from which Home Assistant makes its entities."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from wyoming.info import (
    AsrModel,
    AsrProgram,
    Attribution,
    HandleModel,
    HandleProgram,
    Info,
    TtsProgram,
    TtsVoice,
)

from ...bundle.manifest import Manifest
from ...errors import CannotSpeakError
from ..service import Service

__all__ = ["describe", "program_version"]

_US = Attribution(name="mimo_edge", url="https://pypi.org/project/mimo-edge/")
_XIAOMI = Attribution(name="Xiaomi MiMo", url="https://github.com/XiaomiMiMo/MiMo-Audio")


def describe(service: Service) -> Info:
    """Speech to text, text to speech if the bundle can speak, and answers.

    Raises:
        ApiError: the model is being loaded.
    """
    manifest = service.model.manifest
    return Info(
        asr=[
            AsrProgram(
                **_program("Speech to text by MiMo-Audio"),
                models=[AsrModel(**_model(manifest), languages=_languages(manifest))],
                supports_transcript_streaming=True,
            )
        ],
        tts=[_speech(manifest)] if _speaks(manifest) else [],
        handle=[
            HandleProgram(
                **_program("Answers by MiMo-Audio"),
                models=[HandleModel(**_model(manifest), languages=_languages(manifest))],
                supports_handled_streaming=True,
            )
        ],
    )


def program_version() -> str | None:
    """The version of this program; None if it runs from a folder that is not installed."""
    try:
        return metadata.version("mimo-edge")
    except metadata.PackageNotFoundError:
        return None


def _speech(manifest: Manifest) -> TtsProgram:
    own = TtsVoice(
        **_artifact("default", f"The voice of {manifest.name}", _maker(manifest)),
        version=None,
        languages=_languages(manifest),
    )
    return TtsProgram(
        **_program("Text to speech by MiMo-Audio"),
        voices=[own],
        supports_synthesize_streaming=True,
    )


def _program(description: str) -> dict[str, Any]:
    return {**_artifact("mimo_edge", description, _US), "version": program_version()}


def _model(manifest: Manifest) -> dict[str, Any]:
    artifact = _artifact(manifest.name, f"{manifest.name}, {manifest.recipe}", _maker(manifest))
    return {**artifact, "version": None}


def _artifact(name: str, description: str, maker: Attribution) -> dict[str, Any]:
    return {"name": name, "description": description, "attribution": maker, "installed": True}


def _maker(manifest: Manifest) -> Attribution:
    return _US if _is_demo(manifest) else _XIAOMI


def _languages(manifest: Manifest) -> list[str]:
    """What the checkpoint was trained for."""
    return ["en"] if _is_demo(manifest) else ["en", "zh"]


def _is_demo(manifest: Manifest) -> bool:
    return manifest.name.casefold() == "mimo-audio-demo"


def _speaks(manifest: Manifest) -> bool:
    try:
        manifest.check_speaks()
    except CannotSpeakError:
        return False
    return True
