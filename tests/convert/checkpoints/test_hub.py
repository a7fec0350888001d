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

from convert.checkpoints.checkpoint import Checkpoint
from convert.checkpoints.origin import find_checkpoint
from mimo_edge.bundle.files import load_manifest
from mimo_edge.errors import MimoEdgeError
from tests.tools.full_disk import largest_file
from tests.tools.hub_server import COMMIT, Hub, hub_server
from tests.tools.safetensors_files import (
    AUDIO_TOKENIZER,
    LANGUAGE_MODEL,
    copy_language_model,
    write_checkpoint,
)

ROOT = Path(__file__).parents[3]
MODEL = "owner/some-model"
SHARD = "model-00001-of-00002.safetensors"
CHUNK = 10 << 20
"""Bytes huggingface_hub takes in before it writes them; an interruption costs less than this."""

# huggingface_hub reads its environment when it is imported, hence a process of its own.
RESOLVE = """
import sys
from convert.checkpoints.origin import find_checkpoint
from mimo_edge.bundle.files import load_manifest
from mimo_edge.errors import MimoEdgeError
try:
    print(find_checkpoint(sys.argv[1], kind=sys.argv[2], revision=sys.argv[3] or None).folder)
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


@pytest.fixture
def both() -> Iterator[Hub]:
    """The two small repositories of a whole checkpoint."""
    with hub_server({"owner/m": LANGUAGE_MODEL, "owner/t": AUDIO_TOKENIZER}) as server:
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
    hub: Hub,
    home: Path,
    model: str = MODEL,
    kind: str = "model",
    revision: str = "",
    **changes: str,
) -> tuple[int, str]:
    """Exit status and the path or the message."""
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, model, kind, revision],
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
    assert find_checkpoint(str(tmp_path), kind="model").folder == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert find_checkpoint("~", kind="tokenizer").folder == tmp_path
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(MimoEdgeError, match="is a file; give the folder it is in"):
        find_checkpoint(str(file), kind="model")
    odd = ("m" * 300, "~nobody-of-this-name/b", "a/b\n", "a b/c", "a/[b]", "a/b@main", "\udce9/b")
    for name in (str(tmp_path / "nothing"), "nothing", "a/b/c", "", "../x", "-a/b", *odd):
        with pytest.raises(MimoEdgeError, match="neither a folder nor the id"):
            find_checkpoint(name, kind="model")


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


def same_files(hub: Hub, path: str) -> bool:
    served = hub.repos[MODEL]
    return all(
        file.read_bytes() == (served / file.name).read_bytes() for file in Path(path).iterdir()
    )


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


def test_revisions(hub: Hub, tmp_path: Path) -> None:
    home, other = tmp_path / "home", "f" * 40
    hub.commits["v1.1"] = other
    for revision in ("v1.1", other):
        status, path = download(hub, home, revision=revision)
        assert (status, Path(path).name) == (0, other), path
        assert same_files(hub, path)
    assert Path(download(hub, home)[1]).name == COMMIT
    text = refusal(hub, home, revision="v9")
    assert f"the model {MODEL} has no revision 'v9' on {hub.url}; give a branch" in text
    for odd in ("../../x", "a b", "-\n"):
        assert "is no revision of the model" in refusal(hub, home, revision=odd)
    with pytest.raises(MimoEdgeError, match="is a folder and has no revision 'v1'"):
        find_checkpoint(str(tmp_path), kind="model", revision="v1")


def test_repositories_that_cannot_be_had(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "home"
    text = refusal(hub, home, model="owner/typo")
    assert text.startswith("the model owner/typo is neither a folder here nor a repository on")
    hub.refused[MODEL] = (403, "GatedRepo")
    assert "is gated; accept its terms" in refusal(hub, home)
    hub.refused[MODEL] = (401, "RepoNotFound")
    assert "set HF_TOKEN if it is private" in refusal(hub, home)
    assert "see that HF_TOKEN is valid" in refusal(hub, home, HF_TOKEN="hf_wrong")
    for status, remedy in (
        (401, "does not accept the token"),
        (403, "see that its terms are accepted"),
        (404, "does not have it (status 404)"),
        (500, "status 500; try again later"),
    ):
        hub.refused[MODEL] = (status, "Invalid credentials in Authorization header")
        assert remedy in refusal(hub, home), status


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


def test_a_server_that_is_no_hub(hub: Hub, tmp_path: Path) -> None:
    elsewhere = {"Location": hub.url + "/login"}
    html = {"Content-Type": "text/html"}
    login = b"<html><title>Please log in</title></html>"
    for page, words in (
        ((200, html, login), "is not a hub"),
        ((200, {"Content-Type": "application/json"}, b"[]"), "is not a hub"),
        ((200, {"Content-Type": "application/json"}, b"{}"), "is not a hub"),
        ((302, elsewhere, b""), "check the connection"),
        ((429, {"Retry-After": "0"}, b""), "was asked too often"),
        ((502, html, login), "answered with status 502"),
    ):
        hub.page = page
        assert words in refusal(hub, tmp_path / "home")


@pytest.mark.parametrize("token", ["hf_ab cd", "hf_ü", "hf_\t1", "hf_\x7f", "\udce9"])
def test_odd_tokens(both: Hub, tmp_path: Path, token: str) -> None:
    text = refusal(both, tmp_path / "home", HF_TOKEN=token)
    assert "holds spaces or characters that no token has" in text and token not in text


def test_a_token_with_the_end_of_its_line(hub: Hub, tmp_path: Path) -> None:
    assert download(hub, tmp_path / "home", HF_TOKEN=" hf_secret\r\n")[0] == 0
    assert hub.tokens["hub"] == {"Bearer hf_secret"}


def test_a_token_file_that_cannot_be_read(both: Hub, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe\x00")
    assert f"the token in {file} cannot be read" in refusal(
        both, tmp_path / "home", HF_TOKEN_PATH=str(file)
    )


@pytest.mark.parametrize(
    "endpoint", ["huggingface.co", "ftp://x", "http://", "http://[::1", "http://a:b", "https://a b"]
)
def test_odd_endpoints(both: Hub, tmp_path: Path, endpoint: str) -> None:
    text = refusal(both, tmp_path / "home", HF_ENDPOINT=endpoint)
    assert text.startswith(f"HF_ENDPOINT is {endpoint!r}; give the address of a hub")


def test_odd_settings_of_the_library(both: Hub, tmp_path: Path) -> None:
    """Loading huggingface_hub fails, and says so itself before our sentence."""
    status, text = download(both, tmp_path / "home", HF_HUB_ETAG_TIMEOUT="soon")
    assert status == 3
    assert text.splitlines()[-1].startswith("the settings of the hub in the environment (HF_…)")


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://127.0.0.1:9", "the proxy that is set"),
        ("http://127.0.0.1:9", "the proxy that is set"),
        ("foo://127.0.0.1:9", "the proxy settings"),
    ],
)
def test_proxies_that_do_not_answer(both: Hub, tmp_path: Path, proxy: str, words: str) -> None:
    nowhere = "http://hub.invalid"
    assert words in refusal(
        both, tmp_path / "home", ALL_PROXY=proxy, NO_PROXY="", HF_ENDPOINT=nowhere
    )


def test_a_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = refusal(hub, tmp_path / "file")
    assert "in the cache cannot be written" in text and "set HF_HOME to a folder of yours" in text


def test_folders_need_no_network(tmp_path: Path) -> None:
    """The whole conversion, in a process that may not open a socket."""
    script = """
