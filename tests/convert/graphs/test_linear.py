"""Linear layers at every precision, run: how near they are, and how their rows are cut."""

import tracemalloc
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from convert.graphs.blocks import block_length, layout_of
from convert.graphs.graph_builder import GraphBuilder
from convert.graphs.linear import PRECISIONS, Precision, linear

OUT = 96
DISTANCE: dict[Precision, float] = {
    **{"fp32": 1e-6, "int8": 0.015, "w8": 0.01, "w4": 0.1},
    "w4c": 0.12,  # longer blocks, and nothing here that calibrates them
}
"""Most of the relative error of a product with normally distributed weights and inputs."""


class Normal:
    """Any tensor, of normally distributed values."""

    def __init__(self, columns: int) -> None:
        self._values = np.random.default_rng(3).standard_normal((OUT, columns), dtype=np.float32)

    def array(self, name: str) -> NDArray[np.float32]:
        return self._values * (2.0 if name == "second" else 1.0)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._values.shape


@pytest.mark.parametrize("columns", [512, 192, 160, 37])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_products(precision: Precision, columns: int, tmp_path: Path) -> None:
    weights = Normal(columns)
    graph = GraphBuilder("linear")
    x = graph.input("x", "float", [1, "rows", columns])
    graph.output(
        linear(graph, weights, x, ["first", "second"], precision),
        "y",
        "float",
        [1, "rows", 2 * OUT],
    )
    graph.save(tmp_path / "linear.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "linear.onnx", providers=["CPUExecutionProvider"]
    )
    both = np.concatenate([weights.array("first"), weights.array("second")])
    for rows in (1, 50):
        given = np.random.default_rng(rows).standard_normal((1, rows, columns), dtype=np.float32)
        expected = given @ both.T
        error = session.run(None, {"x": given})[0] - expected
        assert np.linalg.norm(error) < DISTANCE[precision] * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("columns", "bits", "length"),
    [(1024, 8, 128), (5120, 8, 128), (192, 8, 64), (160, 8, 32), (37, 8, 32), (1024, 4, 32)],
)
def test_the_longest_block_that_needs_no_padding(columns: int, bits: int, length: int) -> None:
    assert block_length(columns, bits) == length


def test_matrices_that_meet_many_rows_have_longer_blocks() -> None:
    blocks = [layout_of("w8", "encoder.layers.0.fc1.weight", n).block for n in (1280, 192, 37)]
    assert blocks == [256, 64, 32]
    assert layout_of("w8", "decoder.layers.0.fc1.weight", 1280).block == 128


@pytest.mark.parametrize("precision", [name for name in PRECISIONS if name != "fp32"])
def test_written_weights_are_not_kept(precision: Precision, tmp_path: Path) -> None:
    """Twelve layers take the memory of one at a time, also while the graph lives on."""
    weights = Normal(4096)
    graph = GraphBuilder("linear")
    x = graph.input("x", "float", [1, "rows", 4096])
    for index in range(12):
        y = linear(graph, weights, x, [f"layer{index}"], precision)
        graph.output(y, f"y{index}", "float", [1, "rows", OUT])
    of_one = graph.weight_bytes() / 12
    tracemalloc.start()
    try:
        graph.save(tmp_path / "linear.onnx")
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2 * of_one
    working = 4 * OUT * 4096  # one layer in float32, of which a few copies are made
    assert peak < 8 * working
