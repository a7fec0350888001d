"""The other benchmarks, in the layouts in which their data are published.

The demo model was never shown questions with letters, so what is asserted of those is the path:
the prompt holds what it must, the scores come of what it answers. Words are asserted where it knows
them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mimo_edge.bundle.manifest import Manifest
from mimo_edge.errors import MimoEdgeError
from mimo_edge.evaluation.benchmarks import BENCHMARKS, benchmark
from mimo_edge.evaluation.forms import transcript_task
from mimo_edge.evaluation.items import Asking, Item
from mimo_edge.evaluation.running import RunOptions
from mimo_edge.evaluation.tables import StoredSound
from mimo_edge.model import MimoAudio
from mimo_edge.prompt.positions import AudioPiece, TextPiece
from mimo_edge.tasks import Overrides, PreparedTask
from tests.evaluation import layouts
from tests.evaluation.conftest import examine, score_of

CHANCE = 1 / 4

Make = Callable[[Path, list[Item]], None]


def text_of(
    demo: MimoAudio, name: str, item: Item, *, base: bool = False, think: bool = False
) -> str:
    """The prompt of an item, recordings as `[A]`."""
    asking = Asking(
        manifest=demo.manifest,
        base=base,
        thinking=think,
        instruction=None,
        overrides=Overrides(),
        listen=lambda sound: demo.listen(str(sound)),
    )
    task = benchmark(name).ask(item, asking)
    assert isinstance(task, PreparedTask)
    return "".join(
        "".join(piece.parts) if isinstance(piece, TextPiece) else "[A]"
        for piece in task.pieces
        if isinstance(piece, (TextPiece, AudioPiece))
    )


@pytest.mark.parametrize(("name", "make"), [("mmau", layouts.mmau), ("mmar", layouts.mmar)])
def test_questions_about_recordings(name: str, make: Make, demo: MimoAudio, tmp_path: Path) -> None:
    make(tmp_path, layouts.questions(12))
    item = benchmark(name).load(tmp_path, 0)[0]
    prompt = text_of(demo, name, item)
    assert prompt.startswith(f"<|im_start|>user\n[A]{item.question.text}\n\nChoice: \n")
    assert f"{item.choices[3]}\n\nChoose a choices from the given 4 choices. Do not" in prompt
    assert prompt.endswith("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n")
    thinking = text_of(demo, name, item, think=True)
    assert thinking.endswith("then answer it.<|im_end|>\n<|im_start|>assistant\n<think>\n")
    # It hears the question and gives the answer, whatever is written behind it.
    found = score_of(examine(demo, name, tmp_path / "r.jsonl", data=tmp_path))
    assert found.items == 12 and not found.failed
    known = examine(
        demo, name, tmp_path / "c.jsonl", data=tmp_path, options=RunOptions(choose=True)
    )
    assert score_of(known).low > CHANCE


def test_the_base_model_gets_other_questions_as_examples(demo: MimoAudio, tmp_path: Path) -> None:
    layouts.mmau(tmp_path, layouts.questions(4))
    items = benchmark("mmau").load(tmp_path, 2)
    again = benchmark("mmau").load(tmp_path, 2)
    assert [item.examples for item in items] == [item.examples for item in again]
    for item in items:
        assert item.question.text not in [each.question.text for each in item.examples]
    prompt = text_of(demo, "mmau", items[0], base=True)
    first = items[0].examples[0]
    assert prompt.startswith(f"[Int]:[A]Question: {first.question.text}Answer: {first.answer.text}")
    assert prompt.count("[A]") == 3 and prompt.endswith("from the given 4 choices.\nAnswer:")
    with pytest.raises(MimoEdgeError, match="4 examples are wanted of 4 items"):
        benchmark("mmau").load(tmp_path, 4)


def test_mmsu_asks_for_a_letter(demo: MimoAudio, tmp_path: Path) -> None:
    layouts.mmsu(tmp_path, layouts.questions(8))
    of = benchmark("mmsu")
    item = of.load(tmp_path, 0)[0]
    prompt = text_of(demo, "mmsu", item)
    assert f"\n\nQuestion: {item.question.text}\n\nA. {item.choices[0]}\nB. " in prompt
    right = "ABCD"[item.choices.index(item.answer)]
    assert of.judge(item, right).correct and of.judge(item, f"({right})").correct
    assert not of.judge(item, "").correct and of.judge(item, "").chosen is None
    results = examine(demo, "mmsu", tmp_path / "r.jsonl", data=tmp_path)
    assert all("text" in line for line in results.lines.values())
    with pytest.raises(MimoEdgeError, match="asked without any"):
        of.load(tmp_path, 5)


@pytest.mark.parametrize("modalities", ["s2s", "s2t"])
def test_big_bench_audio_needs_no_judge(modalities: str, demo: MimoAudio, tmp_path: Path) -> None:
    """The answers are "seven plus five is twelve"; the number said last is what counts."""
    layouts.big_bench(tmp_path, layouts.questions(24))
    results = examine(demo, f"bigbench-{modalities}", tmp_path / "r.jsonl", data=tmp_path)
    found = score_of(results)
    assert found.items == 12 and found.value >= 0.75  # all of them where this was written
    assert all(
        line["chosen"] is None or line["chosen"].isdigit() for line in results.lines.values()
    )


def test_voicebench_reads_sounds_out_of_parquet(demo: MimoAudio, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    questions = layouts.questions(8)
    layouts.voicebench(tmp_path, questions)
    of = benchmark("voicebench-mmsu")
    items = of.load(tmp_path, 0)
    assert [item.subject for item in items] == ["law"] * 8
    for item, question in zip(items, questions, strict=True):
        assert isinstance(item.question.sound, StoredSound)
        assert item.question.sound.read() == Path(str(question.question.sound)).read_bytes()
    results = examine(demo, "voicebench-mmsu", tmp_path / "r.jsonl", data=tmp_path)
    # It answers the question, in which no letters are said, and not with a letter.
    right = [
        str(results.lines[item.id]["text"]) == question.answer
        for item, question in zip(items, questions, strict=True)
    ]
    assert sum(right) >= 6
    assert of.judge(items[0], f"The answer is {items[0].answer}.").correct
    with pytest.raises(MimoEdgeError, match="holds no voicebench: expected is"):
        benchmark("voicebench-openbookqa").load(tmp_path, 0)


@pytest.mark.parametrize("sounds_inside", [False, True])
def test_speech_mmlu_as_it_is_published(
    sounds_inside: bool, demo: MimoAudio, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    layouts.speech_mmlu_parquet(tmp_path, sounds_inside=sounds_inside)
    of = benchmark("speechmmlu-s2t")
    items = of.load(tmp_path, 2)
    assert len(items) == 48 and {item.answer for item in items} == set("ABCD")
    item = items[0]
    assert of.judge(item, f" Option {item.answer}.\n").correct
    assert not of.judge(item, f"{item.answer}.").correct  # as in the toolkit, after examples
    results = examine(
        demo,
        "speechmmlu-s2t",
        tmp_path / "r.jsonl",
        data=tmp_path,
        options=RunOptions(shots=2, choose=True),
        limit=4,
    )
    assert {line["chosen"] for line in results.lines.values()} <= set("ABCD")


def test_every_checkpoint_is_asked_for_transcripts_in_its_words(demo: MimoAudio) -> None:
    """MiMo-V2.5-ASR has an instruction of its own, and opens its answer with the language."""
    patches = demo.listen(str(layouts.questions(1)[0].question.sound))

    def prompt(manifest: Manifest) -> str:
        task = transcript_task(manifest, patches, "en", instruction=None, overrides=Overrides())
        texts = [piece.parts for piece in task.pieces if isinstance(piece, TextPiece)]
        return "".join("".join(parts) for parts in texts)

    assert "Please transcribe this audio file" in prompt(demo.manifest)
    other = replace(demo.manifest, name="MiMo-Audio-7B-Instruct")
    assert "Transcribe the following voice message." in prompt(other)
    sibling = replace(other, prompts="mimo-v2.5-asr")
    assert "Please transcribe this audio file" in prompt(sibling)
    assert prompt(sibling).endswith("</think>\n<english>")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("librispeech-clean", layouts.librispeech),
        ("librispeech-other", layouts.original_librispeech),
    ],
)
def test_transcripts_are_compared_word_by_word(
    name: str, make: Make, demo: MimoAudio, tmp_path: Path
) -> None:
    make(tmp_path, layouts.questions(12))
    found = score_of(examine(demo, name, tmp_path / "r.jsonl", data=tmp_path))
    assert found.items == 12 and found.value < 0.1
    assert found.mean_of_items is not None and found.mean_of_items < 0.1


def test_spoken_texts_are_judged_by_a_recognizer(demo: MimoAudio, tmp_path: Path) -> None:
    """Its own, and one that always hears the same: then the words differ from what was spoken."""
    layouts.seedtts(tmp_path, layouts.questions(8))
    own = score_of(examine(demo, "seedtts-en", tmp_path / "own.jsonl", data=tmp_path))
    assert own.items == 8 and own.value < 0.3
    deaf = examine(
        demo,
        "seedtts-en",
        tmp_path / "deaf.jsonl",
        data=tmp_path,
        recognizer=lambda samples, rate: "river",
    )
    assert score_of(deaf).value > 0.9
    assert {line["heard"] for line in deaf.lines.values()} == {"river"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mmau", "MMAU/mmau-test-mini.json"),
        ("mmar", "MMAR/MMAR-meta.json"),
        ("mmsu", "MMSU_Bench/MMSU/question/mmsu.jsonl"),
        ("bigbench-s2t", "big_bench_audio/metadata.jsonl"),
        ("voicebench-mmsu", "voicebench/mmsu/"),
        ("librispeech-clean", "librispeech/test_clean/manifest.txt"),
        ("aishell1", "aishell1/test/manifest.txt"),
        ("seedtts-zh-hardcase", "seedtts/zh_hardcase/text.txt"),
    ],
)
def test_missing_data_are_named(name: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(MimoEdgeError, match=expected):
        benchmark(name).load(tmp_path, 0)


def test_wrong_rows_are_named(tmp_path: Path) -> None:
    layouts.mmau(tmp_path, layouts.questions(2))
    file = tmp_path / "MMAU" / "mmau-test-mini.json"
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([{**rows[0], "answer": "a fourth one"}]))
    with pytest.raises(MimoEdgeError, match="'a fourth one', which is none of its choices"):
        benchmark("mmau").load(tmp_path, 0)
    file.write_text(json.dumps([{key: rows[0][key] for key in ("id", "question")}]))
    with pytest.raises(MimoEdgeError, match=r"row 1 of .* has no 'audio_id', only id, question"):
        benchmark("mmau").load(tmp_path, 0)
    file.write_text("[]")
    with pytest.raises(MimoEdgeError, match="holds no rows"):
        benchmark("mmau").load(tmp_path, 0)


def test_every_benchmark_is_there() -> None:
    assert list(BENCHMARKS) == [
        *("speechmmlu-s2s", "speechmmlu-s2t", "speechmmlu-t2s", "speechmmlu-t2t"),
        *("mmau", "mmar", "mmsu", "bigbench-s2s", "bigbench-s2t"),
        *("voicebench-mmsu", "voicebench-openbookqa"),
        *("librispeech-clean", "librispeech-other", "aishell1"),
        *("seedtts-en", "seedtts-zh", "seedtts-zh-hardcase"),
    ]