import socket, sys
def refuse(*args, **options):
    raise AssertionError("a socket")
socket.socket = socket.create_connection = socket.getaddrinfo = refuse
from convert.cli import convert_command
convert_command(sys.argv[1:], standalone_mode=False)
assert "huggingface_hub" not in sys.modules
"""
    folders = ["--model", LANGUAGE_MODEL, "--tokenizer", AUDIO_TOKENIZER, "--out", tmp_path / "b"]
    subprocess.run([sys.executable, "-c", script, *map(str, folders)], cwd=ROOT, check=True)
    assert {file.revision for file in load_manifest(tmp_path / "b").source} == {None}


def converted(hub: Hub, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`convert` of the repositories owner/m and owner/t into `folder`/b."""
    options = ["--model", "owner/m", "--tokenizer", "owner/t", "--out", str(folder / "b"), *more]
    return subprocess.run(
        [sys.executable, "-m", "convert", *options],
        cwd=ROOT,
        env=environment(hub, folder / "home"),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_bundle_says_which_revision_it_came_from(both: Hub, tmp_path: Path) -> None:
    both.commits |= {"v1": "1" * 40, "v2": "2" * 40}
    both.damaged = {"config.json": 1}
    done = converted(both, tmp_path, "--revision", "v1", "--tokenizer-revision", "v2")
    assert done.returncode == 0, done.stderr
    assert "MB for the download of the audio tokenizer" in done.stderr
    manifest = load_manifest(tmp_path / "b")
    assert manifest.name == "m"
    found = {(file.name.rpartition("/")[0], file.revision) for file in manifest.source}
    assert found == {("owner/m", "1" * 40), ("owner/t", "2" * 40)}
    shown = subprocess.run(
        [sys.executable, "-m", "mimo_edge", "info", tmp_path / "b"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"made from owner/m at {'1' * 40} and owner/t at {'2' * 40}\n" in shown


def test_room_for_everything_is_looked_at_before_a_download(both: Hub, tmp_path: Path) -> None:
    both.claims = {"model.safetensors": 10**15}
    done = converted(both, tmp_path)
    assert done.returncode == 1
    for part in ("download of the model", "of the audio tokenizer", "the bundle", "a copy of the"):
        assert part in done.stderr
    assert both.files() == {"config.json"}
    assert not (tmp_path / "b").exists()


def test_a_repository_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "README.md").write_text("nothing here")
    with hub_server({"owner/m": tmp_path / "m", "owner/t": AUDIO_TOKENIZER}) as hub:
        done = converted(hub, tmp_path)
    assert "owner/m has no config.json, so it is not a checkpoint; check the id." in done.stderr
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_no_room(hub: Hub, tmp_path: Path) -> None:
    with largest_file(1 << 19):
        text = refusal(hub, tmp_path / "home")
    assert "cannot be downloaded" in text and "File too large" in text
