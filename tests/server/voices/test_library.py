from __future__ import annotations

import errno
import io
import logging
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mimo_edge.errors import BadInputError
from mimo_edge.model import MimoAudio
from mimo_edge.server.requests.api_errors import ApiError
from mimo_edge.server.voices.file import VoiceFile
from mimo_edge.server.voices.library import VoiceLibrary
from mimo_edge.tasks import Overrides, Speak
from tests.tools.exact_demo import load_exact_demo

DEMO = Path(__file__).parents[2] / "data" / "demo"
SPEECH = DEMO / "voice-slt.flac"


@pytest.fixture(scope="module")
def model() -> Iterator[MimoAudio]:
    with load_exact_demo() as model:
        yield model


@pytest.fixture
def library(tmp_path: Path) -> VoiceLibrary:
    return VoiceLibrary(tmp_path / "voices", most=3)


def test_a_voice_is_found_by_its_identifier_and_its_name(
    model: MimoAudio, library: VoiceLibrary
) -> None:
    assert library.all() == []
    voice = library.add(model, SPEECH, name="Zoë", consent="yes")
    other = library.add(model, DEMO / "voice-rms.flac", name="../../etc/passwd", consent="yes")
    assert [found.name for found in library.all()] == ["Zoë", "../../etc/passwd"]
    by_id, by_name = (
        library.find(model, voice.id),
        library.find(model, "Zoe\N{COMBINING DIAERESIS}"),
    )
    assert by_id is not None and by_name is not None
    np.testing.assert_array_equal(by_id, by_name)
    rms = library.find(model, "../../etc/passwd")
    assert rms is not None and rms.shape != by_id.shape
    assert {path.name for path in library.folder.iterdir()} == {
        f"{voice.id}.npz",
        f"{other.id}.npz",
    }
    for unknown in ("alloy", "default", "voice_" + "0" * 24, "zoë", "", None):
        assert library.find(model, unknown) is None


def test_what_was_encoded_once_gives_the_conversation_that_the_recording_gives(
    model: MimoAudio, library: VoiceLibrary
) -> None:
    voice = library.add(model, SPEECH, name="a", consent="yes")
    patches = VoiceLibrary(library.folder).find(model, voice.id)
    assert patches is not None
    np.testing.assert_array_equal(model.listen(patches), patches)
    with model.session(voice=patches, reply="text") as session:
        assert session.ask(text="what is seven plus five").text == "seven plus five is twelve"
        shared = session.positions.codes
    assert any(np.array_equal(patches[0], code) for code in shared)


def test_a_text_is_spoken_in_a_voice_that_was_encoded_once(
    model: MimoAudio, library: VoiceLibrary
) -> None:
    patches = library.find(model, library.add(model, SPEECH, name="a", consent="yes").id)
    assert patches is not None
    overrides = Overrides(max_new_tokens=4, temperature=0, seed=1)
    task = Speak(text="hello", voice=patches, anyway=True, overrides=overrides)
    prompt = model.run(task).stats.prompt_positions
    plain = model.run(Speak(text="hello", overrides=overrides)).stats.prompt_positions
    assert prompt > plain + len(patches)
    with pytest.raises(BadInputError, match="the patches have shape"):
        model.run(Speak(text="hello", voice=patches[:, :, :1], anyway=True))


def test_a_browser_s_recording_can_be_a_voice(model: MimoAudio, library: VoiceLibrary) -> None:
    av = pytest.importorskip("av", reason="needs the extra `media`")
    samples, rate = soundfile.read(SPEECH, dtype="int16")
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    file.seek(0)
    webm = library.add(model, file, name="webm", consent="yes")
    flac = library.add(model, SPEECH, name="flac", consent="yes")
    assert abs(webm.seconds - flac.seconds) < 0.3


def test_only_the_voice_is_kept_and_as_loud_as_any_other(
    model: MimoAudio, library: VoiceLibrary
) -> None:
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    quiet = np.zeros(4 * rate, dtype=np.float32)
    stereo = np.stack([np.concatenate([quiet, 0.02 * samples, quiet])] * 2, axis=1)
    soft = library.add(model, (stereo, rate), name="soft", consent="yes")
    loud = library.add(model, (samples, rate), name="loud", consent="yes")
    assert abs(soft.seconds - loud.seconds) < 0.3
    assert soft.seconds < len(samples) / rate + 0.5
    levels = []
    for voice in (soft, loud):
        kept = VoiceFile.read(library.folder / f"{voice.id}.npz", model.manifest).samples
        levels.append(np.sqrt(np.mean((kept / 2**15) ** 2)))
    assert levels[0] == pytest.approx(levels[1], rel=0.1)


