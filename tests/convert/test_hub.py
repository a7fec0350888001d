"""Downloads from a hub on this machine: only what is needed, continued, explained."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from convert.checkpoint import Checkpoint
from convert.hub import resolve
from mimo_edge.errors import MimoEdgeError
from tests.tools.full_disk import largest_file
from tests.tools.hub_server import COMMIT, Hub, hub_server
from tests.tools.safetensors_files import copy_language_model, write_checkpoint

ROOT = Path(__file__).parents[2]
MODEL = "owner/some-model"
SHARD = "model-00001-of-00002.safetensors"
CHUNK = 10 << 20
"""Bytes huggingface_hub takes in before it writes them; an interruption costs less than this."""

# huggingface_hub reads its environment when it is imported, hence a process of its own.
RESOLVE = """
import sys
from convert.hub import resolve
from mimo_edge.errors import MimoEdgeError
try:
    print(resolve(sys.argv[1], kind=sys.argv[2]))
except MimoEdgeError as error:
    print(error)
    sys.exit(3)
"""


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


def environment(hub: Hub, home: Path, **changes: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    settings = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": str(ROOT),
    }
    return kept | settings | changes


def download(
    hub: Hub, home: Path, model: str = MODEL, kind: str = "model", **changes: str
) -> tuple[int, str]:
    """Exit status and the path or the message."""
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, model, kind],
        env=environment(hub, home, **changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr
    return done.returncode, done.stdout.strip()


def refusal(hub: Hub, home: Path, **changes: str) -> str:
    status, text = download(hub, home, **changes)
    assert status == 3 and "\n" not in text and text.endswith("."), text
    return text


def test_folders_are_used_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(str(tmp_path), kind="model") == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert resolve("~", kind="tokenizer") == tmp_path
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(MimoEdgeError, match="is a file; give the folder it is in"):
        resolve(str(file), kind="model")
    for name in (str(tmp_path / "nothing"), "nothing", "a/b/c", "", "../x", "-a/b"):
        with pytest.raises(MimoEdgeError, match="neither a folder nor the id"):
            resolve(name, kind="model")


def test_only_the_needed_files_and_then_none(hub: Hub, tmp_path: Path) -> None:
    status, path = download(hub, tmp_path / "home")
    assert status == 0, path
    needed = {
        "config.json",
        "merges.txt",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    }
    assert {entry.name for entry in Path(path).iterdir()} == hub.files() == needed
    assert Path(path).name == COMMIT
    served = hub.repos[MODEL]
    assert (Path(path) / SHARD).read_bytes() == (served / SHARD).read_bytes()
    assert Checkpoint.open(Path(path)).names() == ["a", "b"]
    assert not list((tmp_path / "home").rglob("*.incomplete"))
    hub.requests.clear()
    assert download(hub, tmp_path / "home") == (0, path)
    assert not hub.files()
    hub.requests.clear()
    assert download(hub, tmp_path / "home", HF_HUB_OFFLINE="1") == (0, path)
    assert not hub.requests


def test_the_audio_tokenizer_needs_no_text_tokenizer(hub: Hub, tmp_path: Path) -> None:
    status, path = download(hub, tmp_path / "home", kind="tokenizer")
    assert status == 0, path
    assert not {"tokenizer.json", "vocab.json", "merges.txt"} & hub.files()
    assert "config.json" in hub.files()


def test_a_dropped_connection_is_continued(hub: Hub, tmp_path: Path) -> None:
    hub.drops_after = CHUNK + 700_000
    status, path = download(hub, tmp_path / "home")
    assert status == 0, path
    size = (hub.repos[MODEL] / SHARD).stat().st_size
    assert (Path(path) / SHARD).read_bytes() == (hub.repos[MODEL] / SHARD).read_bytes()
    assert size <= hub.sent(SHARD) < size + CHUNK
    assert len([path for _, path, sent in hub.requests if sent and path.endswith(SHARD)]) == 2


def interrupted(hub: Hub, home: Path) -> Path:
    """Stop a download that hangs in the first shard; returns what it has of it: one chunk.

    All of it: a file grows while one write goes on, and a signal cuts such a write short.
    """
    hub.hangs_after = CHUNK + 700_000
    process = subprocess.Popen(
        [sys.executable, "-c", RESOLVE, MODEL, "model"],
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


def test_a_damaged_remainder_is_found_and_removed(hub: Hub, tmp_path: Path) -> None:
    partial = interrupted(hub, tmp_path / "home")
    data = bytearray(partial.read_bytes())
    data[100] ^= 1
    partial.write_bytes(data)
    assert "arrived damaged and was removed" in refusal(hub, tmp_path / "home")
    assert download(hub, tmp_path / "home")[0] == 0


def test_repositories_that_cannot_be_had(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    text = refusal(hub, home, model="owner/typo")
    assert text.startswith("--model owner/typo is neither a folder here nor a repository on")
    hub.refused[MODEL] = (403, "GatedRepo")
    assert "is gated; accept its terms" in refusal(hub, home)
    hub.refused[MODEL] = (401, "RepoNotFound")
    assert "set HF_TOKEN if it is private" in refusal(hub, home)


def test_the_token_reaches_the_hub_and_no_other_host(hub: Hub, tmp_path: Path) -> None:
    assert download(hub, tmp_path / "home", HF_TOKEN="hf_secret")[0] == 0
    assert hub.tokens == {"hub": {"Bearer hf_secret"}, "cdn": {""}}


def test_no_connection(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "offline mode forbids the download" in refusal(hub, home, HF_HUB_OFFLINE="1")
    nobody = "http://127.0.0.1:9"
    assert "check the connection" in refusal(hub, home, HF_ENDPOINT=nobody)
    status, path = download(hub, home)
    assert status == 0
    assert download(hub, home, HF_ENDPOINT=nobody) == (0, path)


def test_no_room(hub: Hub, tmp_path: Path) -> None:
    with largest_file(1 << 19):
        text = refusal(hub, tmp_path / "home")
    assert "cannot be downloaded" in text and "File too large" in text
