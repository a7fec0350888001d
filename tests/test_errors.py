"""The tree of errors: what a program can tell apart without reading sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mimo_edge
from mimo_edge import (
    BadBundleError,
    BadInputError,
    MimoEdgeError,
    NoMemoryError,
    OutputError,
    errors,
)
from mimo_edge.atomic import atomic_output, check_output
from mimo_edge.bundle.files import load_manifest
from mimo_edge.stages.llama.native import Native
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.system.memory import check_memory


def test_every_class_is_exported_and_explained() -> None:
    for name in errors.__all__:
        kind = getattr(mimo_edge, name)
        assert name in mimo_edge.__all__
        assert issubclass(kind, MimoEdgeError)
        assert kind.__doc__


def test_what_was_given_is_told_from_what_is_broken(tmp_path: Path) -> None:
    with pytest.raises(BadInputError):
        RuntimeOptions(threads=-1)
    with pytest.raises(BadInputError):
        load_manifest(tmp_path / "missing")
    with pytest.raises(BadBundleError):
        load_manifest(tmp_path)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        check_output(tmp_path / "missing" / "file")
    with pytest.raises(OutputError), atomic_output(tmp_path):
        pass


def test_memory_and_closed_objects() -> None:
    with pytest.raises(NoMemoryError):
        check_memory("a test", 1e18)
    native = Native(np.zeros(1), lambda _: None, closed="it is closed; make a new one.")
    native.close()
    with pytest.raises(mimo_edge.WrongUseError, match="it is closed"):
        native.check()
