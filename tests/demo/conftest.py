"""The demo model, as it ships and in float32, and the recorded questions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mimo_edge.bundle.default_bundle import find_bundle
from mimo_edge.model import MimoAudio
from tests.tools.exact_demo import load_exact_demo

FOLDER = Path(__file__).parent.parent / "data" / "demo"


@dataclass(frozen=True)
class Question:
    """A recording and what is said in it."""

    path: Path
    text: str
    voice: str


@pytest.fixture(scope="session")
def questions() -> dict[str, Question]:
    index = json.loads((FOLDER / "questions.json").read_text())
    return {
        name: Question(FOLDER / f"{name}.flac", entry["text"], entry["voice"])
        for name, entry in index.items()
    }


@pytest.fixture(scope="session")
def demo() -> Iterator[MimoAudio]:
    """The default of every command: found without being named."""
    with MimoAudio.load(find_bundle(None)) as model:
        yield model


@pytest.fixture(scope="session")
def exact() -> Iterator[MimoAudio]:
    """The same in float32: its words are sure."""
    with load_exact_demo() as model:
        yield model
