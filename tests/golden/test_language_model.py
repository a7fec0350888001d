"""Prompts, backbone, patch encoder and decoder, sampler, against the reference's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mimo_edge.engine import Engine
from mimo_edge.generation.answer import GenerationOptions
from mimo_edge.generation.position_cache import PositionCache
from mimo_edge.prompt.positions import Positions
from mimo_edge.stages.sampling import GREEDY, SamplerOptions, candidates
from tests.conftest import EXACT

from .folder import STOPS, Golden, relative
from .prompts import PROMPTS

MakePrompt = Callable[[str], Positions]


@pytest.fixture(scope="module", params=["onnx", "gguf"])
def engine(request: pytest.FixtureRequest, engine: Engine, gguf_bundle: Path) -> Iterator[Engine]:
    """Both forms of patch encoder and patch decoder."""
    if request.param == "onnx":
        yield engine
        return
    other = Engine.load(gguf_bundle, replace(EXACT, patches="gguf"))
    yield other
    other.close()


@pytest.fixture(scope="module")
def prompt(golden: Golden, engine: Engine) -> MakePrompt:
    """Positions of a golden prompt, made from its texts and its audio files."""
    heard: dict[str, NDArray[np.int64]] = {}

    def listen(clip: str) -> NDArray[np.int64]:
        if clip not in heard:
            heard[clip] = engine.hearing.listen(golden.audio(clip))
        return heard[clip]

    return lambda name: engine.layout.positions(PROMPTS[name](listen))


@pytest.fixture
def cache(engine: Engine) -> Iterator[PositionCache]:
    cache = engine.new_cache()
    yield cache
    cache.close()


def given(golden: Golden, engine: Engine, name: str) -> Positions:
    """The reference's own prompt matrix as positions: no text goes through our tokenizer."""
    text, codes = golden.positions(f"prompt/{name}", engine.manifest.patch.group_size)
    return Positions(text.astype(np.int32), codes.astype(np.int64))


def test_prompt(golden: Golden, engine: Engine, prompt: MakePrompt, prompt_name: str) -> None:
    group = engine.manifest.patch.group_size
    text, codes = golden.positions(f"prompt/{prompt_name}", group)
    found = prompt(prompt_name)
    np.testing.assert_array_equal(found.text_ids, text)
    np.testing.assert_array_equal(found.codes, codes)


def test_embeds(golden: Golden, engine: Engine, cache: PositionCache, embeds_name: str) -> None:
    found = engine.caches.embed(given(golden, engine, embeds_name))
    assert relative(found, golden[f"embeds/{embeds_name}"]) <= 1e-3


def test_hidden(golden: Golden, engine: Engine, cache: PositionCache, hidden_name: str) -> None:
    output, _ = cache.prefill(given(golden, engine, hidden_name))
    assert relative(output.hidden, golden[f"hidden/{hidden_name}"].reshape(-1)) <= 1e-3


def test_logits(golden: Golden, engine: Engine, cache: PositionCache, logits_name: str) -> None:
    output, _ = cache.prefill(given(golden, engine, logits_name))
    assert relative(output.logits, golden[f"logits/{logits_name}"].reshape(-1)) <= 1e-3


def test_greedy(
    golden: Golden,
    engine: Engine,
    cache: PositionCache,
    prompt: MakePrompt,
    greedy_name: str,
) -> None:
    """From texts and audio files to generated ids and codes, nothing taken from the reference."""
    stops = golden.settings["prompts"][greedy_name]["stops"]
    options = GenerationOptions(
        text=GREEDY,
        codes=GREEDY,
        stops=tuple(STOPS[stop] for stop in stops),
        max_new_tokens=golden.settings["max_new"],
    )
    patch = engine.manifest.patch
    text, codes = golden.positions(f"greedy/{greedy_name}", patch.group_size)
    empty = np.broadcast_to(patch.empty_ids, (patch.group_size, patch.channels))
    steps = list(engine.generation.steps(cache, prompt(greedy_name), options))
    np.testing.assert_array_equal([step.text_id for step in steps], text)
    np.testing.assert_array_equal(
        [empty if step.patch is None else step.patch for step in steps], codes
    )


def test_local(golden: Golden, engine: Engine) -> None:
    if "local/in" not in golden.numbers:
        pytest.skip("the golden folder holds no local/in")
    rng = np.random.default_rng(0)
    found = [engine.patch_decoder.decode_from(x, GREEDY, rng) for x in golden["local/in"]]
    np.testing.assert_array_equal(found, golden["local/out"])


def test_sampler(golden: Golden, sampler_case: str) -> None:
    temperature, top_k, top_p = golden.settings["sampler_cases"][int(sampler_case)]
    options = SamplerOptions(temperature=temperature, top_k=top_k, top_p=top_p)
    ids, weights = candidates(golden["sampler/scores"][0], options)
    found = np.zeros(golden["sampler/scores"].shape[1])
    found[ids] = weights
    expected = golden[f"sampler/{sampler_case}"][0]
    assert np.abs(found - expected).max() <= 1e-6
    # Nothing that the reference dropped can be drawn, and nothing it kept is missing.
    np.testing.assert_array_equal(found > 0, expected > 0)
