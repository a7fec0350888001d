"""Whatever is raised in the middle of a turn, wherever: the turn was not, and the next one answers
as in a conversation in which it never was.
"""

from __future__ import annotations

import functools
import itertools
import linecache
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import llama_cpp
import numpy as np
import pytest

import mimo_edge
from mimo_edge.generation import answer as answering
from mimo_edge.generation import cache_shelf as cache
from mimo_edge.generation.events import TextDelta, TurnEnd
from mimo_edge.generation.sound import SoundOptions
from mimo_edge.model import MimoAudio
from mimo_edge.session import Session
from mimo_edge.stages import audio_tokenizer, patch_decoder, sampling
from mimo_edge.stages.graphs import graph as graphs
from mimo_edge.stages.llama import context as backbone_context
from mimo_edge.tasks import Overrides

Ask = Callable[[Session, Path], object]

ROOT = str(Path(mimo_edge.__file__).parent)
OPTIONS = Overrides(max_new_tokens=10, seed=11)
"""With this seed the random model begins with text and says some patches."""


class Unlucky:
    """A function whose call number `count` raises, before it does anything or after it is done."""

    def __init__(self, call: Callable[..., Any], count: int, error: BaseException, after: bool):
        self._call, self._left, self._error, self._after = call, count, error, after
        self.raised = False

    def __call__(self, *args: Any, **options: Any) -> Any:
        self._left -= 1
        if self._left:
            return self._call(*args, **options)
        self.raised = True
        if self._after:
            self._call(*args, **options)
        raise self._error

    def __get__(self, owner: object, kind: type) -> Callable[..., Any]:
        """As a method."""
        return lambda *args, **options: self(owner, *args, **options)


def begin(model: MimoAudio) -> Session:
    session = model.session(system="Be kind.", overrides=OPTIONS)
    session.ask(text="First.")
    return session


def next_turn(session: Session) -> TurnEnd:
    *_, end = session.stream(text="And then?")
    assert isinstance(end, TurnEnd)
    return end


def check(session: Session, model: MimoAudio, *, turns: int | None = 1) -> None:
    """The session goes on like a fresh one with the same history."""
    assert turns is None or len(session.turns) == turns
    history = list(session.turns)
    found = next_turn(session)
    with model.session(system="Be kind.", overrides=OPTIONS) as fresh:
        fresh.turns += history
        expected = next_turn(fresh)
    np.testing.assert_array_equal(found.text_ids, expected.text_ids)
    np.testing.assert_array_equal(found.codes, expected.codes)


def ask(session: Session, clip: Path) -> object:
    return session.ask(clip)


def speak(session: Session, clip: Path) -> object:
    return list(session.stream(clip, sound=True))


