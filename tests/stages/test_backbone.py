"""Traps of llama.cpp that cost nothing but time, so that no result would show them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import llama_cpp
import numpy as np
import pytest

from mimo_edge.engine import Engine
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.system.spare_cores import SpareCores
from tests.system.test_spare_cores import Machine


def test_prompt_positions_compute_no_logits(engine: Engine) -> None:
    """A product with the whole vocabulary for each of them would be in vain."""
    sequence = engine.backbone.new_sequence()
    outputs = []
    process = llama_cpp.llama_process

    def spy(context: int, kind: int, batch: int) -> int:
        status = process(context, kind, batch)
        positions = range(300)
        outputs.append(sum(bool(llama_cpp.llama_get_logits_ith(context, p)) for p in positions))
        return int(status)

    llama_cpp.llama_process = spy
    try:
        width = engine.manifest.backbone.hidden_size
        rows = np.zeros((300, width), dtype=np.float32)
        engine.backbone.evaluate([(sequence, rows, 1)])
    finally:
        llama_cpp.llama_process = process
        sequence.close()
    assert len(outputs) == 3  # 256, 43 and the last
    assert outputs == [0, 0, 1]


@pytest.mark.parametrize("kept", [1, 4])
def test_several_outputs_of_one_sequence(reference_bundle: Path, kept: int) -> None:
    """Each is what it is one by one; two sequences beside each other, more than a batch holds."""
    options = RuntimeOptions(
        threads=1, context=512, device="cpu", kv_type="f32", flash_attention=False
    )
    with contextlib.closing(Engine.load(reference_bundle, options)) as engine:
        backbone = engine.backbone
        width = engine.manifest.backbone.hidden_size
        rows = np.random.default_rng(0).normal(size=(280, width)).astype(np.float32)
        one, other = backbone.new_sequence(), backbone.new_sequence()
        wanted = []
        for row in rows:
            ((output,),) = backbone.evaluate([(one, row[None], 1)])
            wanted.append(output)
        one.truncate(kept)
        found, none = backbone.evaluate([(one, rows[kept:], 275), (other, rows[:9], 0)])
        assert none == []
        (last,) = backbone.evaluate([(other, rows[9:12], 3)])
        pairs = [*zip(found, wanted[-275:], strict=True), *zip(last, wanted[9:12], strict=True)]
        for output, expected in pairs:
            np.testing.assert_allclose(output.logits, expected.logits, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(output.hidden, expected.hidden, rtol=1e-4, atol=1e-4)
        one.close()
        other.close()


@pytest.mark.parametrize(("chosen", "expected"), [(0, [4, 3, 4, 2, 4]), (4, [4] * 5)])
def test_cores_are_left_to_sound_and_other_programs(
    chosen: int, expected: list[int], reference_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While they need them, and unless somebody chose the number of threads."""
    machine = Machine(4)
    monkeypatch.setattr("mimo_edge.stages.machine.placement.fast_cores", lambda: 4)
    monkeypatch.setattr("mimo_edge.stages.machine.placement.logical_processors", lambda: 4)
    monkeypatch.setattr("mimo_edge.stages.machine.placement.LARGE_BYTES", 0)
    monkeypatch.setattr("mimo_edge.system.spare_cores.usable_cores", lambda: 4)
    spare_cores = SpareCores(machine.times, lambda: machine.now)
    monkeypatch.setattr("mimo_edge.engine.SpareCores", lambda: spare_cores)
    threads = []
    kept = llama_cpp.llama_set_n_threads

    def note(context: int, alone: int, prompt: int) -> None:
        assert alone == prompt
        threads.append(alone)
        kept(context, alone, prompt)

    monkeypatch.setattr(llama_cpp, "llama_set_n_threads", note)
    options = RuntimeOptions(threads=chosen, context=64, device="cpu")
    with contextlib.closing(Engine.load(reference_bundle, options)) as engine:
        position = np.zeros((1, engine.manifest.backbone.hidden_size), dtype=np.float32)
        sequence = engine.backbone.new_sequence()
        engine.backbone.evaluate([(sequence, position, 0)])
        with spare_cores.taken():
            engine.backbone.evaluate([(sequence, position, 0)])
        engine.backbone.evaluate([(sequence, position, 0)])
        machine.run(0.4, others=2.0, own=2.0)
        engine.backbone.evaluate([(sequence, position, 0)])
        machine.run(0.4, others=0.0, own=2.0)
        engine.backbone.evaluate([(sequence, position, 0)])
        sequence.close()
    assert threads == expected
