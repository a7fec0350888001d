"""The sound server of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mimo_edge.devices import portaudio
from mimo_edge.errors import MimoEdgeError
from tests.tools.sound_server import SoundServer, missing_programs


@pytest.fixture(scope="session")
def sound_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundServer]:
    """Virtual devices; whoever takes one away has to bring it back."""
    if reason := missing_programs():
        pytest.skip(reason)
    try:
        portaudio.library()
    except MimoEdgeError as error:
        pytest.skip(str(error))
    server = SoundServer(_short(tmp_path_factory.mktemp("sound")))
    yield server
    server.close()


def _short(folder: Path) -> Path:
    """Sockets' paths have to fit into 108 bytes."""
    assert len(str(folder)) < 90, folder
    return folder
