"""Questions about recordings with choices in text: MMAU (test-mini), MMAR and MMSU."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import BadInputError
from ...prompt.positions import AudioPiece, Piece, TextPiece
from ...tasks import PreparedTask
from ..forms import THINK_BRIEFLY, continuation, question_task
from ..items import Asking, Benchmark, Example, Item, Said, Verdict
from ..parsing import LETTERS, choice_in, first_answer, mmsu_letter
from ..tables import need_file, need_folder, read_rows

__all__ = ["BENCHMARKS"]

_SHOTS = 5
_MMAU_FILE = "mmau-test-mini.json"
_MMAR_FILE = "MMAR-meta.json"
_MMSU_FILE = "question/mmsu.jsonl"
_MMSU_COLUMNS = (
    *("id", "audio_path", "question", "choice_a", "choice_b", "answer_gt", "task_name"),
    "category",
)
_MMSU_INSTRUCTION = (
    "Choose the most suitable answer from options A, B, C, and D to respond the question in next "
    "line, **you should only choose A or B or C or D.** Do not provide any additional explanations "
    "or content."
)
_EXACTLY_ONE = (
    "Do not provide any additional explanations or content. Output must match exactly one of the "
    "listed choices."
)


def _load_mmau(data: Path, shots: int) -> list[Item]:
    folder = need_folder(data, "MMAU", holds=_MMAU_FILE)
    rows = read_rows(folder / _MMAU_FILE, ("audio_id", "question", "choices", "answer", "task"))
    return _with_examples(
        [_item(folder, number, row, "audio_id", "task") for number, row in enumerate(rows)], shots
    )


def _load_mmar(data: Path, shots: int) -> list[Item]:
    folder = need_folder(data, "MMAR", holds=_MMAR_FILE)
    rows = read_rows(
        folder / _MMAR_FILE, ("audio_path", "question", "choices", "answer", "modality")
    )
    return _with_examples(
        [_item(folder, number, row, "audio_path", "modality") for number, row in enumerate(rows)],
        shots,
    )


def _item(folder: Path, number: int, row: dict[str, Any], sound: str, subject: str) -> Item:
    identity = str(row.get("id") or number)
    choices = tuple(map(str, row["choices"]))
    if str(row["answer"]) not in choices:
        raise BadInputError(
            f"{folder}: the answer of {identity} is {row['answer']!r}, which is none of its "
            f"choices ({', '.join(choices)})."
        )
    path = need_file(folder / str(row[sound]).lstrip("./"), f"the question {identity}")
    return Item(
        id=identity,
        subject=str(row[subject]),
        question=Said(text=str(row["question"]), sound=path),
        choices=choices,
        answer=str(row["answer"]),
    )


def _with_examples(items: list[Item], shots: int) -> list[Item]:
    """Each item with other ones as examples, drawn by its id: always the same for one item."""
    if not shots:
        return items
    if shots >= len(items):
        raise BadInputError(
            f"{shots} examples are wanted of {len(items)} items; ask for fewer than there are."
        )
    drawn = []
    for place, item in enumerate(items):
        others = items[:place] + items[place + 1 :]
        chosen = random.Random(item.id).sample(others, shots)
        examples = tuple(
            Example(
                question=replace(one.question, text=_base_question(one)),
                answer=Said(text=one.answer),
            )
            for one in chosen
        )
        drawn.append(replace(item, examples=examples))
    return drawn


def _listed(item: Item) -> str:
    choices = "".join(f"{choice}\n" for choice in item.choices)
    return f"{item.question.text}\n\nChoice: \n{choices}\n"


def _base_question(item: Item) -> str:
    return f"{_listed(item)}Make a choice from the given {len(item.choices)} choices."


def _ask_listed(item: Item, asking: Asking) -> PreparedTask:
    assert item.question.sound is not None
    if asking.base or item.examples:
        return _ask_base(item, asking)
    # The wording, "a choices" included, is that of the public toolkit.
    text = f"{_listed(item)}Choose a choices from the given {len(item.choices)} choices. "
    return question_task(
        [AudioPiece(asking.listen(item.question.sound)), TextPiece((text + _EXACTLY_ONE,))],
        thinking=asking.thinking,
        overrides=asking.overrides,
    )


def _ask_base(item: Item, asking: Asking) -> PreparedTask:
    """The base model's prompt: recordings with questions and answers, then one without answer."""
    pieces: list[Piece] = [TextPiece(("[Int]:",))]
    for example in item.examples:
        assert example.question.sound is not None
        pieces += [
            AudioPiece(asking.listen(example.question.sound)),
            TextPiece((f"Question: {example.question.text}",)),
            TextPiece((f"Answer: {example.answer.text}\n\n",)),
        ]
    assert item.question.sound is not None
    pieces += [
        AudioPiece(asking.listen(item.question.sound)),
        TextPiece((f"Question: {_base_question(item)}",)),
        TextPiece(("\nAnswer:",)),
    ]
    return continuation(
        pieces,
        stops=("<|endoftext|>", "<|sosp|>"),
        speaks=False,
        overrides=asking.overrides,
    )


