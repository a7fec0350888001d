"""Files of codes, samples of files, options, contracts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from mimo_edge.audio import codes_file
from mimo_edge.bundle.files import file_sample, load_manifest
from mimo_edge.bundle.manifest import Manifest
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.stages.graphs.graph import Graph
from mimo_edge.stages.machine.placement import Placement
from mimo_edge.stages.machine.runtime_options import RuntimeOptions


@pytest.fixture
def codes(model: MimoAudio, clips: dict[str, Path]) -> np.ndarray:
    return model.encode(clips["short"])


def test_codes_round_trip(model: MimoAudio, codes: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    codes_file.write(path, codes, model.manifest)
    found = codes_file.read(path, model.manifest)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, codes)
    # What the model generates has fewer codebooks.
    codes_file.write(path, codes[:, :8], model.manifest)
    np.testing.assert_array_equal(codes_file.read(path, model.manifest), codes[:, :8])


@pytest.mark.parametrize("change", ["rate", "sizes", "channels"])
def test_codes_of_another_model(
    model: MimoAudio, codes: np.ndarray, tmp_path: Path, change: str
) -> None:
    path, manifest = tmp_path / "a.npz", model.manifest
    other: Manifest = manifest
    if change == "rate":
        other = replace(manifest, audio=replace(manifest.audio, sample_rate=16_000))
    elif change == "sizes":
        other = replace(manifest, audio=replace(manifest.audio, codebook_sizes=(512,) * 20))
    else:
        codes = codes[:, :4]
    codes_file.write(path, codes, other)
    with pytest.raises(MimoEdgeError, match="this model decodes 8 codebooks"):
        codes_file.read(path, manifest)


def test_files_that_hold_no_codes(model: MimoAudio, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"

    def refused() -> None:
        with pytest.raises(MimoEdgeError, match="is not a file of codes"):
            codes_file.read(path, model.manifest)

    refused()
    for data in (b"", b"text", b"PK\x03\x04"):
        path.write_bytes(data)
        refused()
    saves: tuple[Callable[[BinaryIO], None], ...] = (
        lambda file: np.save(file, np.zeros((3, 8))),
        lambda file: np.savez(file, other=np.zeros(3)),
        lambda file: np.savez(file, codes=np.array([{}], dtype=object)),
    )
    for save in saves:
        with path.open("wb") as file:
            save(file)
        refused()


@pytest.mark.parametrize("wrong", [-1, 1024, 5000])
def test_codes_outside_their_codebook(model: MimoAudio, codes: np.ndarray, wrong: int) -> None:
    codes = codes.copy()
    codes[3, 2] = wrong
    with pytest.raises(MimoEdgeError, match=f"code {wrong} at step 3 of codebook 2 is outside"):
        model.decode(codes)


def test_codes_of_another_shape(model: MimoAudio, codes: np.ndarray) -> None:
    shape: Any
    for shape in (codes[:, :4], codes[:, 0:0], codes[0], codes[None], codes.astype(np.float32)):
        with pytest.raises(MimoEdgeError, match="this model decodes"):
            model.decode(shape)
    assert not len(model.decode(codes[:0]))


def test_a_long_decode_says_how_far_it_is(model: MimoAudio, codes: np.ndarray) -> None:
    told: list[tuple[int, int]] = []
    long = np.tile(codes, (3200 // len(codes) + 1, 1))[:3100]
    model.decode(long, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3100), (1500, 3100), (3000, 3100)]


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 4097, 65_536, 1_000_000])
def test_samples_of_files(tmp_path: Path, size: int) -> None:
    """A change at either end is seen, and any change in a small file; the length too."""
    path = tmp_path / "a.bin"
    data = bytearray(np.random.default_rng(0).bytes(size))
    path.write_bytes(data)
    before = file_sample(path)
    assert file_sample(path) == before
    for place in {0, size // 2, size - 1} if 0 < size <= 65_536 else {0, size - 1} if size else ():
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert file_sample(path) != before
    path.write_bytes(data + b"x")
    assert file_sample(path) != before


@pytest.mark.parametrize(
    "values",
    [{"threads": -1}, {"threads": 513}, {"context": 15}, {"context": -1}, {"gpu_layers": -2}],
)
def test_options_without_a_meaning(values: dict[str, Any]) -> None:
    with pytest.raises(MimoEdgeError, match=r"\bgive\b"):
        RuntimeOptions(**values)


def test_a_context_that_is_asked_for_is_never_made_smaller(default_bundle: Path) -> None:
    """Not even if it is what would be taken where none is asked for."""
    backbone = replace(load_manifest(default_bundle).backbone, max_positions=384)
    assert RuntimeOptions().context_for(backbone) == 384
    assert RuntimeOptions(context=100).context_for(backbone) == 100
    with pytest.raises(MimoEdgeError, match="4096 positions is more than this model knows"):
        RuntimeOptions(context=4096).context_for(backbone)


def test_a_context_beyond_the_model(default_bundle: Path) -> None:
    with pytest.raises(MimoEdgeError, match="more than this model knows; give at most 8192"):
        MimoAudio.load(default_bundle, RuntimeOptions(context=8193))


@pytest.mark.parametrize(
    ("part", "values", "name"),
    [
        ("patch", {"channels": 7}, "patch_encoder"),
        ("patch", {"vocab_sizes": (10,)}, "patch_decoder"),
        ("backbone", {"hidden_size": 64}, "patch_encoder"),
        ("audio", {"n_mels": 80}, "vocoder"),
        ("audio", {"n_mels": 80}, "audio_encoder"),
        ("audio", {"decoder_head_dim": 2}, "audio_decoder"),
    ],
)
def test_contracts_of_graphs(
    default_bundle: Path, part: str, values: dict[str, Any], name: str
) -> None:
    """A graph that does not fit the manifest is named, with what is wrong about it."""
    manifest = load_manifest(default_bundle)
    manifest = replace(manifest, **{part: replace(getattr(manifest, part), **values)})
    with pytest.raises(MimoEdgeError, match=r"instead of (float32|int64)") as caught:
        Graph.load(default_bundle, name, manifest, Placement(threads=1))
    assert f"{name}.onnx: " in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [(3, "has no input 'past_key_2'"), (1, r"has an unknown input 'past_(key|value)_1'")],
)
def test_a_patch_decoder_with_another_number_of_layers(
    default_bundle: Path, layers: int, complaint: str
) -> None:
    manifest = load_manifest(default_bundle)
    manifest = replace(manifest, patch=replace(manifest.patch, local_layers=layers))
    with pytest.raises(MimoEdgeError, match=rf"patch_decoder\.onnx {complaint}; convert again"):
        Graph.load(default_bundle, "patch_decoder", manifest, Placement(threads=1))


def test_a_graph_under_the_name_of_another(default_bundle: Path, tmp_path: Path) -> None:
    manifest = load_manifest(default_bundle)
    for other in ("patch_encoder", "vocoder"):
        shutil.copyfile(default_bundle / f"{other}.onnx", tmp_path / "patch_decoder.onnx")
        data = f"{other}.onnx.data"
        shutil.copyfile(default_bundle / data, tmp_path / data)
        with pytest.raises(
            MimoEdgeError, match=r"patch_decoder.onnx has the values of .* in another file"
        ):
            Graph.load(tmp_path, "patch_decoder", manifest, Placement(threads=1))


def test_a_closed_graph_says_so(default_bundle: Path) -> None:
    with Graph.load(
        default_bundle, "patch_encoder", load_manifest(default_bundle), Placement(threads=1)
    ) as graph:
        assert graph.inputs
    with pytest.raises(MimoEdgeError, match="the model is closed"):
        graph.run({"codes": np.zeros((1, 4, 8), dtype=np.int64)})
