"""Import: what a file computes is what its module computes, by onnxruntime; what cannot be read is told by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

import bitmixer
from bitmixer.errors import InterchangeError

Write = Callable[..., Path]

BODIES = {
    "convolutions": """
        a = Conv <pads=[1,1,1,1], strides=[2,1]> (x, w[4,2,3,3], b[4])
        c = Conv <group=2, dilations=[1,2]> (a, v[6,2,1,2])
        y = Relu(c)""",
    "uneven padding": """
        a = Conv <pads=[0,1,2,1]> (x, w[4,2,3,3])
        c = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]> (a)
        y = AveragePool <kernel_shape=[2,2], pads=[1,0,0,1]> (c)""",
    "uneven padding that counts": "y = AveragePool <kernel_shape=[3,2], pads=[1,0,0,1], count_include_pad=1> (x)",
    "same padding": """
        a = Conv <auto_pad="SAME_UPPER", strides=[2,2]> (x, w[4,2,3,3])
        c = Conv <auto_pad="SAME_LOWER"> (a, v[4,4,2,2])
        y = MaxPool <auto_pad="VALID", kernel_shape=[2,2]> (c)""",
    "rounded up": "y = MaxPool <kernel_shape=[3,3], strides=[2,2], ceil_mode=1> (x)",
    "much padding": "y = MaxPool <kernel_shape=[3,3], pads=[2,1,2,1]> (x)",
    "even averages": """
        a = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (x)
        y = AveragePool <kernel_shape=[2,2], strides=[2,2], pads=[1,1,1,1], count_include_pad=1> (a)""",
    "linear layers": """
        a = Flatten(x)
        c = Gemm <transB=1, alpha=0.5, beta=2.0> (a, w[5,72], b[5])
        d = Gemm(c, v[5,4])
        e = MatMul(d, u[4,3])
        y = Add(e, t[3])""",
    "batch norm, scale and shift": """
        a = Conv (x, w[4,2,3,3])
        c = BatchNormalization <epsilon=0.01> (a, s[4], b[4], m[4], positive[4])
        axes = Constant <value_ints=[1,2]> ()
        d = Unsqueeze(s2[4], axes)
        e = Mul(c, d)
        f = Sub(e, t[4,1,1])
        y = Relu(f)""",
    "scales without a norm": """
        a = Conv (x, w[4,2,3,3])
        c = Mul(s[1,4,1,1], a)
        d = Relu(c)
        e = Div(d, positive[4,1,1])
        y = Add(e, t[1,4,1,1])""",
    "numbers on their way to a layer": """
        a = Div(x, $0.25)
        c = Relu(a)
        d = MaxPool <kernel_shape=[2,2]> (c)
        e = Conv (d, w[4,2,3,3], b[4])
        f = Mul(e, $3.0)
        g = Mul(f, $-0.5)
        h = BatchNormalization(g, s[4], b2[4], m[4], positive[4])
        y = Sub(h, $1.5)""",
    "numbers that meet": """
        a = Mul(x, $2.0)
        c = Add(a, x)
        d = Mul(a, c)
        e = Concat <axis=1> (a, d, x)
        f = Sigmoid(e)
        g = Mul(x, $-1.0)
        h = Concat <axis=1> (f, g)
        y = BatchNormalization(h, s[8], b[8], m[8], positive[8])""",
    "a number before a norm": "a = Mul(x, $4.0)\ny = BatchNormalization(a, s[2], b[2], m[2], positive[2])",
    "a result that is read twice": """
        a = Conv (x, w[4,2,3,3])
        c = Mul(a, $2.0)
        d = Mul(a, s[4,1,1])
        e = Add(a, t[4,1,1])
        y = Sum(a, c, d, e)""",
    "output with a number": "a = Relu(x)\ny = Mul(a, $0.5)",
    "activations": """
        a = LeakyRelu <alpha=0.2> (x)
        b = Elu <alpha=0.7> (a)
        c = Tanh(b)
        d = Softplus(c)
        e = Selu(d)
        f = PRelu(e, w[2,1,1])
        g = HardSigmoid <alpha=0.16666667> (f)
        h = Clip(g, $-0.25, $0.75)
        y = Softsign(h)""",
    "rectifiers": """
        zero = Constant <value_float=0.0> ()
        six = Constant <value_float=6.0> ()
        a = Clip(x, zero, six)
        c = Clip(a, zero)
        y = HardSwish(c)""",
    "a channel shuffle": """
        shape = Constant <value_ints=[-1,2,2,2,9]> ()
        back = Constant <value_ints=[0,4,6,-1]> ()
        a = Conv <pads=[1,1,1,1]> (x, w[4,2,3,3])
        c = Identity(a)
        s2 = Constant <value_ints=[-1,2,2,6,6]> ()
        d = Reshape(c, s2)
        e = Transpose <perm=[0,2,1,3,4]> (d)
        y = Reshape(e, back)""",
    "a view by its own size": """
        s = Shape(x)
        zero = Constant <value_int=0> ()
        minus = Constant <value_ints=[-1]> ()
        axes = Constant <value_ints=[0]> ()
        n = Gather(s, zero)
        n1 = Unsqueeze(n, axes)
        target = Concat <axis=0> (n1, minus)
        y = Reshape(x, target)""",
    "parts": """
        sizes = Constant <value_ints=[2,4]> ()
        a = Conv (x, w[6,2,1,1])
        b, c = Split <axis=1> (a, sizes)
        starts = Constant <value_ints=[1,-5]> ()
        ends = Constant <value_ints=[3,9223372036854775807]> ()
        axes = Constant <value_ints=[1,2]> ()
        d = Slice(c, starts, ends, axes)
        pads = Constant <value_ints=[0,0,1,0,0,0,0,0]> ()
        e = Pad(d, pads)
        y = Mul(b, e)""",
    "squeeze and excite": """
        a = GlobalAveragePool(x)
        b = Conv (a, w[2,2,1,1], c[2])
        d = Sigmoid(b)
        y = Mul(x, d)""",
    "whole maps": """
        a = GlobalMaxPool(x)
        b = ReduceMean <axes=[2,3], keepdims=1> (x)
        c = Sub(a, b)
        axes = Constant <value_ints=[2,3]> ()
        d = Squeeze(c, axes)
        e = Dropout(d)
        f = Unsqueeze(e, axes)
        g = Flatten(f)
        y = Softmax <axis=1> (g)""",
    "a product of two tensors": "a = Transpose <perm=[0,1,3,2]> (x)\ny = MatMul(x, a)",
    "local response": "y = LRN <size=3, alpha=0.5, beta=0.6, bias=2.0> (x)",
}


@pytest.mark.parametrize("name", BODIES)
def test_the_module_computes_what_the_file_does(name: str, write: Write, execute_onnx: Any) -> None:
    path = write(BODIES[name], opset=14)
    inputs = torch.randn(3, 2, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(bitmixer.from_onnx(path)(inputs), execute_onnx(path, inputs), atol=2e-5, rtol=1e-4)


SEQUENCES = {
    "1-d maps": """
        a = Conv <pads=[2,2], strides=[2]> (x, w[4,2,5], b[4])
        c = BatchNormalization(a, s[4], t[4], m[4], positive[4])
        d = MaxPool <kernel_shape=[2], strides=[2]> (c)
        e = Conv <pads=[0,1]> (d, v[4,4,2])
        y = GlobalAveragePool(e)""",
}


def test_sequences_are_maps_with_one_axis(write: Write, execute_onnx: Any) -> None:
    path = write(SEQUENCES["1-d maps"], shape="N,2,16")
    inputs = torch.randn(3, 2, 16)
    with torch.no_grad():
        torch.testing.assert_close(bitmixer.from_onnx(path)(inputs), execute_onnx(path, inputs))


OLD_FORMS = """
    a = Unsqueeze <axes=[2]> (x)
    b = Squeeze <axes=[2]> (a)
    c, d = Split <axis=1, split=[1,1]> (b)
    e = Concat <axis=1> (c, d)
    f = Slice <axes=[2], starts=[1], ends=[4]> (e)
    g = Clip <min=0.0, max=6.0> (f)
    h = Pad <pads=[0,0,1,1,0,0,0,2]> (g)
    i = GlobalAveragePool (h)
    y = Softmax (i)"""


def test_operators_of_older_versions(write: Write, execute_onnx: Any) -> None:
    path = write(OLD_FORMS, opset=9)
    inputs = torch.randn(2, 2, 6, 6)
    torch.testing.assert_close(bitmixer.from_onnx(path)(inputs), execute_onnx(path, inputs))


def test_an_imported_network_converts_and_can_be_trained(write: Write) -> None:
    body = """
        a = Conv <pads=[1,1,1,1]> (x, w[4,2,3,3])
        b = BatchNormalization(a, s[4], t[4], m[4], positive[4])
        c = Relu(b)
        d = GlobalAveragePool(c)
        e = Flatten(d)
        y = Gemm <transB=1> (e, v[3,4], u[3])"""
    model = bitmixer.from_onnx(write(body))
    inputs = torch.randn(4, 2, 6, 6)
    network = bitmixer.convert(model, (2, 4))
    assert torch.equal(network(inputs), model(inputs))
    network.calibrate_weights()
    network.calibrate_activations(inputs)
    network.quantize()
    network.train()
    network(inputs).square().sum().backward()
    parameters = dict(network.named_parameters())
    assert all(parameters[name].grad is not None for name in ("body.y.weight", "body.a.weight"))


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (("conv1", "/stage.1/conv/Conv", ""), ["conv1", "y", "stage.1.conv.Conv"]),
        (("stage", "stage.conv", "stage"), ["stage", "stage_conv", "stage_1"]),
    ],
)
def test_layers_bear_the_nodes_names(names: tuple[str, ...], paths: list[str], write: Write) -> None:
    path = write("a = Conv (x, w[2,2,1,1])\nb = Conv (a, v[2,2,1,1])\ny = Conv (b, u[2,2,1,1])")
    model = onnx.load(path)
    for node, name in zip(model.graph.node, names, strict=True):
        node.name = name
    onnx.save(model, path)
    layers = [name for name, module in bitmixer.from_onnx(path).named_modules() if isinstance(module, torch.nn.Conv2d)]
    assert layers == paths


UNREADABLE = {
    'y = Einsum <equation="abcd->abdc"> (x)': r"node y \(Einsum\): cannot be read: .*Known: Add",
    "y = Conf (x, w[2,2,1,1])": r"node y \(Conf\): cannot be read: did you mean 'Conv'",
    "y = Conv (x, x)": r"node y \(Conv\): operand 2 is computed by the network; expected a constant",
    "y = Conv <kernel_shape=[3,3]> (x, w[2,2,1,1])": r"node y \(Conv\): kernel \(3, 3\), .* expected a number per axis",
    "y = Conv <pads=[-1,0,0,0]> (x, w[2,2,1,1])": "expected none that crops",
    'y = Conv <auto_pad="SAME"> (x, w[2,2,1,1])': "auto_pad SAME; expected NOTSET",
    "y = Conv (x, w[2,3,1,1])": r"node y \(Conv\): Invalid channel",
    "y = Conv (x, w[2,2,1])": r"node y \(Conv\): weights of shape \(2, 2, 1\) on a tensor of rank 4",
    "y = Gemm (x, w[2,2])": r"node y \(Gemm\): on a tensor of rank 4",
    "y = MatMul (x, w[2,6,3])": "expected .inputs, outputs.",
    "y = Add (x, w[6,6])": r"a constant of shape \(6, 6\) on a tensor of shape \(1, 2, 6, 6\); expected one number",
    "y = Sub ($1.0, x)": "subtracts from a constant",
    "y = Div ($1.0, x)": r"node y \(Div\): operand 1 is a constant",
    "y = Concat <axis=0> (x, x)": "along axis 0 of",
    "y = Transpose <perm=[1,0,2,3]> (x)": "expected the batch to stay the first axis",
    "y = Flatten <axis=2> (x)": "axis 2; expected 1",
    "s = Constant <value_ints=[2,-1]> ()\ny = Reshape(x, s)": "would mix the batch with other axes",
    "s = Constant <value_ints=[5,-1]> ()\ny = Reshape(x, s)": r"node y \(Reshape\): .*invalid",
    "y = Softmax <axis=4> (x)": "along axis 4 of a tensor of rank 4; expected one from 1 to 3",
    "y = HardSigmoid (x)": "alpha 0.2.*expected 1/6",
    "y = LRN <size=4> (x)": "size 4; expected an odd number",
    "y = BatchNormalization <training_mode=1> (x, s[2], b[2], m[2], v[2])": "in training mode",
    "y = AveragePool <kernel_shape=[2,2], dilations=[2,2]> (x)": "expected an average over neighbours",
    "y = ReduceMean <keepdims=0> (x)": "expected some that are not the batch's",
    "y = PRelu (x, w[6])": "expected one, or one per channel",
    'y = Pad <mode="reflect"> (x, p)\np = Constant <value_ints=[0,0,1,0,0,0,0,0]> ()': "'p', which nothing before",
    "y = Relu (z)": r"node y \(Relu\): reads 'z', which nothing before it computes",
}


@pytest.mark.parametrize("body", UNREADABLE)
def test_what_cannot_be_read_is_told_by_node(body: str, write: Write) -> None:
    path = write(body)
    with pytest.raises(InterchangeError, match=UNREADABLE[body]) as refused:
        bitmixer.from_onnx(path)
    assert str(refused.value).startswith(f"{path}: node y (")
    assert "\n" not in str(refused.value)
