"""Which settings have an effect, which are shown unset, which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from .scripted import Sides

AGENTS = {
    "type": "realtime",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "instructions": "Be helpful.",
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    "tool_choice": "auto",
    "tracing": "auto",
    "prompt": None,
    "truncation": "disabled",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "noise_reduction": {"type": "near_field"},
            "transcription": {"model": "gpt-4o-mini-transcribe", "language": "en"},
            "turn_detection": {"type": "semantic_vad", "eagerness": "medium"},
        },
        "output": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "voice": "marin",
            "speed": 1.0,
        },
    },
}
"""What the clients of OpenAI, LiveKit and others send, together."""


def test_what_clients_send_is_accepted_and_what_is_not_in_effect_is_shown_unset() -> None:
    sides = Sides()
    shown = sides.configure(**AGENTS)
    assert shown["model"] == "scripted"
    assert shown["instructions"] == "Be helpful."
    assert (shown["tools"], shown["tracing"], shown["prompt"]) == ([], None, None)
    audio = shown["audio"]
    assert audio["input"]["noise_reduction"] is None
    assert audio["input"]["transcription"] == {"model": "scripted", "language": "en"}
    assert audio["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "medium",
        "create_response": True,
        "interrupt_response": True,
    }
    assert audio["output"]["voice"] == "default"


def test_only_what_is_given_changes() -> None:
    sides = Sides()
    sides.configure(**AGENTS)
    shown = sides.configure(audio={"output": {"voice": {"id": "my voice"}}})
    assert shown["instructions"] == "Be helpful."
    assert shown["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
    assert shown["audio"]["output"]["voice"] == "voice_1"
    shown = sides.configure(
        instructions="", audio={"input": {"transcription": None, "turn_detection": None}}
    )
    assert shown["instructions"] == ""
    assert shown["audio"]["input"]["transcription"] is None
    assert shown["audio"]["input"]["turn_detection"] is None


def test_parts_of_the_turn_detection_change_alone() -> None:
    sides = Sides()
    sides.detect(silence_duration_ms=900)
    sides.detect(threshold=0.7)
    detection = sides.last("session.updated")["session"]["audio"]["input"]["turn_detection"]
    assert (detection["silence_duration_ms"], detection["threshold"]) == (900, 0.7)


def audio_in(**fields: Any) -> dict[str, Any]:
    return {"audio": {"input": fields}}


def audio_out(**fields: Any) -> dict[str, Any]:
    return {"audio": {"output": fields}}


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        (audio_in(format={"type": "audio/pcmu"}), "input.format", "unsupported_parameter"),
        (audio_out(format={"type": "audio/pcma"}), "output.format", "unsupported_parameter"),
        (audio_in(format={"type": "audio/pcm", "rate": 96_000}), "format.rate", "invalid_value"),
        (audio_out(speed=1.3), "output.speed", "unsupported_parameter"),
        (
            audio_in(transcription={"model": "gpt-4o-transcribe-diarize"}),
            "transcription.model",
            "unsupported_parameter",
        ),
        (audio_in(turn_detection={"type": "psychic"}), "turn_detection.type", "invalid_value"),
        (
            audio_in(turn_detection={"type": "server_vad", "threshold": 2}),
            "threshold",
            "invalid_value",
        ),
        (
            {"include": ["item.input_audio_transcription.logprobs"]},
            "session.include",
            "unsupported_parameter",
        ),
        ({"type": "transcription"}, "session.type", "unsupported_parameter"),
        ({"voice": "alloy"}, "session.voice", "unsupported_parameter"),
        ({"modalities": ["text"]}, "session.modalities", "unsupported_parameter"),
        ({"output_modalities": ["smell"]}, "output_modalities", "invalid_value"),
        ({"instructions": "x" * 1001}, "instructions", "string_above_max_length"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"audio": "loud"}, "session.audio", "invalid_value"),
    ],
)
def test_what_would_mislead_or_is_wrong_is_refused_by_name(
    given: dict[str, Any], param: str, code: str
) -> None:
    sides = Sides()
    error = sides.refused("session.update", session={"type": "realtime", **given})
    assert error.code == code and error.param is not None
    assert param in error.param and error.message.startswith(error.param.split(".")[0])
    assert "session.updated" not in sides.kinds
    sides.configure(instructions="It still lives.")


def test_a_model_that_only_listens_writes() -> None:
    sides = Sides(can_speak=False)
    assert sides.configure()["output_modalities"] == ["text"]
    error = sides.refused("session.update", session={"output_modalities": ["audio"]})
    assert error.code == "cannot_speak"


def test_a_strict_server_refuses_what_has_no_effect() -> None:
    sides = Sides(strict=True)
    error = sides.refused("session.update", session={"tracing": "auto"})
    assert (error.code, error.param) == ("unknown_parameter", "session.tracing")
    error = sides.refused("session.update", session=audio_in(noise_reduction={"type": "x"}))
    assert error.param == "session.audio.input.noise_reduction"
