"""Questions that are only spoken: Big Bench Audio, and the multiple choice of VoiceBench.

The public MiMo-Audio-Eval has answers of Big Bench Audio judged by a model over the network; here
what is said must be the expected word or number. VoiceBench guesses a letter where an answer has
none; here such an answer is wrong, and counted as unclear.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ...errors import BadInputError
from ...prompt.prompts import Exchange, Reply
from ...tasks import PreparedTask, converse
from ..items import Asking, Benchmark, Item, Said, Sound, Verdict
from ..parsing import LETTERS, closed_answer, letter_in
from ..tables import StoredSound, need_file, need_folder, read_rows

__all__ = ["BENCHMARKS"]

_BIG_BENCH_FILE = "metadata.jsonl"


def _load_big_bench(data: Path, shots: int) -> list[Item]:
    _no_examples(shots, "Big Bench Audio")
    folder = need_folder(data, "big_bench_audio", holds=_BIG_BENCH_FILE)
    rows = read_rows(folder / _BIG_BENCH_FILE, ("category", "official_answer", "file_name"))
    return [
        Item(
            id=str(row.get("id", number)),
            subject=str(row["category"]),
            question=Said(
                text=str(row.get("transcript", "")),
                sound=need_file(folder / str(row["file_name"]), f"row {number + 1}"),
            ),
            answer=str(row["official_answer"]).strip().lower(),
        )
        for number, row in enumerate(rows)
    ]


def _load_voicebench(data: Path, shots: int, *, part: str) -> list[Item]:
    _no_examples(shots, "VoiceBench")
    outer = need_folder(data, "voicebench", holds=f"{part}/*")
    folder = outer / part
    tables = sorted([*folder.glob("*.parquet"), *folder.glob("*.jsonl")])
    if not tables:
        raise BadInputError(
            f"{folder} holds no table; expected are .parquet (as published) or .jsonl with the "
            "columns audio, prompt, reference."
        )
    items = []
    for table in tables:
        subject = table.stem.partition("-")[0]  # `law-00000-of-00001.parquet`
        for number, row in enumerate(read_rows(table, ("audio", "prompt", "reference"))):
            reference = str(row["reference"]).strip().upper()
            if reference not in LETTERS or len(reference) != 1:
                raise BadInputError(
                    f"{table}: the reference of row {number + 1} is {row['reference']!r}; expected "
                    f"is one of {', '.join(LETTERS)}."
                )
            audio = row["audio"]
            sound: Sound = (
                audio
                if isinstance(audio, StoredSound)
                else need_file(folder / str(audio), f"row {number + 1} of {table}")
            )
            items.append(
                Item(
                    id=f"{table.stem}/{number}",
                    subject=subject,
                    question=Said(text=str(row["prompt"]), sound=sound),
                    answer=reference,
                )
            )
    return items


def _no_examples(shots: int, name: str) -> None:
    if shots:
        raise BadInputError(
            f"{shots} examples are wanted, and {name} is asked without any; ask for 0."
        )


def _ask(item: Item, asking: Asking, *, speaks: bool) -> PreparedTask:
    assert item.question.sound is not None
    reply: Reply = "speech" if speaks else "thinking" if asking.thinking else "text"
    heard = Exchange(request=asking.listen(item.question.sound))
    voice = asking.listen(asking.voice) if speaks and asking.voice is not None else None
    return converse([heard], reply, voice=voice, overrides=asking.overrides)


def _judge_closed(item: Item, text: str) -> Verdict:
    chosen = closed_answer(text, item.answer)
    return Verdict(correct=chosen == item.answer, chosen=chosen)


def _judge_letter(item: Item, text: str) -> Verdict:
    chosen = letter_in(text)
    return Verdict(correct=chosen == item.answer, chosen=chosen)


BENCHMARKS = (
    *(
        Benchmark(
            name=f"bigbench-{modalities}",
            measure="accuracy",
            speaks=modalities == "s2s",
            load=_load_big_bench,
            ask=partial(_ask, speaks=modalities == "s2s"),
            judge=_judge_closed,
            can_think=modalities == "s2t",
        )
        for modalities in ("s2s", "s2t")
    ),
    *(
        Benchmark(
            name=f"voicebench-{part}",
            measure="accuracy",
            speaks=False,
            load=partial(_load_voicebench, part=part),
            ask=partial(_ask, speaks=False),
            judge=_judge_letter,
            can_think=True,
            candidates=lambda _: [(letter, letter) for letter in LETTERS],
        )
        for part in ("mmsu", "openbookqa")
    ),
)
