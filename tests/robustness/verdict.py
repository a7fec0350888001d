"""What may come of a mutant: success or one sentence, and nothing else anywhere."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from unicodedata import bidirectional, category

from .forks import Outcome

__all__ = ["Snapshot", "faults", "snapshot"]

Snapshot = dict[str, tuple[int, ...]]
"""Path below a folder → mode, size and time of change."""

_NOTE = re.compile(
    r"[\w ]+: (?:[\d.]+ MB in )?[\d.]+ s"  # a stage of a conversion that is done
    r"|cut off, a larger --[a-z-]+ lets it finish"  # an answer before the one that failed
    r"|\d+ threads are more than the \d+ processors .*"
    r"|\[src/libmpg123/.*"  # libsndfile's decoder writes there itself, whatever one does
)
"""Lines of standard error that may stand before the sentence."""
_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_LONGEST_SENTENCE = 1200
_POOR = re.compile(
    r"Traceback|\b[A-Za-z]+(?:Error|Exception)\b|NoneType|<class|object at 0x|\[Errno"
    r"|ONNXRuntime|std::|bad_alloc|numpy\.|np\.\w+\(|ndarray|array\(|dtype\("
    r"|positional argument|keyword argument|unhashable|not subscriptable|not iterable"
    r"|to unpack|out of bounds|has no attribute|broadcast|unsupported operand|invalid literal"
    r"|codec can't|memory"
)
"""Words of Python and of libraries that no person should have to read; and that memory ran out
is said too late: inputs that would need too much are refused for what they ask for."""


def snapshot(folder: Path) -> Snapshot:
    """What lies in a folder."""
    found: Snapshot = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        # A folder's own time changes with its temporary files, which are gone again.
        change = (0, 0) if path.is_dir() else (status.st_size, status.st_mtime_ns)
        found[str(path.relative_to(folder))] = (status.st_mode, *change)
    return found


def faults(
    outcome: Outcome, before: Snapshot, after: Snapshot, *, may_make: Collection[str], usage: bool
) -> list[str]:
    """What is wrong, one phrase each.

    Args:
        outcome: of the child.
        before: its folder before.
        after: its folder after.
        may_make: the files and folders that a success leaves there.
        usage: whether the command may refuse its own options (status 2).
    """
    if outcome.status not in ((0, 1, 2) if usage else (0, 1)):
        return ["neither success nor a refusal"]
    found = []
    if "Traceback" in outcome.err:
        found.append("a traceback")
    elif outcome.status == 1:
        found += _sentence_faults(outcome)
    elif outcome.status == 2 and not outcome.err.startswith("Usage: "):
        found.append("no usage is shown")
    made = {name for name in after if name.split("/")[0] not in may_make or outcome.status}
    if left := sorted(made - before.keys()):
        found.append(f"left behind: {left[:5]}")
    if changed := sorted(name for name in before if after.get(name) != before[name]):
        found.append(f"changed: {changed[:5]}")
    return found


def _sentence_faults(outcome: Outcome) -> list[str]:
    *notes, last = outcome.err.removesuffix("\n").split("\n")
    sentence = last.removeprefix("mimo-edge: ")
    found = []
    if sentence == last or any(not _NOTE.fullmatch(note) for note in notes):
        found.append("not one sentence")
    if poor := _POOR.search(sentence):
        found.append(f"a poor message ({poor[0]})")
    if any(category(char) in _UNSEEN or bidirectional(char) in _TURNS for char in sentence):
        found.append("characters that a terminal obeys")
    if len(sentence) > _LONGEST_SENTENCE:
        found.append("an endless message")
    if outcome.out:
        found.append("output of a command that failed")
    return found
