"""Programs that use a model, wrongly or in a way of their own, each in a process of its own.

A crash of native code would end the tests.
"""

from __future__ import annotations

from pathlib import Path

from tests.tools.children import run_child

PRELUDE = """
import contextlib, dataclasses, gc, os, sys, threading
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.tasks import Overrides

bundle, clip = sys.argv[1:3]
short = Overrides(max_new_tokens=24, seed=7)
options = RuntimeOptions(threads=2, context=512, device="cpu")

def load():
    return MimoAudio.load(bundle, options)

def refused(call, *words):
    try:
        call()
    except MimoEdgeError as error:
        assert any(word in str(error) for word in words or ("closed",)), error
        return
    raise AssertionError(f"{call} went on")
"""
"""Loads nothing yet; arguments are a bundle and a recording."""


def check(code: str, bundle: Path, clip: Path) -> None:
    child = run_child(PRELUDE + code + "\nprint('as it should')", bundle, clip)
    assert child.status == 0, (child.status, child.err)
    assert child.out == "as it should\n" and not child.err, child
