"""The layouts of the published data, made of the small set's recordings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import soundfile

from mimo_edge.evaluation.benchmarks import benchmark
from mimo_edge.evaluation.items import Item
from tests.evaluation.conftest import DATA

LETTERS = "ABCD"
CHOICE_COLUMNS = ("choice_a", "choice_b", "choice_c", "choice_d")


def questions(count: int) -> list[Item]:
    """Some questions of the small set, sums and opposites by turns."""
    items = benchmark("speechmmlu-s2t").load(DATA, 0)
    half = len(items) // 2
    return [item for pair in zip(items[:half], items[half:], strict=True) for item in pair][:count]


def place(item: Item, path: Path) -> Path:
    """Put the recording of a question at a path: as it is, or as WAV or FLAC."""
    assert isinstance(item.question.sound, Path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp3":
        shutil.copyfile(item.question.sound, path)
    else:
        samples, rate = soundfile.read(item.question.sound)
        soundfile.write(path, samples, rate)
    return path


def mmau(data: Path, items: list[Item]) -> None:
    rows = []
    for item in items:
        place(item, data / "MMAU" / "test-mini-audios" / f"{item.id}.wav")
        rows.append(
            {
                "id": item.id,
                "audio_id": f"./test-mini-audios/{item.id}.wav",
                "question": item.question.text,
                "choices": item.choices,
                "answer": item.answer,
                "task": "speech",
            }
        )
    (data / "MMAU" / "mmau-test-mini.json").write_text(json.dumps(rows))


def mmar(data: Path, items: list[Item]) -> None:
    rows = []
    for item in items:
        place(item, data / "MMAR" / "audio" / f"{item.id}.wav")
        rows.append(
            {
                "id": item.id,
                "audio_path": f"./audio/{item.id}.wav",
                "question": item.question.text,
                "choices": item.choices,
                "answer": item.answer,
                "modality": "speech",
                "category": "Semantic Layer",
            }
        )
    (data / "MMAR" / "MMAR-meta.json").write_text(json.dumps(rows))


def mmsu(data: Path, items: list[Item]) -> None:
    folder = data / "MMSU_Bench" / "MMSU"
    lines = []
    for item in items:
        place(item, folder / "audio" / f"{item.id}.wav")
        row = {
            "id": item.id,
            "task_name": item.subject,
            "audio_path": f"audio/{item.id}.wav",
            "question": item.question.text,
            **dict(zip(CHOICE_COLUMNS, item.choices, strict=True)),
            "answer_gt": item.answer,
            "category": "Reasoning",
        }
        lines.append(json.dumps(row) + "\n")
    (folder / "question").mkdir()
    (folder / "question" / "mmsu.jsonl").write_text("".join(lines))


def big_bench(data: Path, items: list[Item]) -> None:
    """Sums: what is expected is a number."""
    folder = data / "big_bench_audio"
    rows = []
    for number, item in enumerate(each for each in items if each.subject == "sums"):
        place(item, folder / "data" / f"question_{number}.mp3")
        *_, result = item.answer.split()
        rows.append(
            {
                "id": number,
                "category": "object_counting",
                "official_answer": str(NUMBERS.index(result)),
                "file_name": f"data/question_{number}.mp3",
            }
        )
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
)


def librispeech(data: Path, items: list[Item]) -> None:
    """As the public toolkit lays it out."""
    folder = data / "librispeech" / "test_clean"
    lines = []
    for item in items:
        place(item, folder / "wav" / f"{item.id}.wav")
        lines.append(f"{item.id}\t{item.question.text.upper()}\n")
    (folder / "manifest.txt").write_text("".join(lines))


def original_librispeech(data: Path, items: list[Item]) -> None:
    """As LibriSpeech itself is published."""
    folder = data / "librispeech" / "test-other" / "61" / "70968"
    lines = []
    for item in items:
        place(item, folder / f"{item.id}.flac")
        lines.append(f"{item.id} {item.question.text.upper()}\n")
    (folder / "61-70968.trans.txt").write_text("".join(lines))


def seedtts(data: Path, items: list[Item]) -> None:
    folder = data / "seedtts" / "en"
    folder.mkdir(parents=True)
    (folder / "text.txt").write_text("".join(f"{item.answer}\n" for item in items))


def voicebench(data: Path, items: list[Item]) -> None:
    """Parquet with the sounds in it, in several row groups, and a table of lines beside it."""
    import pyarrow
    from pyarrow import parquet

    folder = data / "voicebench" / "mmsu"
    folder.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    for item in items:
        assert isinstance(item.question.sound, Path)
        sound = {"bytes": item.question.sound.read_bytes(), "path": f"{item.id}.mp3"}
        letter = LETTERS[item.choices.index(item.answer)]
        rows.append({"prompt": item.question.text, "audio": sound, "reference": letter})
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, folder / "law-00000-of-00001.parquet", row_group_size=3)


def speech_mmlu_parquet(data: Path, *, sounds_inside: bool = False) -> None:
    """The small set as the published one: Parquet, without the column `choices`; recordings may be
    in the table, too, as mirrors have them."""
    import pyarrow
    from pyarrow import parquet

    folder = Path(shutil.copytree(DATA / "SpeechMMLU", data / "SpeechMMLU"))
    for table in folder.glob("*.jsonl"):
        rows = [json.loads(line) for line in table.read_text().splitlines()]
        kept = [{key: value for key, value in row.items() if key != "choices"} for row in rows]
        for row in kept if sounds_inside else ():
            sound = folder / row["question_audio"]
            row["question_audio"] = {"bytes": sound.read_bytes(), "path": sound.name}
        inner = folder / table.stem
        inner.mkdir()
        parquet.write_table(pyarrow.Table.from_pylist(kept), inner / "train-00000-of-00001.parquet")
        table.unlink()