def _judge_listed(item: Item, text: str) -> Verdict:
    chosen = choice_in(first_answer(text), item.choices)
    return Verdict(correct=chosen == item.answer, chosen=chosen)


def _load_mmsu(data: Path, shots: int) -> list[Item]:
    if shots:
        raise BadInputError(
            f"{shots} examples are wanted, and MMSU is asked without any; ask for 0."
        )
    folder = need_folder(data, "MMSU_Bench/MMSU", "MMSU", holds=_MMSU_FILE)
    path = folder / _MMSU_FILE
    items = []
    for row in read_rows(path, _MMSU_COLUMNS):
        choices = tuple(str(row.get(f"choice_{letter}")) for letter in LETTERS.lower())
        sound = need_file(folder / str(row["audio_path"]), f"the question {row['id']}")
        items.append(
            Item(
                id=str(row["id"]),
                subject=str(row["category"]),
                question=Said(text=str(row["question"]), sound=sound),
                choices=choices,
                answer=str(row["answer_gt"]),
                more={"task": str(row["task_name"])},
            )
        )
    return items


def _ask_mmsu(item: Item, asking: Asking) -> PreparedTask:
    assert item.question.sound is not None
    listed = "\n".join(
        f"{letter}. {choice}" for letter, choice in zip(LETTERS, item.choices, strict=True)
    )
    text = f"{_MMSU_INSTRUCTION}\n\nQuestion: {item.question.text}\n\n{listed}"
    return question_task(
        [
            AudioPiece(asking.listen(item.question.sound)),
            # One piece with the question here, one of its own in the others: as in the toolkit.
            TextPiece((text + (THINK_BRIEFLY if asking.thinking else ""),)),
        ],
        thinking=asking.thinking,
        overrides=asking.overrides,
        adds_sentence=False,
    )


def _judge_mmsu(item: Item, text: str) -> Verdict:
    letter = mmsu_letter(text)
    chosen = item.choices[LETTERS.index(letter)] if letter else None
    return Verdict(correct=chosen == item.answer, chosen=chosen)


def _choices(item: Item) -> list[tuple[str, str]]:
    # Behind "Answer:" a word begins with a blank.
    blank = " " if item.examples else ""
    return [(f"{blank}{choice}", choice) for choice in item.choices]


def _letters(item: Item) -> list[tuple[str, str]]:
    return list(zip(LETTERS, item.choices, strict=True))


def _about_recordings(
    name: str, load: Callable[[Path, int], list[Item]], shots: int = 0
) -> Benchmark:
    return Benchmark(
        name=name,
        measure="accuracy",
        speaks=False,
        load=load,
        ask=_ask_listed,
        judge=_judge_listed,
        default_shots=shots,
        can_think=True,
        candidates=_choices,
    )


BENCHMARKS: Sequence[Benchmark] = (
    _about_recordings("mmau", _load_mmau, _SHOTS),
    _about_recordings("mmar", _load_mmar),
    Benchmark(
        name="mmsu",
        measure="accuracy",
        speaks=False,
        load=_load_mmsu,
        ask=_ask_mmsu,
        judge=_judge_mmsu,
        can_think=True,
        candidates=_letters,
    ),
)
