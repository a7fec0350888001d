"""SpeechMMLU: questions of MMLU with four choices, spoken and written, in all four modalities.

The folder, as published: tables (Parquet) with a row for each question, `few_shot_prompts.json`,
and `audio/`. A table of this project's own may have a column `choices` with the four answers; then
the question is asked without them, and the answer is compared with them.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import BadInputError
from ...prompt.positions import AudioPiece, InterleavedPiece, Piece, TextPiece
from ...prompt.prompts import Exchange, Reply
from ...prompt.text_tokenizer import Template
from ...tasks import PreparedTask, converse
from ..forms import LONGEST_SPEECH, LONGEST_TEXT, continuation
from ..items import Asking, Benchmark, Example, Item, Said, Sound, Verdict
from ..parsing import LETTERS, choice_in, letter_in, option_letter
from ..tables import StoredSound, need_file, need_folder, read_json, read_rows

__all__ = ["BENCHMARKS"]

_COLUMNS = ("id", "subject", "question_text", "question_audio", "voice_id", "answer")
_PROMPTS = "few_shot_prompts.json"
_TABLES = ("*.parquet", "*.jsonl", "*.csv")
_SHOTS = 5
_OPTION_LETTER = re.compile(r"(option\s*)[A-D]\b", re.IGNORECASE)


def _load(data: Path, shots: int, *, speech_in: bool, speech_out: bool) -> list[Item]:
    folder = need_folder(data, "SpeechMMLU", holds=_PROMPTS if shots else "**/*")
    tables = [
        path
        for pattern in _TABLES
        for path in sorted(folder.rglob(pattern))
        if "audio" not in path.relative_to(folder).parts
    ]
    if not tables:
        raise BadInputError(
            f"{folder} holds no table of SpeechMMLU; expected are .parquet (as published), .jsonl "
            f"or .csv with the columns {', '.join(_COLUMNS)}."
        )
    prompts = read_json(folder / _PROMPTS) if shots else {}
    items = []
    for table in tables:
        for row in read_rows(table, _COLUMNS):
            item = _item(folder, table, row)
            if shots:
                item = _with_examples(item, folder, prompts, str(row["voice_id"]), shots)
            items.append(item)
    for item in items:
        if speech_in:
            for sound in item.sounds(spoken_answers=speech_out):
                if isinstance(sound, Path):
                    need_file(sound, f"the question {item.id}")
    return items


def _item(folder: Path, table: Path, row: dict[str, Any]) -> Item:
    choices = tuple(map(str, row.get("choices") or ()))
    known = len(choices) or len(LETTERS)
    try:
        right = int(row["answer"])
    except ValueError as error:
        raise BadInputError(
            f"{table}: the answer of {row['id']} is {row['answer']!r}, expected is its number, 0 "
            f"to {known - 1}."
        ) from error
    if not 0 <= right < known:
        raise BadInputError(
            f"{table}: the answer of {row['id']} is {right}; expected is 0 to {known - 1}."
        )
    return Item(
        id=str(row["id"]),
        subject=str(row["subject"]),
        question=Said(text=row["question_text"], sound=_sound(folder, row["question_audio"])),
        answer=choices[right] if choices else LETTERS[right],
        choices=choices,
    )


def _sound(folder: Path, name: str | StoredSound) -> Sound:
    """A recording: in the table itself, or a file; archives are unpacked at the root, or into
    `audio/`."""
    if isinstance(name, StoredSound):
        return name
    inner = folder / "audio" / name
    return inner if inner.is_file() else folder / name


def _with_examples(item: Item, folder: Path, prompts: Any, voice: str, shots: int) -> Item:
    """The item behind examples of its subject, said by the voice that asks the question."""
    subject = item.subject
    of_subject = prompts.get(subject) if isinstance(prompts, dict) else None
    if not isinstance(of_subject, dict) or not {"beginning", "examples"} <= of_subject.keys():
        raise BadInputError(
            f"{folder / _PROMPTS} has no examples of {subject!r}; expected is an object "
            'with "beginning" and "examples" for every subject.'
        )
    examples = of_subject["examples"]
    if len(examples) < shots:
        raise BadInputError(
            f"{folder / _PROMPTS} has {len(examples)} examples of {subject!r}, and {shots} are "
            "wanted; ask for fewer."
        )

    def said(text: str, name: str) -> Said:
        path = f"audio/{subject}/prompts/{subject}_{voice}/{subject}_{name}.mp3"
        return Said(text=text, sound=_sound(folder, path))

    return Item(
        **{
            **vars(item),
            "beginning": said(of_subject["beginning"], "beginning"),
            "examples": tuple(
                Example(
                    question=said(example["question"], f"{number}_question_and_choices"),
                    answer=said(example["answer"], f"{number}_answer"),
                )
                for number, example in enumerate(examples[:shots])
            ),
        }
    )


def _ask(item: Item, asking: Asking, *, speech_in: bool, speech_out: bool) -> PreparedTask:
    if asking.base or item.examples:
        return _few_shot(item, asking, speech_in=speech_in, speech_out=speech_out)
    sound = item.question.sound
    request = asking.listen(sound) if speech_in and sound is not None else item.question.text
    reply: Reply = "speech" if speech_out else "text"
    voice = asking.listen(asking.voice) if speech_out and asking.voice is not None else None
    return converse([Exchange(request=request)], reply, voice=voice, overrides=asking.overrides)


def _few_shot(item: Item, asking: Asking, *, speech_in: bool, speech_out: bool) -> PreparedTask:
    """The base model's prompt: beginning, examples, question, one behind the other."""

    def asked(said: Said) -> Piece:
        if speech_in and said.sound is not None:
            return AudioPiece(asking.listen(said.sound))
        return TextPiece((said.text,))

    def answered(said: Said) -> Piece:
        if speech_out and said.sound is not None:
            return InterleavedPiece(said.text, asking.listen(said.sound))
        return TextPiece((said.text,))

    pieces: list[Piece] = [asked(item.beginning)] if item.beginning else []
    for example in item.examples:
        pieces += [asked(example.question), answered(example.answer)]
    pieces.append(asked(item.question))
    kinds = {speech_in, speech_out} if item.examples else {speech_in}
    if kinds != {False}:  # what is all text has no mark
        pieces.insert(0, TextPiece(("<Spe>:" if kinds == {True} else "[Int]:",)))
    if speech_out:
        pieces.append(TextPiece((Template("<|sostm|>"),)))
    return continuation(
        pieces,
        stops=("<|endoftext|>", "<|eostm|>") if speech_out else ("<|endoftext|>",),
        longest=LONGEST_SPEECH if speech_out else LONGEST_TEXT,
        speaks=speech_out,
        overrides=asking.overrides,
    )


def _judge(item: Item, text: str) -> Verdict:
    if item.choices:
        chosen = choice_in(text, item.choices)
    else:
        chosen = option_letter(text) or (None if item.examples else letter_in(text))
    return Verdict(correct=chosen == item.answer, chosen=chosen)


def _candidates(item: Item) -> list[tuple[str, str]]:
    """The choices, or what the examples say of an option, with each of the letters."""
    if item.choices:
        return [(choice, choice) for choice in item.choices]
    said = item.examples[0].answer.text if item.examples else "Option A"
    return [(_OPTION_LETTER.sub(rf"\g<1>{letter}", said, count=1), letter) for letter in LETTERS]


def _benchmark(modalities: str) -> Benchmark:
    hears, speaks = modalities[0] == "s", modalities[-1] == "s"
    return Benchmark(
        name=f"speechmmlu-{modalities}",
        measure="accuracy",
        speaks=speaks,
        load=partial(_load, speech_in=hears, speech_out=speaks),
        ask=partial(_ask, speech_in=hears, speech_out=speaks),
        judge=_judge,
        default_shots=_SHOTS,
        candidates=None if speaks else _candidates,
    )


BENCHMARKS = tuple(map(_benchmark, ("s2s", "s2t", "t2s", "t2t")))
