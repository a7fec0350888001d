"""Names and lengths that only Windows minds, on a machine that takes itself for one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from convert.sharing.pulling import pull
from convert.sharing.sources import FolderSource
from mimo_edge import MimoAudio
from mimo_edge.atomic import atomic_output, check_output, made_folder
from mimo_edge.bundle.files import load_manifest
from mimo_edge.dialogue.recording import check_recording
from mimo_edge.errors import BadInputError, MimoEdgeError, OutputError
from mimo_edge.windows_names import check_name
from tests.convert.bundle_folders import DEMO
from tests.test_other_systems import SUM, pretend

WRONG = (
    *("con", "CON.wav", "nul.txt", "out/aux.npz", "com1", "lpt9.srt", "com¹.wav", "conin$"),
    *("answer.", "answers /a.wav", "a<b.wav", 'say "hi".wav', "report.txt:1", "what?.wav", "a\tb"),
    *(r"C:\speech\prn.wav", r"\\server\share\con\a.wav", r"..\aux.wav"),
)
RIGHT = (
    *("console.wav", "com10.wav", "my.con.wav", "nul", "NUL", "../out.wav", "./a.b.c", "听.wav"),
    *(r"C:\speech\a.wav", r"\\server\share\a.wav", r"\\?\C:\speech\con.wav", ".hidden"),
)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")


@pytest.mark.parametrize("name", WRONG)
def test_names_that_mean_something_else(windows: None, name: str) -> None:
    with pytest.raises(BadInputError, match=r"no name for a file on Windows: .*; give"):
        check_name(Path(name))


@pytest.mark.parametrize("name", RIGHT)
def test_names_that_it_takes(windows: None, name: str) -> None:
    check_name(Path(name))


@pytest.mark.skipif(sys.platform == "win32", reason="elsewhere they are ordinary names")
@pytest.mark.parametrize("name", WRONG)
def test_elsewhere_they_are_names(name: str) -> None:
    check_name(Path(name))


def test_whatever_writes_refuses_them(windows: None, tmp_path: Path) -> None:
    path, folder = tmp_path / "aux.wav", tmp_path / "con"

    def make() -> None:
        with made_folder(folder):
            raise AssertionError("it was made")

    def write() -> None:
        with atomic_output(path):
            raise AssertionError("it was begun")

    wrong = (
        lambda: check_output(path),
        write,
        make,
        lambda: check_recording(folder),
        lambda: pull(lambda: FolderSource(folder=DEMO), folder),
    )
    for call in wrong:
        with pytest.raises(BadInputError, match="is a device there"):
            call()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="the others need no pretending")
def test_the_commands_say_it_before_they_work(tmp_path: Path) -> None:
    for arguments in (
        ("speak", "Hello.", "-o", "nul.wav"),
        ("encode", SUM, "-o", "com1.npz"),
        ("chat", "--input", SUM, "--output", tmp_path / "aux"),
        ("chat", "--input", SUM, "--output", tmp_path, "--save-session", "lpt1.npz"),
        ("transcribe", SUM, "-o", "talk.srt."),
    ):
        done = pretend("win32", *arguments)
        assert done.returncode == 1 and not done.stdout, done.stderr
        assert "is no name for a file on Windows" in done.stderr.splitlines()[-1], done.stderr


def test_a_path_that_is_too_long_is_named_as_the_reason(windows: None, tmp_path: Path) -> None:
    """Windows only says that there is nothing, as this system does of what is not there."""
    far = tmp_path / ("a" * 120) / ("b" * 120)
    reason = r"the path has \d+ characters, and Windows takes 259, of a folder 247"
    with pytest.raises(BadInputError, match=f"is not a folder: {reason}"):
        load_manifest(far)
    with pytest.raises(OutputError, match=f"there is no folder .*: {reason}"):
        check_output(far / "a.wav")
    said = rf"cannot be written \(No such file .*: {reason}"
    with pytest.raises(OutputError, match=said), atomic_output(far / "a.wav"):
        pass
    with pytest.raises(OutputError) as short:
        check_output(tmp_path / "nothing" / "a.wav")
    assert "characters" not in str(short.value)


def test_a_bundle_far_down_runs(tmp_path: Path) -> None:
    """Nothing of ours has a limit, nor have llama.cpp and onnxruntime: what a system opens."""
    far = tmp_path.joinpath(*["folder of forty characters, or some more"] * 12) / "bundle"
    assert len(str(far)) > 480
    pull(lambda: FolderSource(folder=DEMO), far)
    try:
        with MimoAudio.load(far) as model:
            assert model.transcribe(SUM).text == "what is seven plus five"
    except MimoEdgeError as error:
        assert sys.platform == "win32" and "characters" in str(error)
