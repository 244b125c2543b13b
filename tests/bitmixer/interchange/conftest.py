"""Shared by the tests of interchange, which need the libraries of the extra ``test``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("onnx", reason="needs the extra 'onnx'")
pytest.importorskip("onnxruntime", reason="needs the extra 'test'")

import onnx
import onnxruntime
from onnx import numpy_helper

Execute = Callable[[Path, Tensor], Tensor]

HEADER = '<ir_version: 8, opset_import: ["" : {opset}, "qonnx.custom_op.general" : {quantisers}]>\n'
WEIGHT = re.compile(r"(\w+)\[((?:\d+,)*\d+)\]")


def model_of(
    body: str,
    shape: str = "N,2,6,6",
    opset: int = 13,
    output: str = "y",
    quantisers: int = 1,
    weights: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    """Return a model that takes ``x`` of a shape and returns ``y``.

    ``name[2,3]`` within the body stands for drawn weights of that shape, ``$2.5`` for a number.
    """
    generator = np.random.default_rng(0)
    constants = dict(weights or {})
    for name, sizes in WEIGHT.findall(body):
        if name not in constants:
            drawn = generator.uniform(0.5, 1.5, [int(size) for size in sizes.split(",")])
            sign = 1 if name.startswith("positive") else generator.choice([-1, 1], drawn.shape)
            constants[name] = (drawn * sign).astype(np.float32)
    for number in set(re.findall(r"\$(-?[\d.]+)", body)):
        constants[_name(number)] = np.float32(number)
    body = re.sub(r"\$(-?[\d.]+)", lambda found: _name(found[1]), WEIGHT.sub(r"\1", body))
    body = re.sub(r"\b((?:Int|Float|Bipolar)?Quant|Trunc)\b", r"qonnx.custom_op.general.\1", body)
    text = HEADER.format(opset=opset, quantisers=quantisers)
    model = onnx.parser.parse_model(f"{text}net (float[{shape}] x) => (float[] {output}) {{\n{body}\n}}")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items())
    return model


def _name(number: str) -> str:
    return f"number_{number.replace('.', '_').replace('-', 'minus_')}"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a network in ONNX's text form to a file; see ``model_of``."""

    def to_file(body: str, **options: object) -> Path:
        path = tmp_path / "net.onnx"
        onnx.save(model_of(body, **options), path)  # type: ignore[arg-type]
        return path

    return to_file


@pytest.fixture(scope="session")
def execute_qonnx() -> Execute:
    """Return a function that runs a file on the executor of the ``qonnx`` package."""
    pytest.importorskip("qonnx", reason="needs the extra 'test'")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    def execute(path: Path, inputs: Tensor) -> Tensor:
        model = ModelWrapper(str(path))
        (source,), (result,) = model.graph.input, model.graph.output
        return torch.from_numpy(execute_onnx(model, {source.name: inputs.numpy()})[result.name])

    return execute


@pytest.fixture(scope="session")
def execute_onnx() -> Execute:
    """Return a function that runs a file on onnxruntime, on one thread."""

    def execute(path: Path, inputs: Tensor) -> Tensor:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0])

    return execute
