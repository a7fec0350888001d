"""Downloads that are broken off or arrive damaged are continued or fetched again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tools.hub_client import (
    MODEL,
    RESOLVE,
    SHARD,
    download,
    environment,
    refusal,
    same_files,
)
from tests.tools.hub_server import Hub

CHUNK = 10 << 20
"""Bytes huggingface_hub takes in before it writes them; an interruption costs less than this."""


def test_a_dropped_connection_is_continued(hub: Hub, tmp_path: Path) -> None:
    hub.drops_after = CHUNK + 700_000
    status, path = download(hub, tmp_path / "home")
    assert status == 0, path
    size = (hub.repos[MODEL] / SHARD).stat().st_size
    assert (Path(path) / SHARD).read_bytes() == (hub.repos[MODEL] / SHARD).read_bytes()
    assert size <= hub.sent(SHARD) < size + CHUNK
    assert len([path for _, path, sent in hub.requests if sent and path.endswith(SHARD)]) == 2


def test_addresses_that_were_signed_for_an_hour_are_asked_for_again(
    hub: Hub, tmp_path: Path
) -> None:
    """The second shard's, which ends while the first arrives, and the first's in the middle."""
    hub.ages, hub.drops_after = True, CHUNK + 700_000
    status, path = download(hub, tmp_path / "home")
    assert status == 0, path
    assert same_files(hub, path)
    assert hub.sent(SHARD) < (hub.repos[MODEL] / SHARD).stat().st_size + CHUNK


def interrupted(hub: Hub, home: Path) -> Path:
    """Stop a download that hangs in the first shard; returns what it has of it: one chunk.

    All of it: a file grows while one write goes on, and a signal cuts such a write short.
    """
    hub.hangs_after = CHUNK + 700_000
    process = subprocess.Popen(
        [sys.executable, "-c", RESOLVE, MODEL, "model", ""],
        env=environment(hub, home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    found: list[Path] = []
    while time.monotonic() < deadline and not (found and found[0].stat().st_size >= CHUNK):
        found = list(home.rglob("*.incomplete"))
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    hub.hangs_after = None
    hub.released.set()
    time.sleep(0.2)
    return found[0]


def test_a_stopped_download_is_continued_by_the_next(hub: Hub, tmp_path: Path) -> None:
    partial = interrupted(hub, tmp_path / "home")
    have = partial.stat().st_size
    assert have == CHUNK
    hub.requests.clear()
    status, path = download(hub, tmp_path / "home")
    assert status == 0, path
    content = (hub.repos[MODEL] / SHARD).read_bytes()
    assert (Path(path) / SHARD).read_bytes() == content
    assert hub.sent(SHARD) == len(content) - have
    assert not partial.exists()


def test_a_damaged_remainder_is_found_and_fetched_again(hub: Hub, tmp_path: Path) -> None:
    partial = interrupted(hub, tmp_path / "home")
    data = bytearray(partial.read_bytes())
    data[100] ^= 1
    partial.write_bytes(data)
    status, path = download(hub, tmp_path / "home")
    assert status == 0, path
    assert same_files(hub, path)


@pytest.mark.parametrize("name", [SHARD, "vocab.json"])
@pytest.mark.parametrize("plain", [False, True])
def test_damaged_files_of_the_right_size_are_fetched_again(
    hub: Hub, tmp_path: Path, name: str, plain: bool
) -> None:
    hub.damaged, hub.plain = {name: 2}, plain
    status, path = download(hub, tmp_path / "home")
    assert status == 0, path
    assert same_files(hub, path)
    assert hub.sent(name) == 3 * (hub.repos[MODEL] / name).stat().st_size


def test_a_hub_that_always_serves_damaged_weights_is_not_believed(hub: Hub, tmp_path: Path) -> None:
    hub.damaged = {SHARD: 99}
    text = refusal(hub, tmp_path / "home")
    assert f"{SHARD} arrived damaged 3 times" in text and hub.url in text
    hub.damaged = {}
    assert "not wholly in the cache" in refusal(hub, tmp_path / "home", HF_HUB_OFFLINE="1")
    status, path = download(hub, tmp_path / "home")
    assert status == 0 and same_files(hub, path)


@pytest.mark.parametrize("name", [SHARD, "config.json"])
def test_what_lies_damaged_in_the_cache_is_fetched_again(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    home = tmp_path / "home"
    _, path = download(hub, home)
    blob = (Path(path) / name).resolve()

    def damage() -> None:
        data = bytearray(blob.read_bytes())
        data[-1] ^= 1
        blob.write_bytes(data)

    damage()
    hub.requests.clear()
    assert download(hub, home) == (0, path)
    assert same_files(hub, path) and hub.files() == {name}
    damage()
    text = refusal(hub, home, HF_HUB_OFFLINE="1")
    assert f"{name} in the cache was damaged and is removed" in text
    assert download(hub, home) == (0, path)
    assert same_files(hub, path)
