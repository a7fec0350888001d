"""What phones and browsers record, with PyAV and without."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.audio import read_audio
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from tests.tools.command_line import QUICK, Command

SOUND = Path(__file__).parent.parent / "data" / "sound"
QUESTION = SOUND.parent / "demo" / "sum.flac"
NAMES = ("question.m4a", "question.webm")


@pytest.mark.parametrize("name", NAMES)
def test_the_remedy_is_named(command: Command, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    sentence = command("transcribe", SOUND / name, *QUICK).sentence
    assert name in sentence and "pip install 'mimo-edge[media]'" in sentence


@pytest.mark.parametrize("name", NAMES)
def test_they_are_heard(model: MimoAudio, name: str) -> None:
    pytest.importorskip("av")
    found = read_audio(SOUND / name, model.manifest.audio)
    expected, _ = soundfile.read(QUESTION, dtype="float32")
    assert abs(len(found) - len(expected)) < 0.05 * 24_000
    size = 1 << 17
    cross = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(expected, size)))
    assert cross.max() / (np.linalg.norm(found) * np.linalg.norm(expected)) > 0.9


def test_a_stream_without_a_name_and_a_wrong_name(model: MimoAudio, tmp_path: Path) -> None:
    pytest.importorskip("av")
    data = (SOUND / NAMES[0]).read_bytes()
    (tmp_path / "a.wav").write_bytes(data)
    expected = read_audio(SOUND / NAMES[0], model.manifest.audio)
    np.testing.assert_array_equal(read_audio(data, model.manifest.audio), expected)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", model.manifest.audio), expected)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_ones(model: MimoAudio, name: str) -> None:
    """Cut anywhere: heard as far as it goes, or one sentence."""
    pytest.importorskip("av")
    data = (SOUND / name).read_bytes()
    for length in range(16, len(data), 977):
        for damaged in (data[:length], data[:length] + bytes(200) + data[length + 200 :]):
            try:
                assert len(read_audio(damaged, model.manifest.audio)) <= 3 * 24_000
            except MimoEdgeError as error:
                assert "damaged" in str(error) or "holds" in str(error)


def test_a_codec_that_nobody_knows(model: MimoAudio) -> None:
    pytest.importorskip("av")
    data = (SOUND / NAMES[1]).read_bytes().replace(b"A_OPUS", b"A_ABCD")
    with pytest.raises(MimoEdgeError, match="unknown codec"):
        read_audio(data, model.manifest.audio)


def test_damaged_ogg_does_not_need_pyav(model: MimoAudio) -> None:
    data = (SOUND / "chain.opus").read_bytes()[:100]
    with pytest.raises(MimoEdgeError, match="is not a sound file that libsndfile reads"):
        read_audio(data, model.manifest.audio)


def test_playlists_are_not_followed(model: MimoAudio, tmp_path: Path) -> None:
    """FFmpeg knows formats that name other files; none of them is tried."""
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{QUESTION}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {QUESTION}\n",
    ):
        with pytest.raises(MimoEdgeError, match="is not a sound file"):
            read_audio(text.encode(), model.manifest.audio)
