"""Import of QONNX: widths are the file's, and what was exported comes back as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import bitmixer
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import InterchangeError
from bitmixer.networks import find_checkpoint

Write = Callable[..., Path]


@pytest.mark.parametrize("name", ["resnet8_digits", "resnet20_mnist5k"])
def test_what_was_exported_comes_back_with_its_widths_pinned(name: str, tmp_path: Path) -> None:
    network = bitmixer.load_network(name)
    assignment = BitAssignment.random(network.sites, np.random.default_rng(5))
    bitmixer.export_qonnx(network, assignment, tmp_path / f"{name}.onnx")
    captured = find_checkpoint(name).graph
    pinned = tuple(dataclasses.replace(layer, allowed=(assignment[layer.name],)) for layer in captured.layers)
    expected = dataclasses.replace(captured, network=name, layers=pinned)
    assert bitmixer.graph_from_onnx(tmp_path / f"{name}.onnx") == expected


def test_weights_come_back_rounded(tmp_path: Path) -> None:
    """The module is the network with rounded weights and activations left alone."""
    network = bitmixer.load_network("resnet8_digits")
    assignment = BitAssignment.random(network.sites, np.random.default_rng(6))
    bitmixer.export_qonnx(network, assignment, tmp_path / "net.onnx")
    inputs = bitmixer.load_data("digits")[0][:20]
    network.assign(assignment)
    network.quantize(activations=False)
    with torch.no_grad():
        torch.testing.assert_close(
            bitmixer.from_onnx(tmp_path / "net.onnx")(inputs), network(inputs), atol=1e-3, rtol=1e-4
        )


AS_BREVITAS_WRITES = """
    qx = Quant <signed=0, narrow=0, rounding_mode="ROUND"> (x, $0.1, $0.0, $7.0)
    qw = Quant <signed=1, narrow=1, rounding_mode="ROUND"> (w[4,2,3,3], $0.25, $0.0, $3.0)
    [first] a = Conv <pads=[1,1,1,1]> (qx, qw, b[4])
    c = Relu(a)
    d = IntQuant <signed=0, narrow=0, rounding_mode="ROUND"> (c, $0.125, $0.0, $5.0)
    e = MaxPool <kernel_shape=[2,2], strides=[2,2]> (d)
    qv = BipolarQuant (v[4,4,1,1], $0.5)
    [second] f = Conv (e, qv)
    g = IntQuant <signed=1, narrow=0, rounding_mode="ROUND"> (f, $0.5, $0.0, $6.0)
    h = IntQuant <signed=1, narrow=0, rounding_mode="ROUND"> (e, $0.5, $0.0, $4.0)
    i = Add(g, h)
    j = BipolarQuant(i, $0.5)
    [third] k = Conv (j, qu, t[2])
    l = AveragePool <kernel_shape=[3,3]> (k)
    m = Trunc <rounding_mode="FLOOR"> (l, $0.25, $0.0, $8.0, $4.0)
    n = Flatten(m)
    qs = IntQuant <signed=1, narrow=0, rounding_mode="FLOOR"> (s[3,2], $0.125, $0.0, $7.0)
    transposed = Transpose <perm=[1,0]> (qs)
    [last] y = MatMul(n, transposed)"""


def brevitas_like() -> str:
    quantised = 'qu = Quant <signed=1, narrow=0, rounding_mode="ROUND"> (u[2,4,1,1], $0.25, $0.0, $2.0)\n'
    return quantised + AS_BREVITAS_WRITES


def test_widths_are_those_of_the_nearest_quantisers(write: Write) -> None:
    graph = bitmixer.graph_from_onnx(write(brevitas_like(), shape="1,2,6,6"))
    widths = {layer.name: layer.allowed for layer in graph.layers}
    assert widths == {
        "first": (BitWidths(3, 7),),
        "second": (BitWidths(1, 5),),  # behind a pool
        "third": (BitWidths(2, 1),),
        "last": (BitWidths(7, 4),),  # the transposed weights, and a truncated average
    }
    operations = {layer.name: layer.vector_operations for layer in graph.layers}
    assert operations["last"] == 0  # bits that never switch need no affine
    assert graph.residual_bits == 6  # the wider of the operands that meet
    assert graph.uniform_bits == (7,)


def test_the_only_assignment_of_a_pinned_network_is_its_own(write: Write) -> None:
    graph = bitmixer.graph_from_onnx(write(brevitas_like(), shape="1,2,6,6"))
    assert graph.uniform(7) == BitAssignment({layer.name: layer.allowed[0] for layer in graph.layers})


@pytest.mark.parametrize("rounding", ["ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "HALF_EVEN"])
@pytest.mark.parametrize(("signed", "narrow", "zero"), [(1, 0, 0.0), (1, 1, 0.0), (0, 0, 3.0), (0, 1, 0.0)])
def test_weights_are_rounded_as_the_executor_rounds_them(
    rounding: str, signed: int, narrow: int, zero: float, write: Write, execute_qonnx: Any
) -> None:
    weights = np.array([-9, -3.5, -2.5, -1.5, -1.2, -0.5, 0, 0.5, 0.7, 1.5, 2.5, 3.5, 9], np.float32) / 4
    body = f"""
        q = Quant <signed={signed}, narrow={narrow}, rounding_mode="{rounding}"> (w, $0.25, ${zero}, $3.0)
        y = MatMul(x, q)"""
    path = write(body, shape="13,13", weights={"w": np.diag(weights)})
    with torch.no_grad():
        ours = bitmixer.from_onnx(path)(torch.eye(13))
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes

    ModelWrapper(str(path)).transform(InferShapes()).save(str(path))
    torch.testing.assert_close(ours, execute_qonnx(path, torch.eye(13)))


def test_bipolar_weights_are_plus_or_minus_the_scale(write: Write) -> None:
    body = "q = BipolarQuant (w, $0.5)\ny = MatMul(x, q)"
    network = bitmixer.from_onnx(write(body, shape="1,2", weights={"w": np.float32([[-3, 0], [2, -0.1]])}))
    with torch.no_grad():
        assert network(torch.eye(2)).tolist() == [[-0.5, 0.5], [0.5, -0.5]]


@pytest.mark.parametrize(
    ("operands", "divisor"), [("$1.0, $0.0, $8.0, $4.0", 16), ("$1.0, $0.0, $8.0, $16.0, $4.0", 1)]
)
def test_the_first_version_of_trunc_divides(operands: str, divisor: int, write: Write) -> None:
    """As the executor's ``trunc_v1`` does, and ``trunc_v2``, which takes a scale of its result, does not."""
    path = write(f'a = Trunc <rounding_mode="FLOOR"> (x, {operands})\ny = MatMul(a, w[2,3])', shape="1,2")
    inputs = torch.tensor([[16.0, -32.0]])
    network = bitmixer.from_onnx(path)
    with torch.no_grad():
        weight = torch.tensor(onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0]))
        torch.testing.assert_close(network(inputs), inputs / divisor @ weight)
    assert bitmixer.graph_from_onnx(path).layers[0].allowed == (BitWidths(8, 4),)


