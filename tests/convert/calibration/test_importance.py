"""An importance matrix from speech: measured along real prompts, used by the quantizer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.backbone.activations import Passage, measure_importance
from convert.backbone.imatrix import check_imatrix, read_imatrix
from convert.backbone.writing import tensor_names, write_backbone
from convert.calibration.prompts import Utterance, calibration_prompts, equal_shares
from convert.calibration.speech import calibration_clips
from convert.checkpoints.source import Source, open_source
from mimo_edge.bundle.manifest import BACKBONE_FILE
from mimo_edge.engine import Engine
from mimo_edge.errors import MimoEdgeError
from tests.tools.bundles import convert_checkpoint
from tests.tools.imatrix_files import random_sums, write_imatrix
from tests.tools.safetensors_files import AUDIO_TOKENIZER, LANGUAGE_MODEL

DEMO = Path(__file__).parents[2] / "data" / "demo"
HIDDEN = 256


def read_source() -> Source:
    return open_source(LANGUAGE_MODEL, AUDIO_TOKENIZER)


@pytest.fixture(scope="module")
def source() -> Source:
    return read_source()


@pytest.fixture(scope="module")
def gguf_file(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gguf") / "source.gguf"
    write_backbone(
        source.language_checkpoint, source.language, source.text, out, type="bf16", name="x"
    )
    return out


def passages(*lengths: int) -> list[Passage]:
    rng = np.random.default_rng(0)
    return [
        Passage(
            embeddings=rng.standard_normal((length, HIDDEN), dtype=np.float32),
            weights=rng.random(length, dtype=np.float32),
        )
        for length in lengths
    ]


def matrices(source: Source) -> dict[str, tuple[int, ...]]:
    named = tensor_names(source.language).items()
    return {name: shape for name, (_, shape) in named if len(shape) > 1}


def test_weighted_means_of_squares(source: Source, gguf_file: Path) -> None:
    """Of the first matrices' inputs, which are known: the rows, normalized."""
    told: list[tuple[int, int]] = []
    # Two go into one batch; the one that is longer than a batch is cut.
    runs = passages(200, 100, 600)
    out = gguf_file.with_name("measured.gguf")
    measure_importance(gguf_file, runs, out, threads=1, progress=lambda *a: told.append(a))
    found = read_imatrix(out)
    check_imatrix(found, matrices(source), out)
    assert found.keys() == matrices(source).keys() - {"token_embd.weight"}
    assert told[-1] == (900, 900)
    rows = np.concatenate([run.embeddings for run in runs])
    shares = np.concatenate([run.weights for run in runs])
    scale = (np.square(rows).mean(axis=1) + source.language.rms_norm_eps) ** -0.5
    gain = source.language_checkpoint.array("model.layers.0.input_layernorm.weight")
    squares = np.square(rows * scale[:, None] * gain)
    expected = (shares[:, None] * squares).sum(axis=0) / shares.sum()
    np.testing.assert_allclose(found["blk.0.attn_q.weight"], expected, rtol=1e-4)
    assert found["output.weight"].all() and found["blk.1.ffn_down.weight"].all()
    assert sorted(path.name for path in gguf_file.parent.iterdir()) == [
        "measured.gguf",
        "source.gguf",
    ]


def test_a_model_that_does_not_load_is_told(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"nothing")
    with pytest.raises(MimoEdgeError, match="measuring the activations stopped"):
        measure_importance(tmp_path / "model.gguf", passages(4), tmp_path / "out.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_prompts_have_sound_and_words(engine: Engine) -> None:
    heard = [
        Utterance(patches=engine.hearing.listen(r.path), text=r.text)
        for r in calibration_clips(None)[:3]
    ]
    without = [Utterance(patches=u.patches, text=None) for u in heard]
    for utterances in (heard, without, heard[:1]):
        runs = calibration_prompts(engine.layout, utterances, longest=100)
        assert max(map(len, runs)) <= 100
        shares = np.concatenate(equal_shares(runs, engine.layout.empty_id))
        is_patch = np.concatenate([run.text_ids for run in runs]) == engine.layout.empty_id
        assert shares[is_patch].sum() == pytest.approx(0.5, abs=1e-4)
        assert shares[~is_patch].sum() == pytest.approx(0.5, abs=1e-4)
    texts = [
        engine.tokenizer.decode([int(t) for t in run.text_ids if t != engine.layout.empty_id])
        for run in calibration_prompts(engine.layout, heard, longest=384)
    ]
    assert all(any(u.text in text for text in texts) for u in heard if u.text)


def converted(out: Path, **options: Any) -> Path:
    return convert_checkpoint(LANGUAGE_MODEL, AUDIO_TOKENIZER, out, "small", **options)


def test_another_voice_rounds_another_backbone(tmp_path: Path) -> None:
    """It has the same size; what listens is the same. A matrix that is given wins."""
    stages: list[str] = []
    shipped = converted(
        tmp_path / "shipped", progress=lambda stage, done, total: stages.append(stage)
    )
    assert "measuring the backbone" in stages
    voice = tmp_path / "voice"
    voice.mkdir()
    shutil.copy(DEMO / "voice-slt.flac", voice)
    own = converted(tmp_path / "own", calibration=voice)
    sums = random_sums({name: shape[-1] for name, shape in matrices(read_source()).items()})
    write_imatrix(tmp_path / "given.gguf", sums, legacy=False)
    given = [
        converted(tmp_path / name, calibration=folder, imatrix=tmp_path / "given.gguf")
        for name, folder in (("a", None), ("b", voice))
    ]
    files = [(folder / BACKBONE_FILE).read_bytes() for folder in (shipped, own, *given)]
    assert len({len(data) for data in files}) == 1
    assert len(set(files)) == 3 and files[2] == files[3]
    for path in shipped.glob("*encoder.onnx*"):
        assert path.read_bytes() == (own / path.name).read_bytes()


def test_a_folder_in_which_nothing_can_be_heard(tmp_path: Path) -> None:
    folder = tmp_path / "speech"
    folder.mkdir()
    (folder / "notes.txt").write_text("no sound")
    with pytest.raises(MimoEdgeError, match="no recording that can be read"):
        converted(tmp_path / "out", calibration=folder)
    assert [path.name for path in tmp_path.iterdir()] == ["speech"]
