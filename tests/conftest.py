"""What several folders of tests share: golden numbers, bundles made from them, the command line."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimo_edge.commands.cli import main
from mimo_edge.engine import Engine
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from tests.golden.folder import Golden
from tests.tools.bundles import convert_checkpoint
from tests.tools.command_line import Command, Result

DEFAULT_GOLDEN = Path(__file__).parent / "data" / "golden"

EXACT = RuntimeOptions(
    threads=1,
    context=1024,
    prompt_piece=32,
    kv_type="f32",
    flash_attention=False,
    device="cpu",
)
"""How llama.cpp reproduces float32: a float32 KV cache and no flash attention."""

# A run that is started with `nohup` or in the background of a script hands its deafness down to
# every program it tests.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        type=Path,
        default=DEFAULT_GOLDEN,
        metavar="DIR",
        help="folder of golden numbers, audio and checkpoints (default: the tests' own)",
    )


def open_golden(config: pytest.Config) -> Golden:
    """The folder that `--golden` names; also for parametrizing, before there are fixtures."""
    folder: Path = config.getoption("--golden")
    try:
        return Golden.open(folder)
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--golden {folder}: {error}") from error


@pytest.fixture(scope="session")
def golden(pytestconfig: pytest.Config) -> Golden:
    return open_golden(pytestconfig)


@pytest.fixture(scope="session")
def reference_bundle(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoints as a bundle, everything float32."""
    out = tmp_path_factory.mktemp("bundles") / "reference"
    return convert_checkpoint(golden.model, golden.tokenizer, out, "reference")


@pytest.fixture(scope="session")
def default_bundle(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden checkpoints as most people convert them."""
    out = tmp_path_factory.mktemp("bundles") / "default"
    return convert_checkpoint(golden.model, golden.tokenizer, out, "default")


@pytest.fixture(scope="session")
def gguf_bundle(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`reference_bundle` with GGUF files of patch encoder and patch decoder."""
    out = tmp_path_factory.mktemp("bundles") / "gguf"
    return convert_checkpoint(golden.model, golden.tokenizer, out, "reference", patch_gguf=True)


@pytest.fixture(scope="session")
def engine(reference_bundle: Path) -> Iterator[Engine]:
    """`reference_bundle`, set for exactness."""
    engine = Engine.load(reference_bundle, EXACT)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def reference_model(engine: Engine) -> MimoAudio:
    """The same as a model with its tasks; the engine's fixture closes it."""
    return MimoAudio(engine)


@pytest.fixture
def command(
    default_bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """`mimo-edge ARGS` in this process, on the default bundle unless --model is given.

    `capfd`, so that what native libraries print is seen too.
    """
    monkeypatch.setenv("MIMO_EDGE_MODEL", str(default_bundle))
    numbers = [signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]
    before = {number: signal.getsignal(number) for number in numbers}

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capfd.readouterr()
        with pytest.raises(SystemExit) as exited:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        code = exited.value.code
        return Result(code if isinstance(code, int) else 0, out, err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def model(default_bundle: Path) -> Iterator[MimoAudio]:
    """The default bundle with room for a few turns."""
    options = RuntimeOptions(threads=1, context=1024, device="cpu")
    with MimoAudio.load(default_bundle, options) as model:
        yield model


@pytest.fixture(scope="session")
def clips() -> dict[str, Path]:
    """The tests' recordings by name: question, short, tiny, voice."""
    folder = DEFAULT_GOLDEN / "audio"
    return {path.stem: path for path in folder.glob("*.wav")}
