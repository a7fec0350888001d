"""What the public toolkit passes, as prompts of this project."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...audio import AudioInput
from ...errors import BadInputError
from ...prompt.positions import AudioPiece, InterleavedPiece, Piece, TextPiece
from ...prompt.prompts import Exchange, few_shot

__all__ = [
    "SaidAs",
    "as_audio",
    "conversation_of",
    "few_shot_pieces",
    "imitation_pieces",
    "instruction_pieces",
    "question_pieces",
]

Listen = Callable[[Any], NDArray[np.int64]]
"""A recording as the toolkit passes it → patches [patches, group, channels]."""
Message = Mapping[str, Any]
"""One turn of a conversation: `role` and `content`."""
SaidAs = tuple[Mapping[str, Any], str, str]
"""(what is said: `text` and `speech`, which of the two, "input" or "output")."""

_SOUND = "<sound>"


def as_audio(value: Any) -> AudioInput:
    """A recording: the name of a file, or samples at 24 kHz as array or tensor [n] or [1, n]."""
    if isinstance(value, np.ndarray) or hasattr(value, "detach"):
        samples = value.detach().cpu() if hasattr(value, "detach") else value
        return np.asarray(samples, dtype=np.float32).reshape(-1)
    return str(value)


def conversation_of(
    messages: Sequence[Message],
    texts: Sequence[Message] | None,
    listen: Listen | None,
    *,
    spoken: bool,
) -> list[Exchange]:
    """The turns of a conversation, of which the last one waits for an answer.

    `listen` reads what users say; None: they write. What the assistant said is, with `spoken`, its
    recording, the text of which is in `texts` at the same place or, as the release notes it, in
    `content["text"]` beside `content["audio"]`.

    Raises:
        MimoEdgeError: it is no conversation of a user with an assistant by turns.
    """
    turns: list[Exchange] = []
    for place, message in enumerate(messages):
        content, user = message["content"], message["role"] == "user"
        if user is not (place % 2 == 0):
            raise BadInputError(
                f"message {place + 1} is of {message['role']!r}; user and assistant take turns, "
                "and the user begins."
            )
        if user:
            turns.append(Exchange(request=listen(content) if listen else str(content)))
            continue
        text = texts[place]["content"] if texts is not None else content
        sound = content
        if isinstance(content, Mapping):
            text, sound = content["text"], content.get("audio")
        said: str | InterleavedPiece = str(text)
        if spoken and listen is not None:
            said = InterleavedPiece(str(text), listen(sound))
        turns[-1] = Exchange(request=turns[-1].request, answer=said)
    if not turns or turns[-1].answer is not None:
        raise BadInputError("the last message is no user's; give one that is to be answered.")
    return turns


def few_shot_pieces(prompts: Sequence[SaidAs], listen: Listen) -> list[Piece]:
    """Questions with answers, and one without: the base model goes on with them."""
    kinds = {kind for _, kind, _ in prompts}
    pieces: list[Piece] = []
    if "speech" in kinds:
        pieces.append(TextPiece(("[Int]:" if "text" in kinds else "<Spe>:",)))
    for said, kind, direction in prompts:
        if kind != "speech":
            pieces.append(TextPiece((str(said["text"]),)))
        elif direction == "input":
            pieces.append(AudioPiece(listen(said["speech"])))
        else:
            pieces.append(InterleavedPiece(str(said["text"]), listen(said["speech"])))
    return pieces


def question_pieces(examples: Sequence[Mapping[str, Any]], listen: Listen) -> list[Piece]:
    """Recordings with a question and an answer, the last one without; for the base model."""
    pieces: list[Piece] = [TextPiece(("[Int]:",))]
    for example in examples[:-1]:
        pieces.append(AudioPiece(listen(example["audio"])))
        if example["question"]:
            pieces.append(TextPiece((f"Question: {example['question']}",)))
            pieces.append(TextPiece((f"Answer: {example['answer']}\n\n",)))
    last = examples[-1]
    pieces.append(AudioPiece(listen(last["audio"])))
    if last["question"] or len(examples) > 1:
        pieces.append(TextPiece((f"Question: {last['question']}",)))
    return [*pieces, TextPiece(("\nAnswer:",))]


def instruction_pieces(instructions: Sequence[Mapping[str, Any]], listen: Listen) -> list[Piece]:
    """A text in which `<sound>` stands for recordings.

    `value` of the only entry holds the text, and behind it the recording, or a list of them.

    Raises:
        MimoEdgeError: there are several entries, or recordings are missing.
    """
    if len(instructions) != 1 or instructions[0].get("from") != "human":
        raise BadInputError(
            f"{len(instructions)} instructions are given, the first one from "
            f"{instructions[0].get('from') if instructions else None!r}; give one, from 'human'."
        )
    value = instructions[0]["value"]
    texts = str(value[0]["value"]).split(_SOUND)
    sounds: Sequence[Any] = []
    if len(texts) > 1 and len(value) > 1:
        sounds = value[1]["value"] if len(texts) > 2 else [value[1]["value"]]
    if len(sounds) != len(texts) - 1:
        raise BadInputError(
            f"the text has {len(texts) - 1} times {_SOUND}, and {len(sounds)} recordings are given."
        )
    pieces: list[Piece] = []
    for place, text in enumerate(texts):
        if text:
            pieces.append(TextPiece((text,)))
        if place < len(sounds):
            pieces.append(AudioPiece(listen(sounds[place])))
    return pieces


def imitation_pieces(
    examples: Sequence[Mapping[str, Any]], sound: Any, instruction: str | None, listen: Listen
) -> list[Piece]:
    """Speech to speech by examples; without an instruction, as the toolkit asks for it."""
    heard = [
        (
            listen(_one_of(example, "audio", "input_audio")),
            listen(_one_of(example, "label", "output_audio")),
            str(_one_of(example, "label_transcription", "output_transcription")),
        )
        for example in examples
    ]
    pieces = few_shot(instruction or "", heard, listen(sound))
    if instruction is None:  # then the toolkit has no line break there
        pieces[0] = TextPiece(("[Int]:",))
    return pieces


def _one_of(example: Mapping[str, Any], *names: str) -> Any:
    """What an example calls by the name of the toolkit, or by that of the release."""
    for name in names:
        if name in example:
            return example[name]
    raise BadInputError(f"an example has none of {', '.join(names)}; it has {', '.join(example)}.")
