"""onnxruntime's providers: which there are, and what happens where one is missing or fails.

The ordinary onnxruntime has one besides the processor's, Azure's, which computes nothing on this
machine and leaves all of it to the processor: enough to go that way for real.
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.stages.audio_tokenizer import AudioTokenizer
from mimo_edge.stages.graphs import providers as graph_providers
from mimo_edge.stages.graphs.graph import Graph
from mimo_edge.stages.graphs.providers import (
    PROVIDERS,
    Provider,
    available_providers,
    choose_providers,
)
from mimo_edge.stages.machine.measured import Measured
from mimo_edge.stages.machine.placement import Placement, Providers, share_cores
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.system.spare_cores import SpareCores
from tests.tools.command_line import Command

AZURE = Provider(
    name="azure", title="AzureExecutionProvider", package="onnxruntime", machines="elsewhere"
)
NOISE = (0.1 * np.random.default_rng(0).standard_normal(24_000)).astype(np.float32)


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Provider:
    """A second provider that is really there."""
    if AZURE.title not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has no provider but the processor's")
    monkeypatch.setattr(graph_providers, "PROVIDERS", (*PROVIDERS, AZURE))
    return AZURE


def tokenizer(folder: Path, provider: str) -> contextlib.closing[AudioTokenizer]:
    manifest = load_manifest(folder)
    places = share_cores(1, 0, Providers(audio_encoder=provider, audio_decoder=provider))
    return contextlib.closing(AudioTokenizer.load(folder, manifest, places, SpareCores()))


def test_another_provider_computes_the_same(default_bundle: Path, azure: Provider) -> None:
    with (
        tokenizer(default_bundle, "cpu") as plain,
        tokenizer(default_bundle, azure.name) as other,
    ):
        assert plain.providers() == ("cpu",) * 3 and other.providers() == (azure.name,) * 3
        codes = plain.encode(NOISE)
        np.testing.assert_array_equal(other.encode(NOISE), codes)
        np.testing.assert_array_equal(other.decode(codes), plain.decode(codes))


def test_one_that_is_not_installed(default_bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    missing = next(p for p in PROVIDERS if p not in available_providers())
    assert choose_providers(missing.name, None) == Providers()
    (notice,) = caplog.messages
    assert f"the provider {missing.name} is not here" in notice and missing.package in notice
    with tokenizer(default_bundle, missing.name) as tokens:
        assert tokens.providers() == ("cpu",) * 3


def test_a_library_that_does_not_load(
    default_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """onnxruntime itself says what is wrong with it."""
    library = tmp_path / "libbroken.so"
    library.write_bytes(b"no library")
    package = SimpleNamespace(
        get_library_path=lambda: str(library), get_ep_name=lambda: "BrokenExecutionProvider"
    )
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_broken", package)
    broken = replace(
        AZURE, name="broken", title="BrokenExecutionProvider", module="onnxruntime_ep_broken"
    )
    monkeypatch.setattr(graph_providers, "PROVIDERS", (*PROVIDERS, broken))
    assert broken not in available_providers()
    with tokenizer(default_bundle, "broken") as tokens:
        assert tokens.providers() == ("cpu",) * 3
    assert "onnxruntime_ep_broken cannot be used (" in caplog.text


def test_one_that_fails_while_it_computes(
    default_bundle: Path, azure: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """The processor goes on; what it cannot compute either is a sentence."""
    manifest = load_manifest(default_bundle)
    place = Placement(threads=1, provider=azure.name)
    with Graph.load(default_bundle, "vocoder", manifest, place) as graph:
        assert graph.provider == azure.name
        with pytest.raises(MimoEdgeError, match=r"vocoder\.onnx cannot be computed"):
            graph.run({"mel": np.zeros((1, 40, 3), dtype=np.float32)})
        assert graph.provider == "cpu"
        mel = np.zeros((1, 40, manifest.audio.n_mels), dtype=np.float32)
        assert graph.run({"mel": mel})[0].size
    assert "vocoder.onnx runs on the processor, since the provider azure" in caplog.text


def test_an_unknown_name_is_one_sentence(
    default_bundle: Path, command: Command, clips: dict[str, Path]
) -> None:
    names = [provider.name for provider in available_providers()]
    with pytest.raises(MimoEdgeError, match=rf"no provider 'gpu'; here there are auto, {names[0]}"):
        MimoAudio.load(default_bundle, RuntimeOptions(provider="gpu"))
    result = command("transcribe", "--provider", "qnn", clips["tiny"])
    assert result.status == 1 and result.err.count("\n") == 1
    assert "no provider 'qnn'" in result.err and "coreml" in result.err


def test_the_quickest_is_taken_if_nobody_decides(azure: Provider) -> None:
    measured = Measured(
        seconds={
            "audio_encoder": {"cpu": 0.2, azure.name: 0.1, "webgpu": 0.01},
            "audio_decoder": {"cpu": 0.1, azure.name: 0.2},
        }
    )
    here = [provider.name for provider in available_providers()]
    if "webgpu" in here:
        pytest.skip("webgpu is installed, which this test takes for missing")
    assert choose_providers("auto", measured) == Providers(audio_encoder=azure.name)
    assert choose_providers("auto", None) == Providers()
    assert choose_providers("cpu", measured) == Providers()
    both = Providers(audio_encoder=azure.name, audio_decoder=azure.name)
    assert choose_providers("Azure", measured) == both
