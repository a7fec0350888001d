"""A text that is not all of an answer does not look like one: what cut it off is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tools.command_line import Command

ENDLESS = ("--threads", "1", "--seed", "1", "--temperature", "1")
"""With these the random model's transcript has no end, with the next four seeds neither."""
CUT = ("--threads", "1", "--temperature", "0", "--max-new-tokens", "1")
"""So early that no transcript of the random model ends before."""
LONGER = "cut off, a larger --max-new-tokens lets it finish"
LOOPS = "cut off at 0:00, where the model wrote more than anybody can say"


@pytest.mark.parametrize("task", ["ask", "text", "transcribe"])
def test_an_answer_that_is_cut_off(
    command: Command, clips: dict[str, Path], reference_bundle: Path, task: str
) -> None:
    clip, exact = clips["short"], ("--model", reference_bundle)  # the same ids everywhere
    asked = {"ask": (clip, "What?"), "text": ("Hello.",), "transcribe": (clip,)}[task]
    cut = command(task, *asked, *exact, *CUT)
    assert cut.status == 0 and cut.err.splitlines()[-1] == LONGER
    full = command(task, *asked, *exact, "--threads", 1, "--temperature", 0)
    assert full.status == 0 and LONGER not in full.err
    told = command(task, *asked, *exact, *CUT, "--json")
    assert json.loads(told.out)["reason"] == "length" and LONGER not in told.err


def test_a_transcript_that_is_cut_off(
    command: Command, clips: dict[str, Path], reference_bundle: Path, tmp_path: Path
) -> None:
    """Also of a file; of a part that never ends no option is named, as none would help."""
    exact = ("--model", reference_bundle)  # the same ids on every processor
    out = ("-o", tmp_path / "a.txt")
    cut = command("transcribe", clips["short"], *out, *exact, *CUT)
    assert cut.err.splitlines()[1:] == [LONGER]
    for limit in ((), ("--max-new-tokens", 2000)):
        done = command("transcribe", clips["short"], *out, *exact, *ENDLESS, *limit)
        assert done.err.splitlines()[1:] == [LOOPS]
    two = [clips["short"], clips["tiny"]]
    notes = command("transcribe", *two, *exact, *CUT).err.splitlines()
    assert notes == [f"{path}: {LONGER}" for path in two]
