"""Every tensor of a checkpoint is read, or named as not needed; the synthesis window is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from convert.backbone.writing import expected_backbone_tensors
from convert.checkpoints.checkpoint import Checkpoint
from convert.checkpoints.configs import AudioTokenizerConfig
from convert.checkpoints.source import Source, open_source
from convert.checkpoints.tensors import RecordedWeights, unread_tensors
from convert.graphs.patch_decoder import decoder_input_tables
from convert.graphs.vocoder import WINDOW_TENSOR, build_vocoder
from convert.recipes import build_graph
from mimo_edge.bundle.manifest import GRAPHS
from mimo_edge.errors import MimoEdgeError
from tests import reference
from tests.golden.folder import relative
from tests.tools.safetensors_files import (
    AUDIO_TOKENIZER,
    LANGUAGE_MODEL,
    copy_audio_tokenizer,
    copy_language_model,
    read_tensors,
    write_safetensors,
)

DEMO = Path(__file__).parents[3] / "models" / "demo-checkpoint" / "MiMo-Audio-Demo"
CHECKPOINTS = {
    "golden": (LANGUAGE_MODEL, AUDIO_TOKENIZER),
    "demo": (DEMO, DEMO.with_name(f"{DEMO.name}-Tokenizer")),
}


class Reading(RecordedWeights):
    """Weights that remember whose values were read, not only whose shapes."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self.read: set[str] = set()

    def array(self, name: str) -> np.ndarray:
        self.read.add(name)
        return super().array(name)


def read_by_graphs(source: Source, folder: Path) -> tuple[set[str], set[str]]:
    """Names of the language model's and the audio tokenizer's tensors whose values go into
    the graphs and the tables beside them."""
    weights = {
        "language": Reading(source.language_checkpoint),
        "audio": Reading(source.audio_checkpoint),
    }
    for name in GRAPHS:
        graph = build_graph(name, "fp32", weights.__getitem__, source.language, source.audio)
        graph.save(folder / f"{name}.onnx")
    decoder_input_tables(weights["language"], source.language)
    return weights["language"].read, weights["audio"].read


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_tensor_goes_into_the_bundle_or_is_named(name: str, tmp_path: Path) -> None:
    source = open_source(*CHECKPOINTS[name])
    language, audio = read_by_graphs(source, tmp_path)
    language |= expected_backbone_tensors(source.language).keys()
    assert WINDOW_TENSOR in audio
    assert unread_tensors(source.audio_checkpoint.names(), audio) == []
    assert unread_tensors(source.language_checkpoint.names(), language) == []


def add_tensor(folder: Path, name: str, dtype: str = "F32") -> None:
    path = folder / "model.safetensors"
    kinds = {"F32": np.float32, "I64": np.int64}
    write_safetensors(path, read_tensors(path) | {name: (dtype, np.ones(3, kinds[dtype]))})


@pytest.mark.parametrize(
    "name", ["model.layers.2.self_attn.q_proj.weight", "lm_head.bias", "speech_scale"]
)
def test_a_language_model_with_a_tensor_that_nothing_reads(name: str, tmp_path: Path) -> None:
    model = copy_language_model(tmp_path)
    add_tensor(model, name)
    with pytest.raises(MimoEdgeError) as caught:
        open_source(model, AUDIO_TOKENIZER)
    text = str(caught.value)
    assert f"{model} has the tensor {name!r}, which" in text
    assert text.endswith(".") and "\n" not in text


def test_an_audio_tokenizer_with_tensors_that_nothing_reads(tmp_path: Path) -> None:
    tokenizer = copy_audio_tokenizer(tmp_path)
    add_tensor(tokenizer, "encoder.layers.0.self_attn.k_proj.bias")
    add_tensor(tokenizer, "mel.window")
    with pytest.raises(MimoEdgeError, match=r"k_proj.bias' and 1 more, which a model"):
        open_source(LANGUAGE_MODEL, tokenizer)


def test_what_has_no_part_in_the_answers_may_be_there(tmp_path: Path) -> None:
    model, tokenizer = copy_language_model(tmp_path / "m"), copy_audio_tokenizer(tmp_path / "t")
    add_tensor(model, "model.layers.0.self_attn.rotary_emb.inv_freq")
    add_tensor(model, "local_transformer.embed_tokens.weight")
    add_tensor(tokenizer, "encoder.quantizer.vq.layers.3._codebook.embed_avg", "I64")
    assert open_source(model, tokenizer).language.group_size == 4


def waveforms(tokenizer: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the graph `vocoder` and the numpy evaluation make of the same frames."""
    checkpoint = Checkpoint.open(tokenizer)
    config = AudioTokenizerConfig.parse(checkpoint.config, tokenizer / "config.json")
    build_vocoder(RecordedWeights(checkpoint), config, "fp32").save(folder / "vocoder.onnx")
    session = onnxruntime.InferenceSession(
        folder / "vocoder.onnx", providers=["CPUExecutionProvider"]
    )
    frames = np.random.default_rng(5).standard_normal((50, config.n_mels)).astype(np.float32)
    found = session.run(None, {"mel": frames[None]})[0]
    return found, reference.AudioTokenizer(tokenizer).vocode(frames)


def with_window(folder: Path, window: np.ndarray) -> Path:
    """The golden audio tokenizer with another synthesis window."""
    path = copy_audio_tokenizer(folder) / "model.safetensors"
    write_safetensors(path, read_tensors(path) | {WINDOW_TENSOR: ("F32", window)})
    return folder


def test_the_window_is_the_checkpoints(tmp_path: Path) -> None:
    """Any window: one rounded to bfloat16 differs from a computed one by 0.0019 of the peak."""
    before, _ = waveforms(AUDIO_TOKENIZER, tmp_path)
    bits = read_tensors(AUDIO_TOKENIZER / "model.safetensors")[WINDOW_TENSOR][1].view(np.uint32)
    rounded = ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    for name, window in (("rounded", rounded), ("sine", np.sqrt(rounded))):
        found, expected = waveforms(with_window(tmp_path / name, window), tmp_path)
        assert relative(found, expected) <= 1e-4
        assert relative(before, expected) > 1e-3


def test_a_window_with_gaps(tmp_path: Path) -> None:
    with pytest.raises(MimoEdgeError, match=r"the weights are damaged: windows like 'decoder.voc"):
        waveforms(with_window(tmp_path / "t", np.zeros(960, np.float32)), tmp_path)
