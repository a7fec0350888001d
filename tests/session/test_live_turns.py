"""Turns of a live conversation: prepared while somebody may still speak, cut where interrupted."""

from __future__ import annotations

import threading
from pathlib import Path

import llama_cpp
import numpy as np
import pytest

from mimo_edge.engine import Engine
from mimo_edge.errors import MimoEdgeError
from mimo_edge.generation.events import TurnEnd
from mimo_edge.generation.heard import heard_part
from mimo_edge.model import MimoAudio
from mimo_edge.prompt import prompts
from mimo_edge.prompt.positions import InterleavedPiece, Positions, concatenate
from mimo_edge.session import Session

from .test_sessions import OPTIONS, SYSTEM, end_of, same_sampling, spoken, text_ids

PATCH = 3840
"""Samples of a patch: 160 ms at 24 kHz."""


def asked(session: Session, *clips: Path) -> list[TurnEnd]:
    return [end_of(session.stream(clip)) for clip in clips]


def test_a_prepared_turn_has_nothing_left_to_evaluate(
    reference_model: MimoAudio, clips: dict[str, Path]
) -> None:
    """And is answered as one that was not."""
    with spoken(reference_model, clips["voice"]) as session:
        for name in ("question", "short"):
            prepared = session.prepare(clips[name])
            assert prepared is not None and prepared.evaluated > 5
            before = session.evaluated_positions
            end = end_of(session.stream(prepared))
            assert end.stats.cached_positions == end.stats.prompt_positions
            assert session.evaluated_positions - before in (len(end.text_ids), len(end.codes) - 1)
        turns = session.turns
    with spoken(reference_model, clips["voice"]) as plain:
        (_, expected) = asked(plain, clips["question"], clips["short"])
        assert same_sampling(end, expected)
        assert len(turns) == len(plain.turns) == 2


def test_a_preparation_that_is_thrown_away_costs_the_next_nothing(
    reference_model: MimoAudio, engine: Engine, clips: dict[str, Path]
) -> None:
    """What both have in common stays; the conversation is as it was."""
    patches = engine.hearing.listen(clips["question"])
    with spoken(reference_model, clips["voice"]) as session:
        assert session.prepare(patches[:-3]) is not None
        assert not session.turns
        again = session.prepare(patches)
        assert again is not None
        # The three patches and the opening of the answer.
        assert 3 < again.evaluated < 3 + 20
        end = end_of(session.stream(again))
        other = session.prepare(text="Never mind.", reply="text")
        assert other is not None and other.task.name == "text dialogue"
        # A preparation of another request leaves what was said before.
        assert other.evaluated < 40 < end.stats.prompt_positions
        session.prepare(clips["tiny"])
        assert end_of(session.stream(other)).stats.cached_positions > 40
    with spoken(reference_model, clips["voice"]) as plain:
        assert same_sampling(end_of(plain.stream(patches)), end)


