"""Awkward values, and JSON with one of them somewhere."""

from __future__ import annotations

import copy
import json
import math
from random import Random
from typing import Any

__all__ = ["TEXTS", "awkward", "dump", "edit_json"]

_NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 5, 255, 65536, 2**31 - 1, 2**31, 2**63, 10**9, 10**18, 10**21, -(10**18)),
    *(0.5, -0.0, 1e-30, 1e30, 1e308, math.nan, math.inf, -math.inf, True, False),
)
TEXTS = (
    *("", " ", "0", "-1", "NaN", "1-2-3", "a" * 5000, "ä𝄞日本", "\x1b[31m", "\x00", "\ud800"),
    *("../../etc/passwd", "/etc/passwd", ".", "..", "con", "<|im_end|>", "\u202e", "\n"),
)


def awkward(rng: Random, old: Any = None) -> Any:
    """A value that may be wrong in the place of `old`; mostly of its kind."""
    number = isinstance(old, int | float) and not isinstance(old, bool)
    if number and rng.random() < 0.35:
        return rng.choice([old + 1, old - 1, -old, old * 2, old // 2, float(old), str(old), [old]])
    if (number and rng.random() < 0.7) or rng.random() < 0.3:
        return rng.choice(_NUMBERS)
    if rng.random() < 0.6:
        return rng.choice(TEXTS)
    deep: Any = []
    for _ in range(rng.choice([1, 30, 500])):
        deep = [deep]
    return rng.choice([None, [], {}, [None], [0] * 300, {"a": 1}, [[1], 2], deep])


def edit_json(rng: Random, value: Any) -> tuple[Any, str]:
    """A copy with one thing changed, and what."""
    while True:
        changed = copy.deepcopy(value)
        what = _edit(rng, changed)
        if dump(changed) != dump(value):
            return changed, what


def dump(value: Any) -> bytes:
    """JSON as Python writes it, also where there is no such JSON (NaN, lone surrogates)."""
    return json.dumps(value).encode()


def _edit(rng: Random, value: Any) -> str:
    """Walk down to a place, every branch as likely as its neighbour, and change what is there."""
    where = "$"
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return f"{where} is empty"
        key = rng.choice(keys)
        child = value[key]
        where += f".{key}"
        if not isinstance(child, dict | list) or not child or rng.random() < 0.12:
            break
        value = child
    how = rng.random()
    if how < 0.1:
        del value[key]
        return f"{where} removed"
    if how < 0.16 and isinstance(value, list):
        value.insert(key, copy.deepcopy(value[rng.randrange(len(value))]))
        return f"{where} repeats another"
    if how < 0.16 and isinstance(value, dict):
        value[str(rng.choice(TEXTS))] = value.pop(key)
        return f"{where} renamed"
    if how < 0.24:
        other = rng.choice(keys)
        value[key], value[other] = value[other], value[key]
        return f"{where} swapped with {other}"
    value[key] = awkward(rng, child)
    return f"{where} = {str(value[key])[:60]!r}"
