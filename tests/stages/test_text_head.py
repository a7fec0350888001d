"""The language model's head, where only the hidden state or a few text ids are wanted."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from numpy.typing import NDArray

from mimo_edge.bundle.default_bundle import demo_bundle
from mimo_edge.engine import Engine
from mimo_edge.stages.backbone import Backbone
from mimo_edge.stages.llama.batch import BackboneOutput
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from tests.conftest import EXACT


@pytest.fixture
def skipping() -> Iterator[Engine]:
    """The demo model, whose head is computed only where logits are wanted."""
    bundle = demo_bundle()
    assert bundle is not None
    engine = Engine.load(bundle, RuntimeOptions(threads=1, device="cpu", full_head=False))
    yield engine
    engine.close()


def rows_of(engine: Engine, count: int) -> NDArray[np.float32]:
    return engine.backbone.embed(np.arange(40, 40 + count, dtype=np.int32))


@pytest.mark.parametrize("count", [1, 5])
def test_hidden_states_alone(skipping: Engine, count: int) -> None:
    """They are those that come with logits, and the logits of other calls stay right."""
    backbone = skipping.backbone
    sequence, other = backbone.new_sequence(), backbone.new_sequence()
    rows = rows_of(skipping, 4 + count)
    backbone.evaluate([(sequence, rows[:4], 0), (other, rows[:4], 0)])
    firsts = []
    process = llama_cpp.llama_process

    def spy(context: int, kind: int, batch: int) -> int:
        status = process(context, kind, batch)
        logits = llama_cpp.llama_get_logits(context)
        size = skipping.manifest.backbone.vocab_size
        firsts.append(np.ctypeslib.as_array(logits, (size,)).copy())
        return int(status)

    llama_cpp.llama_process = spy
    try:
        work = [(sequence, rows[4:], count), (other, rows[4:5], 1)]
        results = []
        for logits in (True, False, True):
            results.append(backbone.evaluate(work, logits=logits))
            for one in (sequence, other):
                one.truncate(4)
    finally:
        llama_cpp.llama_process = process
    full, bare, again = results
    computed = [np.array_equal(first, full[0][0].logits) for first in firsts]
    assert computed == [True, False, True]
    for with_logits, without, later in zip(full, bare, again, strict=True):
        for expected, found, after in zip(with_logits, without, later, strict=True):
            assert not found.has_logits and not len(found.logits)
            np.testing.assert_array_equal(found.hidden, expected.hidden)
            np.testing.assert_array_equal(after.hidden, expected.hidden)
            np.testing.assert_array_equal(after.logits, expected.logits)


@contextlib.contextmanager
def counted_reads() -> Iterator[list[int]]:
    """A list that grows by each call in which llama.cpp reads its weights."""
    process, calls = llama_cpp.llama_process, []

    def counted(context: int, kind: int, batch: int) -> int:
        calls.append(batch)
        return int(process(context, kind, batch))

    llama_cpp.llama_process = counted
    try:
        yield calls
    finally:
        llama_cpp.llama_process = process


@pytest.mark.parametrize("lengths", [(2,), (70,), (300,), (1, 9), (5, 1, 3, 250)])
def test_the_end_of_a_prompt_is_read_with_the_rest(
    engine: Engine, reference_bundle: Path, lengths: tuple[int, ...]
) -> None:
    """Its output is that of the last position by itself, and the cache holds the same; the weights
    are read for each batch, and not once more."""
    rows = [rows_of(engine, length) for length in lengths]

    def run(backbone: Backbone) -> tuple[list[BackboneOutput], int]:
        sequences = [backbone.new_sequence() for _ in rows]
        with counted_reads() as reads:
            found = backbone.evaluate(
                [(one, new, 1) for one, new in zip(sequences, rows, strict=True)],
                stop=lambda: False,
            )
        found += backbone.evaluate([(one, rows[0][:1], 1) for one in sequences])
        assert [one.length for one in sequences] == [length + 1 for length in lengths]
        for one in sequences:
            one.close()
        return [output for (output,) in found], len(reads)

    options = replace(EXACT, full_head=False)
    with contextlib.closing(Engine.load(reference_bundle, options)) as finishing:
        found, reads = run(finishing.backbone)
        batches = -(-sum(lengths) // finishing.backbone.opened().largest_batch)
    expected, more_reads = run(engine.backbone)
    for mine, theirs in zip(found, expected, strict=True):
        scale = float(np.abs(theirs.logits).max())
        np.testing.assert_allclose(mine.logits, theirs.logits, atol=1e-5 * scale)
        np.testing.assert_allclose(mine.hidden, theirs.hidden, atol=1e-5)
    assert reads == batches <= more_reads


def rounded(hidden: NDArray[np.float32]) -> NDArray[np.float32]:
    """As llama.cpp rounds the inputs of 4-bit products: 8 bits for 256 numbers at a time."""
    blocks = hidden.reshape(-1, 256)
    peaks = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    steps = peaks / -127
    return np.asarray((np.rint(blocks / steps) * steps).reshape(-1), dtype=np.float32)


def test_logits_of_a_few(skipping: Engine, engine: Engine) -> None:
    """They are llama.cpp's, but for its rounding of the hidden state to 8 bits, which is left out
    here; in float32 there is none."""
    for model, tolerance in ((skipping, 0.05), (engine, 1e-4)):
        sequence = model.backbone.new_sequence()
        ((output,),) = model.backbone.evaluate([(sequence, rows_of(model, 6), 1)])
        ids = (3, 70, 71)
        hidden = rounded(output.hidden) if model is skipping else output.hidden
        found = model.backbone.logits_of(hidden, ids)
        np.testing.assert_allclose(found, output.logits[list(ids)], atol=tolerance)
        sequence.close()


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself SIGINT there")
def test_no_interruption_is_lost(skipping: Engine) -> None:
    """Ctrl-C may arrive while llama.cpp asks Python which operations are to be looked at."""
    backbone = skipping.backbone
    sequence = backbone.new_sequence()
    row = rows_of(skipping, 1)
    for round_ in range(60):
        interrupt = threading.Timer(0.002 + 0.0001 * round_, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            interrupt.start()
            end = time.monotonic() + 20
            while time.monotonic() < end:
                sequence.truncate(0)
                backbone.evaluate([(sequence, row, 1)], logits=bool(round_ % 2))
        interrupt.join()
