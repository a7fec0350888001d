"""Graphs that no conversion writes are refused before onnxruntime loads or runs them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mimo_edge.bundle.files import load_manifest
from mimo_edge.bundle.manifest import GRAPHS, Manifest
from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.stages.graphs.graph import Graph
from mimo_edge.stages.machine.placement import Placement
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.stages.patch_decoder import PatchDecoder
from mimo_edge.stages.sampling import SamplerOptions

from .test_bad_bundle import sign

Change = Callable[[Any], object]


@pytest.fixture(scope="module")
def manifest(default_bundle: Path) -> Manifest:
    return load_manifest(default_bundle)


@pytest.fixture
def bundle(default_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle, tmp_path / "bundle"))


def refused(bundle: Path, manifest: Manifest, name: str) -> str:
    """What loading a graph says; one sentence that names the file."""
    with pytest.raises(MimoEdgeError) as caught:
        Graph.load(bundle, name, manifest, Placement(threads=1))
    text = str(caught.value)
    assert text.startswith(str(bundle / f"{name}.onnx")) and text.endswith("again.")
    assert text.isprintable() and len(text) < 500
    return text


def changed(bundle: Path, manifest: Manifest, name: str, change: Change) -> str:
    """What loading says of a graph of the bundle with a change."""
    path = bundle / f"{name}.onnx"
    before = path.read_bytes()
    model = onnx.load_model_from_string(before)
    change(model)
    path.write_bytes(model.SerializeToString())
    try:
        return refused(bundle, manifest, name)
    finally:
        path.write_bytes(before)


def add(*nodes: Any, constants: dict[str, Any] | None = None) -> Change:
    """Operators at the end of a graph, with constants of theirs."""

    def change(model: Any) -> None:
        for name, values in (constants or {}).items():
            model.graph.initializer.append(numpy_helper.from_array(np.array(values), name))
        model.graph.node.extend(nodes)

    return change


def node(operator: str, inputs: list[str], **attributes: Any) -> Any:
    return helper.make_node(operator, inputs, ["more"], **attributes)


def first(model: Any, operator: str) -> Any:
    return next(each for each in model.graph.node if each.op_type == operator)


def set_attribute(operator: str, name: str, value: Any) -> Change:
    def change(model: Any) -> None:
        found = first(model, operator)
        kept = [each for each in found.attribute if each.name != name]
        del found.attribute[:]
        found.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


def test_operators_that_no_conversion_writes(bundle: Path, manifest: Manifest) -> None:
    body = helper.make_graph([node("Identity", ["x"])], "body", [], [])
    changes = [
        add(node("Loop", ["", "", "codes"], body=body)),
        add(node("If", ["codes"], then_branch=body, else_branch=body)),
        add(node("Scan", ["codes"], body=body, num_scan_inputs=1)),
        add(node("Constant", [], value=numpy_helper.from_array(np.zeros(3)))),
        add(node("ConstantOfShape", ["n"]), constants={"n": [2**20]}),
        add(node("Tile", ["codes", "n"]), constants={"n": [2**20] * 3}),
        add(node("EyeLike", ["codes"])),
        add(node("RandomUniform", [], shape=[2**40])),
        add(node("Einsum", ["codes", "codes"], equation="abc,def->abcdef")),
        add(node("Identity", ["codes"], domain="evil")),
        add(node("Attention", ["codes"], domain="com.microsoft")),
        add(node("Identity", ["codes"], more=1)),
        add(node("Identity", ["nowhere"])),
        lambda model: model.graph.node.extend([first(model, "Identity")]),
        lambda model: model.functions.append(onnx.FunctionProto(name="f", domain="d")),
        lambda model: model.training_info.append(onnx.TrainingInfoProto()),
        lambda model: model.graph.sparse_initializer.append(onnx.SparseTensorProto()),
        lambda model: model.ClearField("graph"),
    ]
    for change in changes:
        changed(bundle, manifest, "patch_encoder", change)
    text = changed(bundle, manifest, "patch_encoder", changes[4])
    assert "has the operator 'ConstantOfShape', and no conversion writes that" in text


def test_constants_that_would_become_enormous(bundle: Path, manifest: Manifest) -> None:
    sides = {"a": np.ones((2**20, 1), np.float32), "b": np.ones((1, 2**20), np.float32)}
    small = {"a": np.ones((8192, 1), np.float32), "b": np.ones((1, 8192), np.float32)}
    changes = [
        add(node("Mul", ["a", "b"]), constants=sides),
        add(node("Mul", ["a", "b"]), constants=small),
        add(node("Range", ["a", "b", "c"]), constants={"a": 0, "b": 2**23, "c": 1}),
        add(node("Expand", ["a", "b"]), constants={"a": np.float32(1), "b": [2**23, 2**23]}),
        add(node("MatMul", ["a", "b"]), constants=sides),
        add(node("Reshape", ["codes", "a"]), constants={"a": [2**40]}),
        add(node("Mul", ["codes", "codes"])),
        add(node("Mul", ["codes", "a"]), constants={"a": [2**20]}),
        add(node("Identity", ["a"]), constants={"a": [-(2**62)]}),
    ]
    for change in changes:
        changed(bundle, manifest, "patch_encoder", change)


def test_numbers_that_onnxruntime_does_not_look_after(bundle: Path, manifest: Manifest) -> None:
    cases: list[tuple[str, Change]] = [
        ("patch_encoder", add(node("Div", ["codes", "a"]), constants={"a": [0]})),
        ("patch_encoder", add(node("Mod", ["codes", "codes"]))),
        ("patch_encoder", set_attribute("MultiHeadAttention", "num_heads", 0)),
        ("patch_encoder", set_attribute("MultiHeadAttention", "num_heads", -1)),
        ("patch_encoder", set_attribute("MultiHeadAttention", "num_heads", 10**12)),
        ("patch_encoder", set_attribute("MultiHeadAttention", "num_heads", 1.5)),
        ("patch_encoder", set_attribute("MultiHeadAttention", "num_heads", "x")),
        ("audio_encoder", set_attribute("Conv", "kernel_shape", [10**9])),
        ("audio_encoder", set_attribute("Conv", "strides", [0])),
        ("audio_encoder", set_attribute("Conv", "pads", [-5, 10**9])),
        ("audio_encoder", set_attribute("Conv", "group", 3)),
        ("audio_encoder", set_attribute("LayerNormalization", "epsilon", float("nan"))),
        ("audio_decoder", set_attribute("Cast", "to", 16)),
    ]
    for name, value in (("N", 7), ("K", 7), ("K", 0), ("bits", 5), ("bits", 4), ("block_size", 48)):
        cases.append(("patch_encoder", set_attribute("MatMulNBits", name, value)))

    def far(model: Any) -> None:
        rotary = first(model, "RotaryEmbedding")
        model.graph.initializer.append(numpy_helper.from_array(np.array([900]), "far"))
        rotary.input[1] = "far"

    def attention(place: int, name: str) -> Change:
        def change(model: Any) -> None:
            first(model, "GroupQueryAttention").input[place] = name

        return change

    for place, name in ((5, "far"), (6, "far"), (7, "x"), (8, "x")):
        cases.append(("patch_decoder", attention(place, name)))
    cases.append(("patch_decoder", set_attribute("GroupQueryAttention", "num_heads", 0)))
    cases.append(("patch_decoder", set_attribute("GroupQueryAttention", "softcap", 1.0)))
    for name, change in (*cases, ("patch_encoder", far)):
        changed(bundle, manifest, name, change)


def test_weights_in_other_places(bundle: Path, manifest: Manifest) -> None:
    def external(**entries: str | None) -> Change:
        def change(model: Any) -> None:
            tensor = next(t for t in model.graph.initializer if t.external_data)
            found = {entry.key: entry.value for entry in tensor.external_data} | entries
            del tensor.external_data[:]
            for key, value in found.items():
                if value is not None:
                    tensor.external_data.add(key=key, value=value)

        return change

    def tensor(**fields: Any) -> Change:
        def change(model: Any) -> None:
            found = next(t for t in model.graph.initializer if t.external_data)
            for key, value in fields.items():
                if isinstance(value, list):
                    del getattr(found, key)[:]
                    getattr(found, key).extend(value)
                else:
                    setattr(found, key, value)

        return change

    changes = [
        *(
            external(location=place)
            for place in ("/etc/passwd", "../x", "", "vocoder.onnx.data", "\x1b[2J", None)
        ),
        *(external(offset=text) for text in ("-1", "1e3", "9" * 30, str(2**62), "٣")),
        *(external(length=text) for text in ("0", "-1", "1", str(2**40), None)),
        external(more="1"),
        *(tensor(dims=dims) for dims in ([], [-1], [0], [2**62, 4], [1] * 9)),
        *(tensor(data_type=kind) for kind in (0, 8, 10, 16, 99)),
        tensor(raw_data=b"1234"),
        tensor(data_location=0),
        tensor(int32_data=[1, 2]),
        lambda model: model.graph.initializer.append(model.graph.initializer[0]),
        lambda model: model.graph.input.append(
            helper.make_tensor_value_info(model.graph.initializer[0].name, 1, [1])
        ),
    ]
    for change in changes:
        changed(bundle, manifest, "patch_encoder", change)


def test_files_that_are_no_graphs(
    bundle: Path, manifest: Manifest, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it reaches standard output, where results go."""
    path = bundle / "vocoder.onnx"
    data = path.read_bytes()
    files = [b"", b"\x00", b"\xff" * 1000, b"text", data[:-1], data[: len(data) // 2], data * 2]
    files += [b"\x3a\xff\xff\xff\xff\x0f", b"\x08" + b"\x80" * 30, b"\x0b" * 100]
    for other in files:
        path.write_bytes(other)
        refused(bundle, manifest, "vocoder")
    path.unlink()
    refused(bundle, manifest, "vocoder")
    path.mkdir()
    refused(bundle, manifest, "vocoder")
    out, err = capfd.readouterr()
    assert not out and not err


def test_what_onnxruntime_refuses_itself(
    bundle: Path, manifest: Manifest, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its wrapper prints that, unless it is told not to."""

    path = bundle / "patch_decoder.onnx"
    model = onnx.load_model_from_string(path.read_bytes())
    model.opset_import[0].version = 999
    path.write_bytes(model.SerializeToString())
    refused(bundle, manifest, "patch_decoder")
    out, err = capfd.readouterr()
    assert not out and not err


def test_every_graph_passes(default_bundle: Path, reference_bundle: Path) -> None:
    for folder in (default_bundle, reference_bundle):
        manifest = load_manifest(folder)
        for name in GRAPHS:
            Graph.load(folder, name, manifest, Placement(threads=1)).close()


def set_constant(name: str, value: int) -> Change:
    """Another number in the constant that an operator of this type takes as its last input."""

    def change(model: Any) -> None:
        constants = {each.name: each for each in model.graph.initializer}
        found = next(
            each
            for each in model.graph.node
            if each.op_type == name and each.input[-1] in constants
        )
        tensor = constants[found.input[-1]]
        values = np.full_like(numpy_helper.to_array(tensor), value)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    return change


def test_graphs_that_load_and_compute_something_else(
    bundle: Path, manifest: Manifest, capfd: pytest.CaptureFixture[str]
) -> None:
    """What only shows when they run is a sentence then."""

    cases: list[tuple[str, Change]] = [
        ("vocoder", set_constant("Pad", 2)),
        ("audio_decoder", set_constant("Reshape", 7)),
        ("audio_encoder", set_constant("Unsqueeze", 0)),
    ]
    options = RuntimeOptions(threads=1, context=64, device="cpu")
    tone = np.sin(np.arange(24_000) / 20).astype(np.float32)
    for name, change in cases:
        path = bundle / f"{name}.onnx"
        before = path.read_bytes()
        model = onnx.load_model_from_string(before)
        change(model)
        path.write_bytes(model.SerializeToString())
        sign(bundle, manifest)
        with pytest.raises(MimoEdgeError) as caught, MimoAudio.load(bundle, options) as loaded:
            loaded.decode(loaded.encode(tone))
        text = str(caught.value)
        assert "bundle" in text and text.isprintable() and len(text) < 600
        path.write_bytes(before)
    out, err = capfd.readouterr()
    assert not out and not err


def test_a_patch_decoder_that_declares_other_sizes(bundle: Path, manifest: Manifest) -> None:
    """It computes into arrays that are made for what it declares; what does not fit shows then."""
    path = bundle / "patch_decoder.onnx"
    model = onnx.load_model_from_string(path.read_bytes())
    (logits,) = (value for value in model.graph.output if value.name == "logits")
    logits.type.tensor_type.shape.dim[0].dim_value = 2**31 - 1
    path.write_bytes(model.SerializeToString())
    sign(bundle, manifest)
    hidden = np.zeros(manifest.backbone.hidden_size, dtype=np.float32)
    with (
        contextlib.closing(PatchDecoder.load(bundle, manifest, Placement(threads=1))) as decoder,
        pytest.raises(MimoEdgeError, match=r"patch_decoder\.onnx cannot be computed") as said,
    ):
        decoder.decode(hidden, SamplerOptions(), np.random.default_rng(1))
    assert str(said.value).isprintable() and len(str(said.value)) < 600
