"""Wrong use of a model is an error with a sentence, never a crash or a hang of native code.

Everything here runs in processes of its own: a crash would end the tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.wrong_use import check


@pytest.mark.parametrize(
    "code",
    [
        # A session whose model was closed, and its generator.
        """
model = load()
session = model.session(overrides=short)
running = session.stream(clip)
next(running)
model.close()
refused(lambda: next(running))
for call in (
    lambda: session.ask(clip),
    lambda: next(session.stream(clip)),
    lambda: session.prepare(text="a"),
    lambda: session.warm(),
    lambda: session.add_turn(text="a", answer="b"),
    lambda: session.save("/nowhere/x.npz"),
):
    refused(call, "the model is closed")
session.close()
model.close()
""",
        # A model that was closed.
        """
model = load()
listener = model.listener()
codes = model.encode(clip)
kept = model.stream
model.close()
model.close()
import numpy as np
for call in (
    lambda: model.transcribe(clip),
    lambda: model.speak("a"),
    lambda: model.ask(clip, "a"),
    lambda: model.continue_speech(clip),
    lambda: model.encode(clip),
    lambda: model.decode(codes),
    lambda: model.session(),
    lambda: model.warm_up(),
    lambda: listener.patches(np.sin(np.arange(24000, dtype=np.float32))),
):
    refused(call, "the model is closed")
assert model.manifest and model.sample_rate
""",
        # A generator that outlives its model.
        """
with load() as model:
    running = model.session(overrides=short).stream(clip)
    next(running)
refused(lambda: next(running))
""",
        # The same with sound, which a thread decodes.
        """
with load() as model:
    running = model.session(overrides=short).stream(clip, sound=True)
    next(running)
refused(lambda: list(running))
""",
        # Two answers at once of one session.
        """
with load() as model, model.session(overrides=short) as session:
    expected = session.ask(clip).text
    session.turns.clear()
    first = session.stream(clip)
    second = session.stream(clip)
    third = session.stream(clip)
    next(first)
    refused(lambda: next(third), "busy")
    refused(lambda: session.ask(clip), "busy")
    refused(lambda: session.save("/nowhere/x.npz"), "busy")
    refused(lambda: session.keep_heard(0), "busy", "cannot be cut")
    list(first)
    assert len(session.turns) == 1
    refused(lambda: list(second), "another turn")
""",
        # What is called back calls the session, closes it or its model.
        """
with load() as model:
    session = model.session(overrides=short)
    refused(lambda: session.ask(clip, on_text=lambda _: session.ask(clip)), "busy")
    assert not session.turns
    session.ask(clip)
    refused(lambda: session.ask(clip, on_text=lambda _: session.close()))
    session = model.session(overrides=short)
    refused(lambda: session.ask(clip, on_text=lambda _: model.close()))
from mimo_edge.generation.sound import SoundOptions
for close in (lambda session, model: session.close(), lambda session, model: model.close()):
    for seed in range(6):
        with load() as model, model.session(overrides=Overrides(seed=seed)) as session:
            sound = SoundOptions(lookahead=0, on_samples=lambda _: close(session, model))
            try:
                list(session.stream(clip, sound=sound))
            except MimoEdgeError as error:
                assert "closed" in str(error), error
""",
        # A signal comes while llama.cpp computes, and its handler uses the model or closes it.
        """
import llama_cpp
original, told = llama_cpp.llama_process, []
def use(session, other):
    for call in (lambda: session.ask(text="a"), lambda: session.save("/nowhere/x.npz")):
        refused(call, "busy")
    refused(lambda: other.ask(text="a"), "from within a call")
    told.append("refused")
def close(session, other):
    session.close()
    model.close()
for handle in (use, close):
    def interrupted(*arguments):
        llama_cpp.llama_process = original
        status = original(*arguments)
        handle(session, other)
        return status
    with load() as model:
        session, other = model.session(overrides=short), model.session(overrides=short)
        llama_cpp.llama_process = interrupted
        if handle is use:
            session.ask(text="b")
        else:
            refused(lambda: session.ask(text="b"))
assert len(told) == 1
from mimo_edge.stages.llama.native import Native
freed = []
owner = Native("whole", freed.append, closed="it is closed")
other = Native("other part", freed.append, closed="it is closed", owner=owner)
native = Native("part", freed.append, closed="it is closed", owner=owner)
with native.use():
    refused(lambda: native.use().__enter__(), "from within a call")
    owner.close()
    assert freed == ["other part"]
    refused(native.check)
