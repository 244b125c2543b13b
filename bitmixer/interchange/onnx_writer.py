"""Collects the nodes and constants of an ONNX graph as they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import bitmixer

QUANT_DOMAIN = "qonnx.custom_op.general"
OPSET_VERSION = 13
IR_VERSION = 8
"""Old enough for tools that lag behind: what ONNX 1.10 wrote."""

Shape = Sequence[int | str]
"""Sizes of a tensor's axes; an open one (the batch) has a name."""


class OnnxWriter:
    """A graph under construction. Tensors are known by name; a result bears the name of its node."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._shapes: dict[str, Shape] = {}

    def constant(self, name: str, value: Any) -> str:
        """Keep a constant and return its name. Floats are stored in 32 bits, whole numbers in 64."""
        array = np.asarray(value)
        stored = np.array(array, dtype=np.float32 if array.dtype.kind == "f" else np.int64, order="C")
        self._constants[name] = numpy_helper.from_array(stored, name)
        return name

    def operation(self, kind: str, inputs: Sequence[str], name: str, shape: Shape, **attributes: Any) -> str:
        """Append a node and return its name.

        Args:
            kind: The ONNX operator.
            inputs: Names of tensors.
            name: Name of the node and of its result.
            shape: Shape of the result.
            attributes: The operator's attributes.
        """
        domain = QUANT_DOMAIN if kind.endswith("Quant") else None
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name, domain=domain, **attributes))
        self._shapes[name] = shape
        return name

    def quantise(self, x: str, name: str, shape: Shape, *, bits: int, signed: bool, only_odd: bool = False) -> str:
        """Append the rounding to codes, ties to even, and return its name.

        Args:
            x: The tensor, in units of one code.
            name: Name of the node.
            shape: Shape of the tensor.
            bits: Width. One signed bit is the sign.
            signed: Whether codes can be negative; otherwise they count from 0 up.
            only_odd: Codes are the odd numbers from 1 - 2**bits up (DoReFa): a zero point lies between two of them.
        """
        one = self.constant("one", 1.0)
        if bits == 1 and signed:
            return self.operation("BipolarQuant", (x, one), name, shape)
        scale, zero = one, self.constant("zero", 0.0)
        if only_odd:
            scale, zero = self.constant("two", 2.0), self.constant(f"middle_{bits}", (2**bits - 1) / 2)
        inputs = (x, scale, zero, self.constant(f"bits_{bits}", float(bits)))
        is_signed = int(signed and not only_odd)
        return self.operation("Quant", inputs, name, shape, signed=is_signed, narrow=0, rounding_mode="ROUND")

    def model(self, name: str, source: tuple[str, Shape], result: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Return the whole model.

        Args:
            name: Name of the graph.
            source: Name and shape of the input.
            result: Name of the tensor that is the output.
            metadata: Properties that are kept in the file.
        """
        described = {tensor: _described(tensor, shape) for tensor, shape in self._shapes.items()}
        graph = helper.make_graph(
            self._nodes, name, [_described(*source)], [described.pop(result)],
            initializer=list(self._constants.values()), value_info=list(described.values()),
        )  # fmt: skip
        model = helper.make_model(
            graph, producer_name="bitmixer", producer_version=bitmixer.__version__, ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET_VERSION), helper.make_opsetid(QUANT_DOMAIN, 1)],
        )  # fmt: skip
        helper.set_model_props(model, dict(metadata))
        return model


def _described(tensor: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor, TensorProto.FLOAT, list(shape))
