"""`mimo-edge eval` as people use it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from mimo_edge.bundle.default_bundle import find_bundle
from tests.evaluation import layouts
from tests.evaluation.conftest import DATA
from tests.tools.command_line import Command

DEMO = find_bundle(None)


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


def test_scores_subjects_intervals_and_published_figures(command: Command, tmp_path: Path) -> None:
    picture = tmp_path / "scores.png"
    done = command(
        *("eval", "speechmmlu-s2s", "speechmmlu-t2t", "--data", DATA, "-o", tmp_path / "r"),
        *("--model", DEMO, "--limit", 12, "--picture", picture),
    )
    assert done.status == 0, done.err
    table = rows(done.out)
    assert [row[0] for row in table[1:]] == [
        *("speechmmlu-s2s", "opposites", "sums"),
        *("speechmmlu-t2t", "opposites", "sums"),
    ]
    assert "69.1% (7B-Base, 5 examples)" in done.out and "72.5%" in done.out
    assert "points are lost; published: 3.4" in done.err.replace("\n", " ")
    assert "other questions are not comparable" in done.err.replace("\n", " ")
    with Image.open(picture) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or []}
    assert {(66, 10, 104), (221, 81, 58)} <= colours  # a bar, and a published mark


def test_json_has_every_figure_and_the_second_run_does_nothing(
    command: Command, tmp_path: Path
) -> None:
    arguments = (
        *("eval", "speechmmlu-t2t", "--data", DATA, "-o", tmp_path, "--model", DEMO),
        *("--limit", 8, "--json"),
    )
    first, second = command(*arguments), command(*arguments)
    assert first.out == second.out
    overall = json.loads(first.out.splitlines()[0])
    assert overall["items"] == 8 and overall["value"] > 0.8
    assert overall["published"] == 72.5 and overall["bundle"]["name"] == "MiMo-Audio-Demo"
    assert len((tmp_path / "speechmmlu-t2t.jsonl").read_text().splitlines()) == 9
    # A larger limit goes on; a smaller one tells the figure of its own items.
    more = command(*arguments[:-3], "--limit", 10, "--json")
    assert json.loads(more.out.splitlines()[0])["items"] == 10
    fewer = command(*arguments)
    assert json.loads(fewer.out.splitlines()[0])["items"] == 8


def test_results_of_another_seed_or_bundle_are_refused(
    command: Command, tmp_path: Path, default_bundle: Path
) -> None:
    run = ("eval", "speechmmlu-t2t", "--data", DATA, "-o", tmp_path, "--limit", 2)
    assert command(*run, "--model", DEMO).status == 0
    other = command(*run, "--model", DEMO, "--seed", 3)
    assert other.status == 1 and "another options: seed was 0 and now is 3" in other.sentence
    other = command(*run, "--model", default_bundle)
    assert other.status == 1 and "another bundle: name was MiMo-Audio-Demo" in other.sentence


def test_two_bundles_are_compared(command: Command, tmp_path: Path, default_bundle: Path) -> None:
    run = ("eval", "speechmmlu-t2t", "--data", DATA, "--choose", "--limit", 20)
    for name, bundle in (("a", DEMO), ("b", default_bundle)):
        assert command(*run, "-o", tmp_path / name, "--model", bundle).status == 0
    done = command("eval", "--compare", tmp_path / "a", tmp_path / "b")
    assert done.status == 0 and "MiMo-Audio-Demo default" in done.out and "differs" in done.out
    done = command("eval", "--compare", tmp_path / "a", tmp_path / "b", "--json")
    found = json.loads(done.out)
    assert found["items"] == 20 and found["only_first"] > found["only_second"]
    assert found["chance"] < 0.01
    same = command("eval", "--compare", tmp_path / "a", tmp_path / "a")
    assert "no certain difference" in same.out


def test_an_external_recognizer_judges(command: Command, tmp_path: Path) -> None:
    """A program gets the answer's WAV file and prints what is said, here always the same."""
    script = tmp_path / "recognizer.py"
    script.write_text(
        "import sys, wave\n"
        "with wave.open(sys.argv[1]) as file:\n"
        "    assert file.getframerate() == 24000 and file.getnframes()\n"
        "print('the opposite of yes is no')\n"
    )
    judge = shlex.join([sys.executable, str(script), "{file}"]).replace("'{file}'", "{file}")
    done = command(
        *("eval", "speechmmlu-s2s", "--data", DATA, "-o", tmp_path / "r", "--model", DEMO),
        *("--limit", 6, "--judge-asr", judge, "--json"),
    )
    assert done.status == 0, done.err
    lines = (tmp_path / "r" / "speechmmlu-s2s.jsonl").read_text().splitlines()
    assert {json.loads(line)["heard"] for line in lines[1:]} == {"the opposite of yes is no"}
    assert json.loads(lines[0])["options"]["judge"] == judge
    failing = shlex.join([sys.executable, "-c", "raise SystemExit('no model')", "{file}"])
    done = command(
        *("eval", "speechmmlu-s2s", "--data", DATA, "-o", tmp_path / "q", "--model", DEMO),
        *("--limit", 1, "--judge-asr", failing),
    )
    assert done.status == 1 and "ended with status 1 (no model)" in done.sentence


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which benchmarks? Name some of speechmmlu-s2s"),
        (["mmlu"], "there is no benchmark 'mmlu'"),
        (["mmau"], "--data, the folder with the data, is missing"),
        (["mmau", "--data", "nowhere"], "-o, the folder for the results, is missing"),
        (["mmau", "--data", "nowhere", "-o", "r"], "there is no folder nowhere"),
        (["mmau", "--data", str(DATA), "-o", "r"], "MMAU/mmau-test-mini.json"),
        (
            ["speechmmlu-s2s", "--data", str(DATA), "-o", "r", "--judge-asr", "whisper"],
            "has no {file}, which stands for the recording",
        ),
        (
            ["speechmmlu-s2s", "--data", str(DATA), "-o", "r", "--few-shot", "5"],
            "has 2 examples of 'opposites', and 5 are wanted",
        ),
        (["--compare", "nowhere", "nowhere"], "nowhere cannot be read"),
        (["--compare", str(DATA), str(DATA)], "holds no results"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], said: str, command: Command) -> None:
    done = command("eval", *arguments)
    assert done.status == 1 and said in done.sentence


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "speechmmlu-s2s.jsonl"
    words = ["eval", "speechmmlu-s2s", "--data", str(DATA), "-o", str(tmp_path), "--limit", "24"]
    command = [sys.executable, "-m", "mimo_edge", *words, "--model", str(DEMO), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and (not file.exists() or file.read_bytes().count(b"\n") < 4):
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    before = file.read_bytes()
    whole = before[: before.rfind(b"\n") + 1]
    with file.open("ab") as half:  # as if it had been killed while it wrote
        half.write(b'{"id": "sums_')
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["items"] == 24
    after = file.read_bytes()
    assert after.startswith(whole) and after.count(b"\n") == 25


def test_word_errors_are_told_in_both_ways(command: Command, tmp_path: Path) -> None:
    layouts.librispeech(tmp_path, layouts.questions(6))
    done = command(
        *("eval", "librispeech-clean", "--data", tmp_path, "-o", tmp_path / "r"),
        *("--model", DEMO, "--json"),
    )
    assert json.loads(done.out)["value"] < 0.1
    done = command(
        *("eval", "librispeech-clean", "--data", tmp_path, "-o", tmp_path / "r", "--model", DEMO),
    )
    assert done.status == 0 and "librispeech-clean" in done.out
    assert "the mean of the items' rates" in done.err.replace("\n", " ")
