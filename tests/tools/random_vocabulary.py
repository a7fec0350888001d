"""Text tokenizers of any size in the public layout: Qwen2's byte-level BPE."""

from __future__ import annotations

import json
import string
from collections.abc import Collection
from itertools import product
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "checkpoint" / "MiMo-Audio-7B-Instruct"

Merge = tuple[str, str]


def write_tokenizer(
    folder: Path,
    *,
    entries: int,
    dropped: Collection[str] = (),
    fast: bool = True,
    merges_as_text: bool = False,
) -> dict[str, int]:
    """Write the tokenizer files; the control tokens' ids come back.

    Args:
        folder: where to.
        entries: bytes and merges together; the control tokens come after them. At least
            the golden tokenizer's, which it begins with.
        dropped: control tokens to leave out.
        fast: also `tokenizer.json`; else only `vocab.json` and `merges.txt`.
        merges_as_text: the older form of `tokenizer.json`, "a b" instead of ["a", "b"].
    """
    vocabulary, merges = _grown_to(entries)
    golden: dict[str, Any] = json.loads((GOLDEN / "tokenizer.json").read_text("utf-8"))
    kept = [token for token in golden["added_tokens"] if token["content"] not in dropped]
    added = [{**token, "id": len(vocabulary) + i} for i, token in enumerate(kept)]

    _dump(folder / "vocab.json", vocabulary)
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    settings = json.loads((GOLDEN / "tokenizer_config.json").read_text("utf-8"))
    settings["added_tokens_decoder"] = {
        str(token["id"]): {key: value for key, value in token.items() if key != "id"}
        for token in added
    }
    _dump(folder / "tokenizer_config.json", settings)
    if fast:
        model = golden["model"] | {"vocab": vocabulary}
        model["merges"] = [" ".join(m) if merges_as_text else list(m) for m in merges]
        _dump(folder / "tokenizer.json", golden | {"added_tokens": added, "model": model})
    return {token["content"]: token["id"] for token in added}


def _grown_to(entries: int) -> tuple[dict[str, int], list[Merge]]:
    """The golden vocabulary and merges, and letters put together until there are enough.

    Every merge joins two entries that come before it, as in a trained vocabulary.
    """
    vocabulary: dict[str, int] = json.loads((GOLDEN / "vocab.json").read_text("utf-8"))
    lines = (GOLDEN / "merges.txt").read_text("utf-8").splitlines()[1:]
    merges = [(left, right) for left, right in (line.split(" ") for line in lines)]
    if entries < len(vocabulary):
        raise ValueError(f"a vocabulary has at least {len(vocabulary)} entries, not {entries}")
    letters = string.ascii_lowercase + string.ascii_uppercase
    stems = [*letters, "Ġ"]  # Ġ is the byte-level form of a space
    while len(vocabulary) < entries:
        longer = []
        for stem, letter in product(stems, letters):
            word = stem + letter
            longer.append(word)
            if word not in vocabulary and len(vocabulary) < entries:
                vocabulary[word] = len(vocabulary)
                merges.append((stem, letter))
        stems = longer
    return vocabulary, merges


def _dump(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")
