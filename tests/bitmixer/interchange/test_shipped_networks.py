"""The networks that ship inside the ``onnx`` package, against counts and runs that are not ours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper, shape_inference

import bitmixer

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

PUBLISHED_MACS = {
    "light_inception_v1": 1.5e9,  # Szegedy et al., "Going deeper with convolutions", CVPR 2015, section 1: the budget
    "light_squeezenet": 0.36e9,  # of SqueezeNet 1.1, by its authors: 0.72e9 operations, two per multiply-accumulate
    "light_vgg19": 19.6e9,  # He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 3.3
}

NAMES = (
    "light_bvlc_alexnet", "light_densenet121", "light_inception_v1", "light_inception_v2", "light_resnet50",
    "light_shufflenet", "light_squeezenet", "light_vgg19", "light_zfnet512",
)  # fmt: skip


def with_random_weights(name: str) -> onnx.ModelProto:
    """Return a shipped network whose constant weights are drawn, and whose last softmax is cut off."""
    model = onnx.load(FOLDER / f"{name}.onnx")
    shapes = {tensor.name: tensor for tensor in model.graph.initializer}
    generator = np.random.default_rng(0)
    kept = []
    for node in model.graph.node:
        if node.op_type == "ConstantOfShape":
            drawn = _drawn(numpy_helper.to_array(shapes[node.input[0]]), generator)
            model.graph.initializer.append(numpy_helper.from_array(drawn, node.output[0]))
        elif node.op_type == "Softmax":
            model.graph.output[0].name = node.input[0]
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def _drawn(shape: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    values = generator.standard_normal(shape)
    if len(shape) == 1:  # a variance must be positive
        return (1.0 + 0.1 * np.abs(values)).astype(np.float32)
    return (values * math.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


def counted(name: str) -> dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """Return (MACs, shape read, shape written) of every Conv and Gemm by ONNX's own shape inference."""
    model = shape_inference.infer_shapes(onnx.load(FOLDER / f"{name}.onnx"), strict_mode=True, data_prop=True)
    described = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    shapes = {tensor.name: tuple(size.dim_value for size in tensor.type.tensor_type.shape.dim) for tensor in described}
    return {
        node.name: (
            math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:]),
            shapes[node.input[0]][1:],
            shapes[node.output[0]][1:],
        )
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
    }


@pytest.mark.parametrize("name", ["light_squeezenet", "light_shufflenet", "light_inception_v1"])
def test_they_compute_what_onnxruntime_does(name: str, tmp_path: Path, execute_onnx: Any) -> None:
    onnx.save(with_random_weights(name), tmp_path / "net.onnx")
    inputs = torch.randn(1, 3, 224, 224)
    expected = execute_onnx(tmp_path / "net.onnx", inputs)
    with torch.no_grad():
        results = bitmixer.from_onnx(tmp_path / "net.onnx")(inputs)
    torch.testing.assert_close(results, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", NAMES)
def test_macs_and_shapes_are_those_of_onnx_s_own_shape_inference(name: str) -> None:
    graph = bitmixer.graph_from_onnx(FOLDER / f"{name}.onnx")
    expected = counted(name)
    assert set(graph.index) == set(expected)
    for layer in graph.layers:
        macs, read, written = expected[layer.name]
        assert layer.macs == macs
        assert (layer.input_elements, layer.output_channels * layer.output_positions) == (
            math.prod(read), math.prod(written),
        )  # fmt: skip
        if layer.kind == "convolution":
            assert (layer.input_channels, layer.input_height, layer.input_width) == read
            assert (layer.output_channels, layer.output_height, layer.output_width) == written
    if name in PUBLISHED_MACS:
        assert graph.macs == pytest.approx(PUBLISHED_MACS[name], rel=0.05)
    assert (graph.input_shape, graph.classes) == ((3, 224, 224), 1000)
    assert graph.layers[0].pinned
    assert graph.layers[-1].pinned
    assert graph.uniform_bits == (2, 3, 4, 8)
    page = (Path(__file__).parents[3] / "docs" / "interchange.md").read_text(encoding="utf-8")
    assert f"| {name} | {len(graph.layers)} | {graph.macs:,} |" in page
