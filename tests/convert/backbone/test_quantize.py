"""The quantizer's process: it stops when asked, and leaves nothing half-written."""

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest

from convert.backbone import gguf_file, worker
from convert.backbone.quantize import quantize_gguf
from convert.backbone.writing import expected_backbone_tensors, write_backbone
from convert.checkpoints.checkpoint import Checkpoint
from convert.checkpoints.configs import LanguageModelConfig
from convert.checkpoints.text_tokenizer import read_text_tokenizer
from mimo_edge.errors import MimoEdgeError
from tests.tools.full_disk import largest_file
from tests.tools.memory import peak_anonymous
from tests.tools.safetensors_files import LANGUAGE_MODEL, copy_language_model, write_checkpoint
from tests.tools.signals import hear_ctrl_c

ROOT = Path(__file__).parents[3]
Q4_K_M = 15

CONVERT = """
import sys
from pathlib import Path
from tests.convert.backbone.test_quantize import convert
convert(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
"""


def convert(folder: Path, out: Path, type: str, progress: gguf_file.Progress | None = None) -> None:
    checkpoint = Checkpoint.open(folder)
    config = LanguageModelConfig.parse(checkpoint.config, folder / "config.json")
    tokenizer = read_text_tokenizer(folder, vocab_size=config.vocab_size)
    write_backbone(
        checkpoint, config, tokenizer, out, type=type, name="x", threads=1, progress=progress
    )


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 MB of bfloat16: about ten seconds of q4_k_m."""
    folder = copy_language_model(tmp_path_factory.mktemp("wide") / "m", weights=False)
    raw = json.loads((folder / "config.json").read_text())
    raw |= {"hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 4}
    raw |= {"intermediate_size": 6144, "num_hidden_layers": 2}
    config = LanguageModelConfig.parse(raw, folder / "config.json")
    generator = np.random.default_rng(0)
    tensors = {
        name: ("BF16", generator.integers(0x3C00, 0x3D00, shape, dtype=np.uint16))
        for name, shape in expected_backbone_tensors(config).items()
    }
    return write_checkpoint(folder, tensors, config=raw)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small GGUF to quantize."""
    convert(LANGUAGE_MODEL, tmp_path / "source.gguf", "bf16")
    return tmp_path / "source.gguf"


def small_quantize(source: Path) -> None:
    quantize_gguf(
        source,
        source.with_name("out.gguf"),
        file_type=Q4_K_M,
        tensor_types={},
        tensor_bytes={},
        imatrix=None,
        threads=1,
        progress=lambda done, total: None,
    )


def test_an_interrupt_stops_the_quantizer_at_once(wide: Path, tmp_path: Path) -> None:
    started = 0.0

    def interrupt(stage: str, done: int, total: int) -> None:
        nonlocal started
        if stage.startswith("quantizing") and done:
            started = time.monotonic()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(wide, tmp_path / "out.gguf", "q4_k_m", interrupt)
    assert time.monotonic() - started < 2
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_ctrl_c_in_a_terminal(wide: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CONVERT, wide, tmp_path / "out.gguf", "q4_k_m"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out.gguf.partial").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    started = time.monotonic()
    _, error = process.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert b"KeyboardInterrupt" in error
    assert process.returncode == -signal.SIGINT
    assert not list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):  # nobody of the group lives on
        os.killpg(process.pid, 0)


