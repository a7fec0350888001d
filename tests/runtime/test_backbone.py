"""Traps of llama.cpp that cost nothing but time, so that no result would show them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import llama_cpp
import numpy as np
import pytest

from mimo_edge.config import RuntimeOptions
from mimo_edge.engine import Engine


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
        sequence.extend(np.zeros((300, width), dtype=np.float32))
    finally:
        llama_cpp.llama_process = process
        sequence.close()
    assert len(outputs) == 4  # 128, 128, 43 and the last
    assert outputs == [0, 0, 0, 1]


def test_a_core_is_left_to_the_sound(
    reference_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only while it is asked for, and only by positions that come alone."""
    monkeypatch.setattr("mimo_edge.cores.usable_cores", lambda: 4)
    threads = []
    kept = llama_cpp.llama_set_n_threads

    def note(context: int, alone: int, prompt: int) -> None:
        threads.append((alone, prompt))
        kept(context, alone, prompt)

    monkeypatch.setattr(llama_cpp, "llama_set_n_threads", note)
    options = RuntimeOptions(threads=4, context=64, device="cpu")
    with contextlib.closing(Engine.load(reference_bundle, options)) as engine:
        position = np.zeros((1, engine.manifest.backbone.hidden_size), dtype=np.float32)
        sequence = engine.backbone.new_sequence()
        with pytest.raises(KeyboardInterrupt), sequence.beside_sound():
            sequence.feed(position)
            raise KeyboardInterrupt
        sequence.feed(position)
        with sequence.beside_sound():
            sequence.feed(position)
            sequence.close()  # as when the program ends in the middle of an answer
    assert threads == [(3, 4), (4, 4), (3, 4)]
