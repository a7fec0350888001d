"""What there is: the answer to `describe`, from which Home Assistant makes its entities."""

from __future__ import annotations

from collections.abc import Sequence
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
from ...errors import CannotSpeakError, NotTrainedError
from ...trained_tasks import check_trained
from ..voices.library import DEFAULT, Voice

__all__ = ["describe", "program_version"]

_US = Attribution(name="mimo_edge", url="https://pypi.org/project/mimo-edge/")
_XIAOMI = Attribution(name="Xiaomi MiMo", url="https://github.com/XiaomiMiMo/MiMo-Audio")


def describe(manifest: Manifest, voices: Sequence[Voice]) -> Info:
    """Speech to text, text to speech if the bundle can speak, and answers if it gives any.

    `voices` are those of the library.
    """
    return Info(
        asr=[
            AsrProgram(
                **_program("Speech to text by MiMo-Audio"),
                models=[AsrModel(**_model(manifest), languages=_languages(manifest))],
                supports_transcript_streaming=True,
            )
        ],
        tts=[_speech(manifest, voices)] if _speaks(manifest) else [],
        handle=[_answers(manifest)] if manifest.prompts == "mimo-audio" else [],
    )


def _answers(manifest: Manifest) -> HandleProgram:
    return HandleProgram(
        **_program("Answers by MiMo-Audio"),
        models=[HandleModel(**_model(manifest), languages=_languages(manifest))],
        supports_handled_streaming=True,
    )


def program_version() -> str | None:
    """The version of this program; None if it runs from a folder that is not installed."""
    try:
        return metadata.version("mimo-edge")
    except metadata.PackageNotFoundError:
        return None


def _speech(manifest: Manifest, voices: Sequence[Voice]) -> TtsProgram:
    # Home Assistant asks only for voices that are listed, and lists them by language: a voice
    # without all of the model's languages could not be chosen for some of them.
    own = TtsVoice(
        **_artifact(DEFAULT, f"The voice of {manifest.name}", _maker(manifest)),
        version=None,
        languages=_languages(manifest),
    )
    recorded = [
        TtsVoice(
            **_artifact(voice.name, voice.name, _US),
            version=None,
            languages=_languages(manifest),
        )
        for voice in voices
    ]
    return TtsProgram(
        **_program("Text to speech by MiMo-Audio"),
        voices=[own, *recorded] if _speaks_in_voices(manifest) else [own],
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


def _speaks_in_voices(manifest: Manifest) -> bool:
    try:
        check_trained(manifest, "speak in a voice")
    except NotTrainedError:
        return False
    return True


def _speaks(manifest: Manifest) -> bool:
    try:
        manifest.check_speaks()
    except CannotSpeakError:
        return False
    return True
