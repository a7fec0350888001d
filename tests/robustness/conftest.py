"""What the robustness tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import DEFAULT_GOLDEN

from .mutant import World
from .worlds import make_world


@pytest.fixture(scope="session")
def world(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    folder = tmp_path_factory.mktemp("sound")
    return make_world(default_bundle, DEFAULT_GOLDEN, folder)