def prepare(session: Session, clip: Path) -> object:
    session.prepare(text="No, something else.")
    return session.ask(session.prepare(clip))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("where", "name", "asked"),
    [
        (llama_cpp, "llama_process", prepare),
        (llama_cpp, "llama_memory_seq_rm", prepare),
        (llama_cpp, "llama_get_logits_ith", ask),
        (llama_cpp, "llama_token_to_piece", ask),
        (llama_cpp, "llama_tokenize", ask),
        (graphs.Graph, "run", ask),
        (graphs.Graph, "run_bound", ask),
        (graphs.Graph, "run_bound", speak),
        (graphs.Graph, "run_stateful", ask),
        (graphs.Graph, "run_stateful", speak),
        (audio_tokenizer.DecoderStream, "push", speak),
        (audio_tokenizer.DecoderStream, "finish", speak),
        (audio_tokenizer.AudioTokenizer, "decode", ask),
        (answering, "sample", ask),
        (patch_decoder, "sample", ask),
        (cache.CacheShelf, "evaluate", ask),
        (backbone_context.BackboneContext, "feed", ask),
        (backbone_context.BackboneContext, "extend", ask),
    ],
)
def test_a_failure_in_a_stage(
    where: Any,
    name: str,
    asked: Ask,
    after: bool,
    reference_model: MimoAudio,
    clips: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first calls of each, one after the other; Ctrl-C and a full memory."""
    failed = 0
    for count, error in enumerate([KeyboardInterrupt(), MemoryError()] * 2, 1):
        with begin(reference_model) as session:
            unlucky = Unlucky(getattr(where, name), count, error, after)
            with monkeypatch.context() as patched:
                patched.setattr(where, name, unlucky)
                try:
                    asked(session, clips["tiny"])
                    raised = False
                except (KeyboardInterrupt, MemoryError):
                    raised = True
            assert raised == unlucky.raised
            if not raised:
                break
            check(session, reference_model)
            failed += 1
    assert failed


def test_a_failure_in_what_is_called_back(
    reference_model: MimoAudio, clips: dict[str, Path]
) -> None:
    """Of the text in `ask`, of the sound in its thread, and in the loop over the events."""

    def fail(_: object) -> None:
        raise ZeroDivisionError

    def loop(session: Session) -> None:
        for event in session.stream(clips["tiny"]):
            if isinstance(event, TextDelta):
                fail(event)

    for call in (
        lambda session: session.ask(clips["tiny"], on_text=fail),
        lambda session: list(session.stream(clips["tiny"], sound=SoundOptions(on_samples=fail))),
        loop,
    ):
        with begin(reference_model) as session:
            with pytest.raises(ZeroDivisionError):
                call(session)
            check(session, reference_model)


def test_an_interruption_at_any_line(reference_model: MimoAudio, clips: dict[str, Path]) -> None:
    """Ctrl-C is raised between any two lines; here between some hundred of them."""
    for asked, step in ((prepare, 409), (speak, 787)):
        for number in itertools.count(1, step):
            with begin(reference_model) as session:
                if not interrupt_at_line(number, functools.partial(asked, session, clips["tiny"])):
                    break
                check(session, reference_model, turns=None)


def interrupt_at_line(number: int, call: Callable[[], object]) -> bool:
    """Raise KeyboardInterrupt before this line of mimo_edge's; whether there were so many.

    Python itself keeps it out of where a lock is taken or released. A tracer is asked there, too:
    at the end of a block that holds a lock it is told the block's first line again, and what it
    raises then would leave the lock locked for ever. So those lines are passed over.
    """
    left = number

    def enter(frame: FrameType, event: str, _: object) -> Any:
        code = frame.f_code
        # What C calls back cannot raise: there an interruption is told and swallowed.
        called_back = code.co_filename.endswith(("llama_log.py", "audio/parts.py"))
        ours = code.co_filename.startswith(ROOT) and not called_back
        return line if ours and code.co_name not in ("use", "_alone") else None

    def line(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left <= 0 and not holds_lock(frame):
                sys.settrace(None)
                raise KeyboardInterrupt
        return line

    kept = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    except KeyboardInterrupt:
        assert left <= 0
    finally:
        sys.settrace(kept)
    return left <= 0


def holds_lock(frame: FrameType) -> bool:
    """Whether the line that comes next takes or releases a lock."""
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return text.startswith("with ") and any(
        name in text for name in ("lock", "_changed", "_opening")
    )


@pytest.fixture
def interruptible() -> Iterator[None]:
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, kept)


@pytest.mark.usefixtures("interruptible")
def test_a_real_interruption_at_any_time(
    reference_model: MimoAudio, clips: dict[str, Path]
) -> None:
    with begin(reference_model) as session:
        start = time.perf_counter()
        prepare(session, clips["tiny"])
        took = time.perf_counter() - start
    for moment in np.random.default_rng(5).uniform(0, took, 6):
        with begin(reference_model) as session:
            timer = threading.Timer(moment, os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                prepare(session, clips["tiny"])
                timer.join()
                time.sleep(0.01)
            except KeyboardInterrupt:
                pass
            check(session, reference_model, turns=None)


def test_a_failed_turn_drops_no_turn_before_it(
    reference_model: MimoAudio, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even those for which the context had no room any more."""
    with begin(reference_model) as session:
        session.turns *= 60
        kept = list(session.turns)
        unlucky = Unlucky(sampling.sample, 1, MemoryError(), False)
        monkeypatch.setattr("mimo_edge.generation.answer.sample", unlucky)
        with pytest.raises(MemoryError):
            session.ask(clips["tiny"])
        assert [*map(id, session.turns)] == [*map(id, kept)]
        session.ask(clips["tiny"])
        assert len(session.turns) < 61