def test_a_preparation_can_be_cancelled_between_batches(
    reference_model: MimoAudio, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was evaluated until then is the beginning of the next one."""
    cancel = threading.Event()
    with spoken(reference_model, clips["voice"]) as session:
        process = llama_cpp.llama_process

        def process_once(context: int, kind: int, batch: int) -> int:
            cancel.set()
            return int(process(context, kind, batch))

        monkeypatch.setattr(llama_cpp, "llama_process", process_once)
        assert session.prepare(clips["question"], cancel=cancel) is None
        assert session.evaluated_positions == len(session.positions) == 32
        monkeypatch.undo()
        prepared = session.prepare(clips["question"], cancel=threading.Event())
        assert prepared is not None
        end = end_of(session.stream(prepared))
        assert prepared.evaluated == end.stats.prompt_positions - 32
    with spoken(reference_model, clips["voice"]) as plain:
        assert same_sampling(end_of(plain.stream(clips["question"])), end)


def test_warm_leaves_only_the_turn_to_evaluate(
    reference_model: MimoAudio, engine: Engine, clips: dict[str, Path]
) -> None:
    patches = engine.hearing.listen(clips["short"])
    with spoken(reference_model, clips["voice"]) as session:
        cancelled = threading.Event()
        cancelled.set()
        assert session.warm(cancelled) == 0
        beginning = session.warm()
        assert beginning > 20 and session.warm() == 0
        first = end_of(session.stream(patches))
        assert first.stats.cached_positions == beginning
        # The end of the answer and the opening of the next request.
        assert 0 < session.warm() < 12
        second = end_of(session.stream(patches))
        opening = len(engine.layout.positions(prompts.conversation([], "speech")))
        assert second.stats.evaluated_positions <= len(patches) + 2 + 3 + opening
    with spoken(reference_model, clips["voice"]) as plain:
        for end in (first, second):
            assert same_sampling(end_of(plain.stream(patches)), end)


def test_a_prepared_turn_of_the_past_is_refused(
    reference_model: MimoAudio, clips: dict[str, Path]
) -> None:
    with reference_model.session(overrides=OPTIONS) as session:
        prepared = session.prepare(clips["tiny"])
        assert prepared is not None
        with pytest.raises(MimoEdgeError, match="give it alone"):
            session.stream(prepared, text="Hello.")
        end_of(session.stream(prepared))
        with pytest.raises(MimoEdgeError, match="prepare it again"):
            session.stream(prepared)
        for wrong in (np.zeros((2, 4, 3), np.int64), np.zeros((0, 4, 8), np.int64)):
            with pytest.raises(MimoEdgeError, match="the patches have shape"):
                session.prepare(wrong)


def answered(session: Session, engine: Engine, clip: Path) -> None:
    """A turn whose answer is 12 text tokens and 15 patches, as the model interleaves them."""
    text = "one two three four five six seven eight nine ten eleven twelve"
    while len(engine.tokenizer.encode(text)) > 12:
        text = text.rpartition(" ")[0]
    patches = engine.hearing.listen(clip)
    patches = np.resize(patches, (15, *patches.shape[1:]))
    whole = engine.layout.positions([InterleavedPiece(text, patches)])
    session.turns[-1] = prompts.Exchange(
        request=session.turns[-1].request, answer=Positions(whole.text_ids[1:-1], whole.codes[1:-1])
    )


@pytest.mark.parametrize("heard", [0, 1, 5, 6, 12, 14])
def test_after_a_cut_the_prompt_holds_what_was_heard(
    reference_model: MimoAudio, engine: Engine, clips: dict[str, Path], tmp_path: Path, heard: int
) -> None:
    layout, mark = engine.layout, engine.tokenizer.id
    with spoken(reference_model, clips["voice"]) as session:
        asked(session, clips["question"])
        answered(session, engine, clips["short"])
        answer = session.turns[0].answer
        assert isinstance(answer, Positions)
        session.warm()
        held = len(session.positions)
        # A part of a patch was not heard.
        text = session.keep_heard(heard * PATCH + PATCH - 1)
        kept = session.turns[0].answer
        assert isinstance(kept, Positions)

        is_patch = kept.text_ids == layout.empty_id
        assert is_patch.sum() == heard
        body = len(kept) - (kept.text_ids[-1] == mark("<|eot|>"))
        assert kept[:body].common_prefix(answer) == body
        assert kept.text_ids.tolist().count(mark("<|eot|>")) == 1
        said = engine.tokenizer.decode(answer.text_ids[answer.text_ids != layout.empty_id].tolist())
        assert said.startswith(text) and len(text) <= len(said) * (heard + 1) / 15

        # Nothing of the rest is in the cache, and what was heard is not evaluated again.
        assert len(session.positions) < held
        voice = engine.hearing.listen(clips["voice"])
        opening = layout.positions(prompts.until_request(session.turns, system=SYSTEM, voice=voice))
        assert session.positions.common_prefix(opening) == len(session.positions)
        assert len(opening) - len(session.positions) <= 8
        session.save(tmp_path / "cut.npz")
        known = len(session.positions)
        end = end_of(session.stream(clips["short"]))
        assert end.stats.cached_positions == known
        ids = text_ids(session)
        turns = session.turns
    closing = [mark("<|eostm|>"), mark("<|im_end|>")]
    tail = [*kept.text_ids.tolist(), *closing]
    assert any(ids[at : at + len(tail)] == tail for at in range(len(ids)))
    with reference_model.load_session(tmp_path / "cut.npz", overrides=OPTIONS) as loaded:
        again = end_of(loaded.stream(clips["short"]))
        assert again.stats.cached_positions == end.stats.cached_positions
        assert same_sampling(again, end)
    with spoken(reference_model, clips["voice"]) as fresh:
        fresh.turns.append(turns[0])
        assert same_sampling(end_of(fresh.stream(clips["short"])), end)


def test_an_answer_that_was_cancelled_while_generated(
    reference_model: MimoAudio, clips: dict[str, Path]
) -> None:
    cancel = threading.Event()
    with spoken(reference_model, clips["voice"]) as session:
        events = session.stream(clips["question"], cancel=cancel)
        next(events)
        cancel.set()
        assert end_of(events).reason == "cancelled"
        assert session.keep_heard(0) == ""
        assert isinstance(session.turns[0].answer, Positions)
        assert len(session.turns[0].answer) == 1  # <|eot|>
        assert session.keep_heard(10 * PATCH) == ""  # What is gone does not come back.
        assert end_of(session.stream(clips["short"])).stats.cached_positions > 20
        assert len(session.turns) == 2


def test_what_was_heard_to_its_end_stays(
    reference_model: MimoAudio, engine: Engine, clips: dict[str, Path]
) -> None:
    with spoken(reference_model, clips["voice"]) as session:
        with pytest.raises(MimoEdgeError, match="0 turns"):
            session.keep_heard(0)
        asked(session, clips["question"])
        answered(session, engine, clips["short"])
        answer = session.turns[0].answer
        assert session.keep_heard(15 * PATCH).startswith("one two")
        assert session.turns[0].answer is answer
        with pytest.raises(MimoEdgeError, match="after -1 samples"):
            session.keep_heard(-1)
    with reference_model.session(reply="text", overrides=OPTIONS) as session:
        written = session.ask(clips["short"]).text
        assert session.keep_heard(0) == session.turns[0].answer == written


@pytest.mark.parametrize(
    ("finished", "heard", "expected"),
    [(True, 5, "Hello"), (True, 9, "Hello there,"), (False, 6, "Hello"), (False, 10, "Hello")],
)
def test_the_text_heard_is_an_estimate(
    engine: Engine, finished: bool, heard: int, expected: str
) -> None:
    """By proportion; text without an end is taken to need two patches for each token."""
    layout = engine.layout
    ids = engine.tokenizer.encode("Hello there, friend.")
    patches = np.zeros((10, 4, 8), dtype=np.int64)
    answer = concatenate([layout.text(ids), layout.audio(patches)])
    part = heard_part(answer, heard, finished=finished, layout=layout, tokenizer=engine.tokenizer)
    assert part.text == expected
    assert part.patches == heard and not part.complete
    assert len(part.positions) == len(ids) + heard + 1
