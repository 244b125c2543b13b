"""What an ONNX file holds as constants: read only when their values are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from bitmixer.errors import InterchangeError

Array = NDArray[Any]

FOLDED = frozenset({
    "Abs", "Add", "Cast", "Ceil", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Floor", "Gather", "Identity",
    "Mul", "Neg", "Pow", "Range", "Reciprocal", "ReduceProd", "Reshape", "Shape", "Slice", "Sqrt", "Squeeze", "Sub",
    "Transpose", "Unsqueeze", "Where",
})  # fmt: skip
"""Operators that are computed at once where all of their operands are constants."""


@dataclass(frozen=True)
class Constant:
    """A tensor that does not depend on the network's input.

    Attributes:
        shape: Its shape, known without reading it.
        read: Returns its values.
        bits: Width that a quantiser gave it.
    """

    shape: tuple[int, ...]
    read: Callable[[], Array]
    bits: int | None = None

    @cached_property
    def value(self) -> Array:
        """The values, read once."""
        with np.errstate(all="ignore"):  # what is not finite is refused where it is used
            return self.read()

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))


def known(array: Array) -> Constant:
    """Return a constant whose values are at hand."""
    return Constant(array.shape, lambda: array)


def stored(tensor: onnx.TensorProto, file: Path) -> Constant:
    """Return an initialiser, which may lie in a file beside the model's."""

    def read() -> Array:
        try:
            return numpy_helper.to_array(tensor, base_dir=str(file.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise InterchangeError(
                f"{file}: tensor {tensor.name!r} cannot be read: {str(error).splitlines()[0]}; "
                "keep a model's external data beside it"
            ) from None

    return Constant(tuple(tensor.dims), read)


def filled(shape: tuple[int, ...], value: Array) -> Constant:
    """Return a constant that repeats one value and takes no memory for it."""
    return Constant(shape, lambda: np.broadcast_to(value.reshape(()), shape))


def folded(node: onnx.NodeProto, operands: Mapping[str, Constant], opset: onnx.OperatorSetIdProto) -> Constant:
    """Return the result of an operator on constants, computed by ONNX's own reference.

    Raises:
        InterchangeError: The operands do not fit the operator.
    """
    given = {name: constant.value for name, constant in operands.items()}
    inputs = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in given.items()
    ]
    output = onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.UNDEFINED, None)
    graph = onnx.helper.make_graph([node], "folded", inputs, [output])
    model = onnx.helper.make_model(graph, opset_imports=[opset])
    (result,) = ReferenceEvaluator(model).run(None, given)
    return known(np.asarray(result))