def test_widths_pass_rectifiers_and_the_widest_part_of_a_concatenation_counts(write: Write) -> None:
    body = """
        a = Quant <signed=1, narrow=0> (x, $0.25, $0.0, $3.0)
        b = Quant <signed=1, narrow=0> (x, $0.25, $0.0, $5.0)
        c = Concat <axis=1> (a, b)
        d = Relu (c)
        q = Quant <signed=1, narrow=0> (w[2,4,1,1], $0.25, $0.0, $2.0)
        [both] e = Conv (d, q)
        f = Concat <axis=1> (e, a)
        [one] y = Conv (f, v[2,4,1,1])"""
    graph = bitmixer.graph_from_onnx(write(body))
    assert [layer.allowed for layer in graph.layers] == [((2, 5),), ((8, 8),)]


def test_what_a_file_leaves_open_is_open_or_eight_bits(write: Write) -> None:
    """First: nothing quantised; second: only the weights; third: only the activations; fourth: nothing."""
    body = """
        [first] a = Conv (x, w[4,2,1,1])
        qv = Quant <signed=1, narrow=1> (v[4,4,1,1], $0.25, $0.0, $3.0)
        [second] b = Conv (a, qv)
        qb = Quant <signed=1, narrow=1> (b, $0.25, $0.0, $5.0)
        [third] c = Conv (qb, u[4,4,1,1])
        [fourth] d = Conv (c, s[4,4,1,1])
        [last] y = Conv (d, t[2,4,1,1])"""
    graph = bitmixer.graph_from_onnx(write(body), bits=(2, 4))
    assert [layer.allowed for layer in graph.layers] == [
        ((8, 8),), ((3, 8),), ((8, 5),), ((2, 2), (4, 4)), ((8, 8),),
    ]  # fmt: skip


REFUSED = {
    "q = Quant <signed=1, narrow=0> (x, $1.0, $0.0, $2.5)\ny = Conv (q, w[2,2,1,1])": "2.5 bits; expected a whole",
    "q = FloatQuant (x, $1.0)\ny = Conv (q, w[2,2,1,1])": r"\(FloatQuant\): .* floating-point .*; expected Quant",
    "q = Quant <signed=1, narrow=0> (w[2,2,1,1], $1.0, $0.0, $16.0)\ny = Conv (x, q)": "layer 'y' has 16 bits; exp",
    "q = Quant <signed=1, narrow=0> (x, $1.0, $0.0, b[2])\ny = Conv (q, w[2,2,1,1])": "2 bit-widths; expected one",
    "q = Quant <signed=1, narrow=0> (w[2,2,1,1], $1.0, $0.0, x)\ny = Conv (x, q)": "operand 4 is computed by the",
}


@pytest.mark.parametrize("body", REFUSED)
def test_other_quantisers_are_refused_by_name(body: str, write: Write) -> None:
    path = write(body)
    with pytest.raises(InterchangeError, match=REFUSED[body]) as refused:
        bitmixer.graph_from_onnx(path)
    assert str(refused.value).startswith(str(path))


def test_an_unknown_rounding_is_refused(write: Write) -> None:
    path = write('q = Quant <signed=1, narrow=0, rounding_mode="DICE"> (w[2,2,1,1], $1.0, $0.0, $4.0)\ny = Conv (x, q)')
    with pytest.raises(InterchangeError, match=r"node q \(Quant\): rounding_mode DICE; expected one of ROUND"):
        bitmixer.graph_from_onnx(path)
