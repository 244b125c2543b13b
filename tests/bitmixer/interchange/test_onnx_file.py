"""Files as they come: damaged, incomplete, with data beside them, of sizes that are left open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bitmixer
from bitmixer.errors import BitmixerError, InterchangeError

Write = Callable[..., Path]
LAYER = "a = Conv (x, w[4,2,3,3])\nb = Relu (a)\nc = GlobalAveragePool (b)\nd = Flatten (c)\ny = Gemm (d, v[4,3])"

EVERYTHING = """
    q = Quant <signed=1, narrow=0> (w[4,2,3,3], $0.5, $0.0, $4.0)
    a = Conv <pads=[1,1,1,1]> (x, q)
    b = BatchNormalization(a, s[4], t[4], m[4], positive[4])
    c = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]> (b)
    axes = Constant <value_ints=[1,2]> ()
    d = Unsqueeze(scale[4], axes)
    e = Mul(c, d)
    f = Concat <axis=1> (e, c)
    sizes = Constant <value_ints=[1,-1]> ()
    g = Reshape(f, sizes)
    y = Gemm <transB=1> (g, v[3,72])"""


def test_a_file_that_was_cut_short_is_refused(write: Write) -> None:
    whole = write(LAYER).read_bytes()
    for size in range(0, len(whole) - 1, 7):
        path = write(LAYER)
        path.write_bytes(whole[:size])
        with pytest.raises(InterchangeError, match=r"net\.onnx: "):
            bitmixer.from_onnx(path)


@pytest.mark.parametrize("content", [b"", b"not a network at all", b"\x08\x08", b"{}", b"\x00" * 64])
def test_what_is_no_onnx_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(InterchangeError, match="not an ONNX file"):
        bitmixer.from_onnx(tmp_path / "net.onnx")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("missing.onnx", "."):
        with pytest.raises(InterchangeError, match="cannot be read"):
            bitmixer.from_onnx(tmp_path / name)


def test_weights_may_lie_beside_the_file(write: Write) -> None:
    path = write(LAYER)
    inputs = torch.randn(2, 2, 6, 6)
    with torch.no_grad():
        expected = bitmixer.from_onnx(path)(inputs)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="net.bin", size_threshold=0)
    with torch.no_grad():
        assert torch.equal(bitmixer.from_onnx(path)(inputs), expected)
    graph = bitmixer.graph_from_onnx(path)
    (path.parent / "net.bin").unlink()
    assert bitmixer.graph_from_onnx(path) == graph  # a geometry needs no weights
    with pytest.raises(InterchangeError, match=r"net\.onnx: tensor '[wv]' cannot be read: .*net\.bin"):
        bitmixer.from_onnx(path)


def test_weights_elsewhere_on_the_disk_are_not_read(write: Write) -> None:
    path = write(LAYER)
    (path.parent.parent / "secret.bin").write_bytes(b"\x00" * 4096)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="net.bin", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = "../secret.bin"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InterchangeError, match="cannot be read"):
        bitmixer.from_onnx(path)


def test_sizes_that_are_left_open_are_asked_for(write: Write) -> None:
    path = write(LAYER, shape="N,2,height,width")
    with pytest.raises(InterchangeError, match=r"'x' has shape \(batch, 2, height, width\); expected a number"):
        bitmixer.graph_from_onnx(path)
    graph = bitmixer.graph_from_onnx(path, input_shape=(2, 8, 5))
    assert (graph.input_shape, graph["a"].output_height, graph["a"].output_width) == ((2, 8, 5), 6, 3)


@pytest.mark.parametrize("batch", ["N", "1", "4"])
def test_any_batch_can_be_given_whatever_the_file_says(batch: str, write: Write) -> None:
    network = bitmixer.from_onnx(write(LAYER, shape=f"{batch},2,6,6"))
    with torch.no_grad():
        assert network(torch.randn(3, 2, 6, 6)).shape == (3, 3)


def test_a_fixed_batch_may_stand_in_a_reshape(write: Write) -> None:
    body = "s = Constant <value_ints=[4,-1]> ()\na = Reshape (x, s)\ny = Gemm (a, w[72,3])"
    network = bitmixer.from_onnx(write(body, shape="4,2,6,6"))
    with torch.no_grad():
        assert network(torch.randn(3, 2, 6, 6)).shape == (3, 3)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(data: st.DataObject, write: Write) -> None:
    path = write(EVERYTHING)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    said = []
    for read in (bitmixer.from_onnx, bitmixer.graph_from_onnx):
        try:
            read(path)
        except BitmixerError as error:
            said.append(str(error))
    assert all(message.startswith(str(path)) and "\n" not in message for message in said)


def test_weights_of_another_shape_are_refused(write: Write) -> None:
    path = write("y = BatchNormalization (x, s[3], b[2], m[2], v[2])")
    with pytest.raises(
        InterchangeError, match=r"net\.onnx: layer 'y': its weight does not fit: .*expected shape \(2,\)"
    ):
        bitmixer.from_onnx(path)


def test_weights_that_are_not_finite_are_refused(write: Write) -> None:
    path = write("y = Conv (x, w)", weights={"w": np.float32([[[[1.0]], [[np.nan]]]])})
    with pytest.raises(InterchangeError, match=r"layer 'y': its weight does not fit: it holds NaN or infinity"):
        bitmixer.from_onnx(path)


def test_only_one_tensor_goes_in_and_one_comes_out(write: Write) -> None:
    path = write(LAYER)
    for part, name in (("input", "x2"), ("output", "a")):
        model = onnx.load(path)
        tensors = getattr(model.graph, part)
        tensors.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]))
        other = path.parent / "other.onnx"
        onnx.save(model, other)
        with pytest.raises(InterchangeError, match=f"has 2 {part}s .*{name}.*; expected one {part}"):
            bitmixer.from_onnx(other)


def test_an_output_without_the_input_is_refused(write: Write) -> None:
    with pytest.raises(InterchangeError, match="output 'y' does not depend on the input"):
        bitmixer.from_onnx(write("y = Neg (w[2,2])"))


def test_an_operator_of_another_domain_is_refused_by_name(write: Write) -> None:
    path = write("y = Relu (x)")
    model = onnx.load(path)
    model.graph.node[0].domain = "com.acme"
    onnx.save(model, path)
    with pytest.raises(InterchangeError, match=r"node y \(Relu\): of domain 'com.acme'; expected a standard operator"):
        bitmixer.from_onnx(path)


def test_constants_may_be_computed_in_the_file(write: Write) -> None:
    body = """
        shape = Constant <value_ints=[4,2,3,3]> ()
        w = ConstantOfShape <value = float[1] {0.5}> (shape)
        half = Mul (w, $0.5)
        y = Conv (x, half)"""
    network = bitmixer.from_onnx(write(body))
    assert torch.equal(network.y.weight, torch.full((4, 2, 3, 3), 0.25))


def test_a_constant_too_large_for_any_memory_is_refused(write: Write) -> None:
    body = """
        shape = Constant <value_ints=[1000000,1000000,1000]> ()
        w = ConstantOfShape (shape)
        half = Mul (w, $0.5)
        y = Conv (x, half)"""
    with pytest.raises(InterchangeError, match=r"node half \(Mul\): "):
        bitmixer.from_onnx(write(body))
