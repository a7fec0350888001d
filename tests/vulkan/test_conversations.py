"""The demo model converses from a Vulkan device: words, and who may move where."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from mimo_edge.engine import Engine
from mimo_edge.generation.events import TurnEnd
from mimo_edge.model import MimoAudio
from mimo_edge.stages.llama.abort import EvaluationStopped
from mimo_edge.tasks import Overrides
from tests.demo.test_demo import ANSWERS

pytestmark = pytest.mark.vulkan

QUESTIONS = Path(__file__).parents[1] / "data" / "demo"
SEEDED = Overrides(seed=2, max_new_tokens=120)


def question(name: str) -> Path:
    return QUESTIONS / f"{name}.flac"


def test_it_answers_in_speech_and_remembers(on_gpu: MimoAudio) -> None:
    with on_gpu.session(overrides=SEEDED) as session:
        first = session.ask(question("sum"))
        second = session.ask(question("memory"))
    assert first.text == ANSWERS["sum"] and second.text == "you said what is seven plus five"
    assert first.audio is not None and second.audio is not None
    heard = on_gpu.transcribe(first.audio, overrides=SEEDED).text
    assert heard == ANSWERS["sum"]


def test_several_conversations_in_one_batch(on_gpu: MimoAudio) -> None:
    """Each is answered as it would be alone."""
    names = ["sum", "color", "opposite", "name"]
    texts: dict[str, str] = {}

    def converse(name: str) -> None:
        with on_gpu.session(overrides=SEEDED) as session:
            texts[name] = session.ask(question(name)).text

    threads = [threading.Thread(target=converse, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert texts == {name: ANSWERS[name] for name in names}


@pytest.mark.parametrize("to_gpu", [True, False])
def test_a_session_moves(
    on_cpu: MimoAudio, on_gpu: MimoAudio, to_gpu: bool, tmp_path: Path
) -> None:
    """Begun on one device, continued on the other and again on the first."""
    first, second = (on_cpu, on_gpu) if to_gpu else (on_gpu, on_cpu)
    with first.session(overrides=SEEDED) as session:
        assert session.ask(question("color")).text == ANSWERS["color"]
        session.save(tmp_path / "begun.npz")
    with second.load_session(tmp_path / "begun.npz", overrides=SEEDED) as session:
        answer = session.ask(question("memory"))
        assert answer.text == "you said what color is the sky"
        session.save(tmp_path / "continued.npz")
    with first.load_session(tmp_path / "continued.npz", overrides=SEEDED) as session:
        assert session.ask(question("sum")).text == ANSWERS["sum"]


def test_an_answer_is_cancelled_within_a_step(on_gpu: MimoAudio) -> None:
    """And the conversation goes on."""
    cancel = threading.Event()
    with on_gpu.session(overrides=SEEDED) as session:
        for seen, event in enumerate(session.stream(question("count"), cancel=cancel)):
            if seen == 2:
                cancel.set()
            last = event
        assert isinstance(last, TurnEnd) and last.reason == "cancelled"
        assert len(last.text_ids) <= 6
        assert session.ask(question("sum")).text == ANSWERS["sum"]


def test_a_prompt_that_is_given_up(engine: Engine) -> None:
    """A GPU finishes the batch that it computes; the next is not begun, and nothing is lost."""
    backbone = engine.backbone
    sequence = backbone.new_sequence()
    rows = backbone.embed(np.arange(600, dtype=np.int32) % 100)
    with pytest.raises(EvaluationStopped):
        backbone.evaluate([(sequence, rows, 0)], stop=lambda: True)
    assert sequence.length <= 512
    sequence.truncate(0)
    ((output,),) = backbone.evaluate([(sequence, rows[:20], 1)])
    assert output.has_logits and sequence.length == 20
    sequence.close()
