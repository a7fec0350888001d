"""Hubs on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.tools.hub_client import MODEL
from tests.tools.hub_server import Hub, hub_server
from tests.tools.safetensors_files import (
    AUDIO_TOKENIZER,
    LANGUAGE_MODEL,
    copy_language_model,
    write_checkpoint,
)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A model of two shards, 12 MiB each, among files nobody needs."""
    folder = copy_language_model(tmp_path / "served", weights=False)
    values = np.random.default_rng(0).integers(0, 99, (2, 3 << 20)).astype(np.float32)
    write_checkpoint(folder, {"a": ("F32", values[0]), "b": ("F32", values[1])}, shards=2)
    for name in ("README.md", "pytorch_model.bin", "modeling.py", "training_args.json"):
        (folder / name).write_text("not needed")
    (folder / "extra").mkdir()
    (folder / "extra" / "more.safetensors").write_text("not needed")
    with hub_server({MODEL: folder}) as server:
        yield server


@pytest.fixture
def both() -> Iterator[Hub]:
    """The two small repositories of a whole checkpoint."""
    with hub_server({"owner/m": LANGUAGE_MODEL, "owner/t": AUDIO_TOKENIZER}) as server:
        yield server
