"""The texts of the golden prompts: what each name stands for, as the public methods say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mimo_edge.prompt.positions import InterleavedPiece, Piece
from mimo_edge.prompt.prompts import Exchange, conversation, few_shot, speak, transcribe, understand

__all__ = ["PROMPTS", "Listen"]

Listen = Callable[[str], NDArray[np.int64]]
"""Clip → its patches."""

_SYSTEM = "You are a kind guide."
_ANSWER = "I can not see the weather, tell me your city first."


def _turn(
    request: NDArray[np.int64] | str, answer: str | InterleavedPiece | None = None
) -> Exchange:
    return Exchange(request=request, answer=answer)


def _multi(hear: Listen) -> list[Piece]:
    spoken = InterleavedPiece(_ANSWER, hear("voice"))
    turns = [_turn(hear("question"), spoken), _turn(hear("short"))]
    return conversation(turns, "speech", system=_SYSTEM, voice=hear("voice"))


def _few_shot(hear: Listen) -> list[Piece]:
    examples = [
        (hear("question"), hear("voice"), "What is the weather like?"),
        (hear("short"), hear("short"), "Beijing."),
    ]
    instruction = "Convert the timbre of the input speech to target timbre."
    return few_shot(instruction, examples, hear("short"))


PROMPTS: Mapping[str, Callable[[Listen], Sequence[Piece]]] = {
    "asr": lambda hear: transcribe(hear("question")),
    "tts_en": lambda hear: speak("The weather is nice today."),
    "tts_zh": lambda hear: speak("今天天气真好"),
    "tts_upper": lambda hear: speak("HELLO"),
    "tts_instruct": lambda hear: speak("今天天气真好", style="用小孩子的声音开心的说"),
    "tts_natural": lambda hear: speak(
        "用气喘吁吁的年轻男性声音说：我跑不动了，你等等我！", style_in_text=True
    ),
    "tts_clone_instruct": lambda hear: speak("今天天气真好", style="开心", voice=hear("voice")),
    "tts_clone_natural": lambda hear: speak(
        "用她的声音说：你好", style_in_text=True, voice=hear("voice")
    ),
    "understand": lambda hear: understand(hear("question"), "Summarize the audio.", thinking=False),
    "understand_think": lambda hear: understand(
        hear("question"), "Summarize the audio.", thinking=True
    ),
    "dialogue": lambda hear: conversation([_turn(hear("question"))], "speech"),
    "dialogue_voice_system": lambda hear: conversation(
        [_turn(hear("question"))], "speech", system=_SYSTEM, voice=hear("voice")
    ),
    "dialogue_multi": _multi,
    "s2t": lambda hear: conversation([_turn(hear("question"))], "text"),
    "s2t_multi_think": lambda hear: conversation(
        [_turn(hear("question"), "Which city?"), _turn(hear("short"))], "thinking"
    ),
    "text": lambda hear: conversation([_turn("Hello there.")], "text"),
    "text_multi_think": lambda hear: conversation(
        [_turn("Any places to visit?", "Which city?"), _turn("Beijing 北京")], "thinking"
    ),
    "icl_s2s": _few_shot,
}
