"""What was measured of a bundle is remembered, for this machine and these versions only."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import Manifest
from mimo_edge.stages.machine import measured as module
from mimo_edge.stages.machine.measured import (
    Measured,
    best_way,
    measured_file,
    read_measured,
    write_measured,
)

TIMES = Measured(seconds={"backbone": {"cpu": 0.1, "Vulkan0": 0.02}, "audio_encoder": {"cpu": 0.3}})


@pytest.fixture
def manifest(default_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """That of a bundle, and an empty cache of the user's."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    return load_manifest(default_bundle)


def test_the_quickest_of_the_ways_that_are_possible() -> None:
    assert best_way(TIMES, "backbone", ["cpu", "Vulkan0"], "cpu") == "Vulkan0"
    assert best_way(TIMES, "backbone", ["cpu"], "cpu") == "cpu"
    assert best_way(TIMES, "backbone", ["cpu", "Vulkan1"], "Vulkan1") == "Vulkan1"  # never timed
    assert best_way(TIMES, "patch_decoder", ["cpu", "gguf cpu"], "cpu") == "cpu"
    assert best_way(None, "backbone", ["cpu", "Vulkan0"], "Vulkan0") == "Vulkan0"


def test_it_is_kept_for_this_machine(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_measured(manifest) is None
    path = write_measured(manifest, TIMES)
    assert read_measured(manifest) == TIMES and path == measured_file(manifest)
    others = replace(manifest, files=manifest.files[:-1])
    assert read_measured(others) is None
    monkeypatch.setattr(module, "processor_name", lambda: "another processor")
    assert read_measured(manifest) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"seconds": {"backbone": {"cpu": "fast"}}}',
        b'{"seconds": {"backbone": {"cpu": -1.0}}}',
        b'{"seconds": {}, "choice": "cpu"}',
        b" " * 100_000,
    ],
)
def test_a_damaged_file_is_not_used(
    manifest: Manifest, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    write_measured(manifest, TIMES).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert read_measured(manifest) is None
    assert "is not used" in caplog.text
    write_measured(manifest, TIMES)
    assert read_measured(manifest) == TIMES
