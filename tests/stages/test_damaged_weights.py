"""NaN and codes that do not exist are one sentence, from the first stage that makes them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest

from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.stages.graphs.graph import BoundGraph, Graph
from mimo_edge.tasks import Overrides


def damage(monkeypatch: pytest.MonkeyPatch, graph: str, value: float) -> None:
    """One number of what that graph computes becomes `value`."""

    def spoiled(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(self: Graph, *args: Any, **options: Any) -> Any:
            result = method(self, *args, **options)
            if self._path.stem == graph:
                array = np.array(result[0])
                array.flat[array.size // 2] = value
                return [array] if isinstance(result, list) else array[None]
            return result

        return run

    def run_bound(self: Graph, bound: BoundGraph) -> None:
        in_place(self, bound)
        if self._path.stem == graph:
            logits = bound.outputs["logits"]
            logits.flat[logits.size // 2] = value

    in_place = Graph.run_bound
    monkeypatch.setattr(Graph, "run_bound", run_bound)
    for name in ("run", "run_stateful"):
        monkeypatch.setattr(Graph, name, spoiled(getattr(Graph, name)))


@pytest.mark.parametrize(
    ("graph", "value", "stage"),
    [
        ("audio_encoder", -1, "audio encoder computes the code -1"),
        ("audio_encoder", 1 << 40, "audio encoder computes the code 1099511627776"),
        ("patch_encoder", np.nan, "patch encoder"),
        ("patch_decoder", np.nan, "patch decoder"),
        ("patch_decoder", np.inf, "patch decoder"),
        ("audio_decoder", np.nan, "audio decoder"),
        ("vocoder", np.nan, "vocoder"),
    ],
)
@pytest.mark.parametrize("live", [False, True])
def test_a_damaged_graph(
    graph: str,
    value: float,
    stage: str,
    live: bool,
    model: MimoAudio,
    clips: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damage(monkeypatch, graph, value)
    for seed in range(12):  # a random model does not always speak
        with model.session(overrides=Overrides(max_new_tokens=24, seed=seed)) as session:
            try:
                if live:
                    list(session.stream(clips["tiny"], sound=True))
                else:
                    session.ask(clips["tiny"])
            except MimoEdgeError as error:
                assert f"the {stage}" in str(error) and "the weights are damaged" in str(error)
                assert not session.turns
                return
    pytest.fail("nobody noticed")


@pytest.mark.parametrize("output", ["llama_get_embeddings_ith", "llama_get_logits_ith"])
def test_a_damaged_language_model(
    output: str, model: MimoAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is not damaged by it."""
    original = getattr(llama_cpp, output)

    def spoiled(context: int, index: int) -> Any:
        values = original(context, index)
        ctypes.cast(values, ctypes.POINTER(ctypes.c_float))[3] = float("nan")
        return values

    with model.session(reply="text", overrides=Overrides(max_new_tokens=4, seed=1)) as session:
        with monkeypatch.context() as patched:
            patched.setattr(llama_cpp, output, spoiled)
            with pytest.raises(MimoEdgeError, match="the language model computes"):
                session.ask(text="Hello.")
        assert session.ask(text="Hello.").stats.text_tokens


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ([[0] * 7], "shape (1, 7)"),
        (np.zeros((2, 2, 8), dtype=np.int64), "shape (2, 2, 8)"),
        (np.zeros((2, 8)), "float64"),
        (np.zeros((2, 8), dtype=bool), "bool"),
        (np.full((2, 8), -1), "code -1"),
        (np.full((2, 8), 1 << 63, dtype=np.uint64), "code 9223372036854775808"),
        ("codes", "shape ()"),
        (np.array([[None] * 8]), "object"),
    ],
)
def test_codes_of_something_else(codes: Any, words: str, model: MimoAudio) -> None:
    with pytest.raises(MimoEdgeError) as raised:
        model.decode(codes)
    assert words in str(raised.value)


def test_codes_of_any_integers(model: MimoAudio) -> None:
    codes = np.ones((4, 8), dtype=np.int64)
    same: Any
    for same in (codes, codes.astype(np.uint8), codes.tolist(), codes.T.copy().T):
        np.testing.assert_array_equal(model.decode(same), model.decode(codes))


def test_patches_of_something_else(model: MimoAudio) -> None:
    with model.session() as session:
        for wrong in (
            np.zeros((0, 4, 8), dtype=np.int64),
            np.zeros((2, 3, 8), dtype=np.int64),
            np.full((2, 4, 8), -1),
            np.full((2, 4, 8), 1 << 40),
        ):
            with pytest.raises(MimoEdgeError, match="patches"):
                session.ask(wrong)


def test_what_a_listener_cannot_hear(model: MimoAudio) -> None:
    second = np.sin(np.arange(24000, dtype=np.float32))
    listener = model.listener()
    wrong: Any
    for wrong in (second[None], (second * 30000).astype(np.int16), np.full(24000, np.nan)):
        with pytest.raises(MimoEdgeError, match="what is heard"):
            listener.hear(wrong)
    assert len(listener.patches(second))