def test_the_worker_ends_with_its_parent(wide: Path, tmp_path: Path) -> None:
    convert(wide, tmp_path / "source.gguf", "bf16")
    process = subprocess.Popen(
        [sys.executable, "-m", "convert.backbone.quantize_worker"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    request = {
        "folder": str(tmp_path),
        "source": "source.gguf",
        "out": "out.gguf",
        "file_type": Q4_K_M,
        "tensor_types": {},
        "threads": 1,
        "imatrix": None,
        "buffer_bytes": 1 << 30,
    }
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    while b"output.weight" not in process.stdout.readline():
        pass
    process.stdin.close()
    assert process.wait(timeout=10) == 1
    process.stdout.close()


def test_a_refusal_of_the_quantizer_is_told(source: Path) -> None:
    source.write_bytes(source.read_bytes()[: 1 << 16])
    with pytest.raises(MimoEdgeError, match=r"stopped with status 1 while writing .*quantize"):
        small_quantize(source)
    assert list(source.parent.iterdir()) == [source]


def test_a_worker_that_cannot_start_is_told(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "CONVERTER", "convert_elsewhere")
    with pytest.raises(MimoEdgeError, match="convert_elsewhere"):
        small_quantize(source)


# numpy 2.2, the last one for Python 3.10: its OpenBLAS asks for its first buffer again and again,
# for ever, while that of later ones gives up after ten times.
ENDLESS = pytest.mark.skipif(sys.version_info < (3, 11), reason="importing numpy does not end")


@pytest.mark.parametrize("megabytes", [60, pytest.param(100, marks=ENDLESS), 130])
def test_a_worker_without_memory_is_told(
    source: Path, monkeypatch: pytest.MonkeyPatch, megabytes: int
) -> None:
    """For its libraries, for its tensors, or only for its threads. (Python 3.13 does with 140.)"""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    start: Any = subprocess.Popen

    def limited(*args: Any, **options: Any) -> Any:
        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

        return start(*args, preexec_fn=limit, **options)

    monkeypatch.setattr(subprocess, "Popen", limited)
    with pytest.raises(MimoEdgeError, match="not enough memory for the conversion"):
        small_quantize(source)
    assert list(source.parent.iterdir()) == [source]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("SIGKILL", "not enough memory for the conversion"),
        ("SIGSEGV", "was ended by SIGSEGV while writing"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_a_worker_that_is_killed_is_told(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: str, words: str
) -> None:
    """In the middle of its work, as the system does when memory runs out."""
    workers: list[Any] = []
    start: Any = subprocess.Popen

    def kept(*args: Any, **options: Any) -> Any:
        workers.append(start(*args, **options))
        return workers[-1]

    def kill(stage: str, done: int, total: int) -> None:
        if stage.startswith("quantizing") and done:
            workers[0].send_signal(getattr(signal, sent))

    monkeypatch.setattr(subprocess, "Popen", kept)
    with pytest.raises(MimoEdgeError, match=words):
        convert(wide, tmp_path / "out.gguf", "q4_k_m", kill)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_in_the_worker(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with largest_file(1 << 18), pytest.raises(MimoEdgeError, match="quantizer stopped"):
        small_quantize(source)
    assert list(source.parent.iterdir()) == [source]
    usage = SimpleNamespace(total=10**9, used=10**9, free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with largest_file(1 << 18), pytest.raises(MimoEdgeError, match="The disk is full"):
        small_quantize(source)


def test_the_users_folder_has_no_say(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies there may be called like a package of the worker's."""
    user = source.parent / "user"
    for name in ("convert", "gguf"):
        (user / name).mkdir(parents=True)
        (user / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(user)
    small_quantize(source)
    assert source.with_name("out.gguf").stat().st_size


def test_a_write_that_fails_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with largest_file(1 << 18), pytest.raises(MimoEdgeError, match="cannot be written"):
        convert(LANGUAGE_MODEL, tmp_path / "out.gguf", "q4_k_m")
    assert not list(tmp_path.iterdir())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, "write_padding", full)
    with pytest.raises(MimoEdgeError, match="No space left"):
        convert(LANGUAGE_MODEL, tmp_path / "out.gguf", "f32")
    assert not list(tmp_path.iterdir())
    with pytest.raises(MimoEdgeError, match="cannot be written"):
        convert(LANGUAGE_MODEL, tmp_path / "nowhere" / "out.gguf", "f32")


def test_the_log_stays_out_of_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="convert.backbone.worker"):
        convert(LANGUAGE_MODEL, tmp_path / "out ü.gguf", "q4_k_m")
    assert "blk.0.attn_q.weight" in caplog.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads RssAnon of Linux")
@pytest.mark.parametrize("type", ["f32", "f16", "bf16", "q8_0"])
def test_memory_does_not_grow_with_the_checkpoint(wide: Path, tmp_path: Path, type: str) -> None:
    peaks = []
    for folder in (LANGUAGE_MODEL, wide):
        command = [sys.executable, "-c", CONVERT, str(folder), str(tmp_path / "out.gguf"), type]
        status, peak = peak_anonymous(command, cwd=ROOT)
        assert status == 0
        peaks.append(peak)
    # Pieces of 16 Mi values here, rows of one tensor as float32 in the quantizer.
    assert peaks[1] - peaks[0] < 220 << 20