assert freed == ["other part", "part", "whole"]
owner.close()
assert len(freed) == 3
""",
        # Copies.
        """
import copy, pickle
with load() as model, model.session() as session:
    for copied in (model, session):
        refused(lambda: copy.deepcopy(copied), "load it there")
        refused(lambda: pickle.dumps(copied), "load it there")
""",
    ],
    ids=[
        "session of a closed model",
        "closed model",
        "outliving generator",
        "outliving sound",
        "interleaved",
        "called back",
        "signal",
        "copied",
    ],
)
def test_wrong_use_is_an_error(code: str, reference_bundle: Path, clips: dict[str, Path]) -> None:
    check(code, reference_bundle, clips["short"])


@pytest.mark.parametrize(
    "code",
    [
        # Three threads on one session: each gets an answer or an error.
        """
with load() as model, model.session(overrides=short) as session:
    told = []
    def ask():
        try:
            told.append(session.ask(clip).text)
        except MimoEdgeError as error:
            told.append(str(error))
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(told) == 3
    answers = [text for text in told if "busy" not in text]
    assert len(answers) == len(session.turns) >= 1
    session.ask(clip)
""",
        # The model is closed while other threads listen, answer and speak.
        """
def forever(call):
    begun.wait()
    try:
        while True: call()
    except MimoEdgeError as error:
        told.append(str(error))
long = Overrides(max_new_tokens=200, seed=3)
for wait in (0.0, 0.05, 0.2):
    model, told, begun = load(), [], threading.Barrier(4)
    session = model.session(overrides=long)
    calls = (
        lambda: session.ask(clip),
        lambda: model.encode(clip),
        lambda: list(model.session(overrides=long).stream(clip, sound=True)),
    )
    threads = [threading.Thread(target=forever, args=(call,)) for call in calls]
    for thread in threads: thread.start()
    begun.wait()
    threading.Event().wait(wait)
    model.close()
    for thread in threads: thread.join()
    assert len(told) == 3 and all("closed" in text for text in told), told
""",
        # Sessions that nobody closes go with their last reference.
        """
with load() as model:
    for _ in range(3):
        session = model.session(overrides=short)
        running = session.stream(clip)
        next(running)
        del session, running
        gc.collect()
    model.session().ask(text="Hello.")
""",
        # In a cycle of garbage, in any order.
        """
for _ in range(3):
    model = load()
    session = model.session(overrides=short)
    running = session.stream(clip, sound=True)
    next(running)
    model.session, session.model, session.running = session, model, running
    del model, session, running
    gc.collect()
""",
        # At the end of the program nothing was closed.
        """
model = load()
session = model.session(overrides=short)
running = session.stream(clip, sound=True)
next(running)
""",
        # At the end of the program a thread is still at work.
        """
model = load()
begun = threading.Event()
def work():
    while True:
        with contextlib.suppress(MimoEdgeError):
            model.session(overrides=short).ask(clip)
        begun.set()
threading.Thread(target=work, daemon=True).start()
begun.wait()
""",
    ],
    ids=[
        "one session, three threads",
        "closed meanwhile",
        "dropped",
        "cycle",
        "exit",
        "exit with a thread",
    ],
)
def test_threads_and_ends(code: str, reference_bundle: Path, clips: dict[str, Path]) -> None:
    check(code, reference_bundle, clips["short"])


TWO_THREADS = """
# Beside another answer the sums of flash attention and of a float16 cache are rounded differently.
exact = dataclasses.replace(options, kv_type="f32", flash_attention=False)
with MimoAudio.load(bundle, exact) as model:
    def ask(into):
        with model.session(overrides=short) as session:
            into += [session.ask(clip).text, session.ask(text="And then?").text]
    expected, told = [], ([], [])
    ask(expected)
    threads = [threading.Thread(target=ask, args=(into,)) for into in told]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert told[0] == told[1] == expected
"""


def test_two_threads_with_a_session_each(reference_bundle: Path, clips: dict[str, Path]) -> None:
    """Their answers are those of one after the other: so exactly only where all is float32."""
    check(TWO_THREADS, reference_bundle, clips["short"])
