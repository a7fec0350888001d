"""The demo model speaks as well where llama.cpp computes its patches."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.tasks import Overrides
from tests.tools.bundles import convert_checkpoint
from training.words import word_errors

from .conftest import Question
from .test_demo import ANSWERS, SEEDED

CHECKPOINT = Path(__file__).parents[2] / "models" / "demo-checkpoint" / "MiMo-Audio-Demo"

Questions = dict[str, Question]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MimoAudio]:
    """Its patch stages are GGUF files with 8 bits, and used."""
    out = tmp_path_factory.mktemp("demo") / "gguf"
    tokenizer = CHECKPOINT.with_name("MiMo-Audio-Demo-Tokenizer")
    convert_checkpoint(CHECKPOINT, tokenizer, out, "quality", patch_gguf=True)
    with MimoAudio.load(out, RuntimeOptions(device="cpu", patches="gguf")) as model:
        yield model


@pytest.mark.parametrize("name", ["sum", "color", "count"])
def test_it_hears_and_answers(spoken: MimoAudio, questions: Questions, name: str) -> None:
    question = questions[name]
    assert spoken.transcribe(question.path, overrides=SEEDED).text == question.text
    with spoken.session(overrides=SEEDED) as session:
        answer = session.ask(question.path)
    assert answer.text == ANSWERS[name]
    assert answer.audio is not None and answer.stats.patches > 4


def test_its_words_are_understood(spoken: MimoAudio, demo: MimoAudio, questions: Questions) -> None:
    """By the demo model as it ships. Several answers are made at once, in one batch."""

    def answer(name: str) -> tuple[str, str]:
        with spoken.session(overrides=Overrides(seed=2, max_new_tokens=120)) as session:
            audio = session.ask(questions[name].path).audio
        assert audio is not None
        return ANSWERS[name], demo.transcribe(audio, overrides=SEEDED).text

    with ThreadPoolExecutor(3) as pool:
        heard = list(pool.map(answer, ANSWERS))
    errors = [word_errors(text, found) for text, found in heard]
    assert sum(wrong for wrong, _ in errors) / sum(words for _, words in errors) < 0.15