def test_of_a_long_recording_half_a_minute_is_kept(model: MimoAudio, library: VoiceLibrary) -> None:
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    long = np.tile(samples, 60 * rate // len(samples))
    voice = library.add(model, (long, rate), name="long", consent="yes")
    assert 20 < voice.seconds <= 30


def test_what_holds_no_voice_is_refused(model: MimoAudio, library: VoiceLibrary) -> None:
    rate = model.sample_rate
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * rate).astype(np.float32)
    samples, _ = soundfile.read(SPEECH, dtype="float32")
    for sound, said in (
        (np.zeros(5 * rate, dtype=np.float32), "silent"),
        (noise, "0.0 s of voice"),
        (samples[: rate // 2], "s of voice"),
        (np.zeros(400 * rate, dtype=np.float32), "5 minutes"),
        (b"not a sound", "not a sound file"),
        (b"", "empty"),
    ):
        with pytest.raises(BadInputError, match=said):
            library.add(model, sound, name="x", consent="yes")
    assert library.all() == [] and not library.folder.exists()


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\nb", "a\x1b[31m", "Default", "\ud800"])
def test_names_that_are_none_are_refused(
    model: MimoAudio, library: VoiceLibrary, name: str
) -> None:
    with pytest.raises(ApiError) as refused:
        library.add(model, SPEECH, name=name, consent="yes")
    assert refused.value.param == "name" and refused.value.status == 400


def test_two_voices_of_one_name_too_many_voices_and_no_consent_are_refused(
    model: MimoAudio, library: VoiceLibrary
) -> None:
    first = library.add(model, SPEECH, name="a", consent="yes")
    with pytest.raises(ApiError, match="called 'a'") as refused:
        library.add(model, SPEECH, name=" a ", consent="yes")
    assert refused.value.status == 409
    with pytest.raises(ApiError, match="agree"):
        library.add(model, SPEECH, name="b", consent=" ")
    library.add(model, SPEECH, name="b", consent="yes")
    library.add(model, SPEECH, name="c", consent="yes")
    with pytest.raises(ApiError, match="3 voices already"):
        library.add(model, SPEECH, name="d", consent="yes")
    assert library.remove(first.id) and not library.remove(first.id)
    assert not library.remove("../" + first.id) and not library.remove("x/\0")
    assert library.find(model, "a") is None
    library.add(model, SPEECH, name="d", consent="yes")


def test_another_server_sees_what_one_adds_and_deletes(
    model: MimoAudio, library: VoiceLibrary
) -> None:
    other = VoiceLibrary(library.folder)
    assert other.all() == []
    voice = library.add(model, SPEECH, name="a", consent="yes")
    assert other.all() == [voice] and other.find(model, "a") is not None
    other.remove(voice.id)
    assert library.all() == [] and library.find(model, "a") is None


def test_a_voice_of_another_tokenizer_is_listened_to_again(
    model: MimoAudio, library: VoiceLibrary
) -> None:
    voice = library.add(model, SPEECH, name="a", consent="yes")
    path = library.folder / f"{voice.id}.npz"
    file = VoiceFile.read(path, model.manifest)
    ours = library.find(model, "a")
    assert ours is not None
    foreign = replace(
        file, head=replace(file.head, tokenizer="0" * 64), patches=np.zeros((4, 1, 2), np.int64)
    )
    foreign.write(path)
    again = library.find(model, "a")
    assert again is not None
    # Rounding the kept samples to 16 bits changes a few codes.
    assert again.shape == ours.shape and np.mean(again == ours) > 0.8


def damaged(whole: bytes) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "no archive", b"\0" * 100
    yield "cut short", whole[: len(whole) // 2]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name in parts:
        lacking = io.BytesIO()
        with zipfile.ZipFile(lacking, "w") as archive:
            for other, data in parts.items():
                if other != name:
                    archive.writestr(other, data)
        yield f"without {name}", lacking.getvalue()
    large = io.BytesIO()
    with zipfile.ZipFile(large, "w", zipfile.ZIP_DEFLATED) as archive:
        for other, data in parts.items():
            archive.writestr(other, data + b"\0" * (50_000_000 if other == "samples.npy" else 0))
    yield "a bomb", large.getvalue()


def test_a_damaged_voice_is_skipped_with_a_line_in_the_log(
    model: MimoAudio, library: VoiceLibrary, caplog: pytest.LogCaptureFixture
) -> None:
    voice = library.add(model, SPEECH, name="a", consent="yes")
    whole = (library.folder / f"{voice.id}.npz").read_bytes()
    for number, (kind, data) in enumerate(damaged(whole)):
        path = library.folder / f"voice_{number:024x}.npz"
        path.write_bytes(data)
        library.remove(voice.id)  # else the good one is found by its name
        with caplog.at_level(logging.WARNING):
            assert library.find(model, "a") is None, kind
            assert library.find(model, path.stem) is None, kind
        assert path.name in caplog.text, kind
        path.unlink()
    (library.folder / f"voice_{1:024x}.npz").mkdir()
    (library.folder / "notes.txt").write_text("hello")
    (library.folder / f"voice_{2:024x}.npz").symlink_to("/dev/zero")
    assert library.all() == []


def test_codes_that_the_model_does_not_know_are_not_used(
    model: MimoAudio, library: VoiceLibrary
) -> None:
    voice = library.add(model, SPEECH, name="a", consent="yes")
    path = library.folder / f"{voice.id}.npz"
    file = VoiceFile.read(path, model.manifest)
    wrong = file.patches.copy()
    wrong[0, 0, -1] = max(model.manifest.audio.codebook_sizes) - 1
    replace(file, patches=wrong).write(path)
    sizes = model.manifest.audio.codebook_sizes[: wrong.shape[-1]]
    assert (library.find(model, "a") is None) == (sizes[-1] < max(sizes))


def test_a_folder_that_cannot_be_written_is_told_without_its_place(
    model: MimoAudio, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    library = VoiceLibrary(tmp_path / "file" / "voices")
    assert library.all() == []
    with pytest.raises(ApiError, match="cannot be written") as refused:
        library.add(model, SPEECH, name="a", consent="yes")
    assert refused.value.status == 500 and str(tmp_path) not in refused.value.message


def test_a_full_disk_is_told_as_such_and_leaves_nothing_behind(
    model: MimoAudio, library: VoiceLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(ApiError, match="disk") as refused:
        patched.setattr(os, "fsync", full)
        library.add(model, SPEECH, name="a", consent="yes")
    assert refused.value.status == 507
    assert library.all() == [] and list(library.folder.iterdir()) == []
