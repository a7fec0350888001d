"""Traps of llama.cpp that cost nothing but time, so that no result would show them."""

from __future__ import annotations

import llama_cpp
import numpy as np

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
