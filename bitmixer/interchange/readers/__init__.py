"""The operators that can be read: name -> function that appends one node to the network under construction."""

from __future__ import annotations

from collections.abc import Callable

from bitmixer.interchange.readers import activations, joins, layers, pools, quantisers, shapes
from bitmixer.interchange.readers.operation import Operand, Operation

Reader = Callable[[Operation], Operand | tuple[Operand, ...]]

STANDARD: dict[str, Reader] = {
    "Add": joins.add,
    "AveragePool": pools.average_pool,
    "BatchNormalization": layers.batch_normalization,
    "Cast": shapes.same,
    "Clip": activations.clip,
    "Concat": joins.concatenate,
    "Conv": layers.convolution,
    "Div": joins.divide,
    "Dropout": shapes.same,
    "Flatten": shapes.flatten,
    "Gemm": layers.general_product,
    "GlobalAveragePool": pools.global_average,
    "GlobalMaxPool": pools.global_maximum,
    "Identity": shapes.same,
    "LRN": pools.response_normalization,
    "MatMul": joins.any_matrix_product,
    "MaxPool": pools.maximum_pool,
    "Mul": joins.multiply,
    "PRelu": activations.parametric_rectifier,
    "Pad": shapes.pad,
    "ReduceMean": pools.mean,
    "Relu": activations.rectifier,
    "Reshape": shapes.reshape,
    "Shape": shapes.shape,
    "Slice": shapes.cut,
    "Softmax": activations.softmax,
    "Split": shapes.split,
    "Squeeze": shapes.squeeze,
    "Sub": joins.subtract,
    "Sum": joins.sum_of_all,
    "Transpose": shapes.transpose,
    "Unsqueeze": shapes.unsqueeze,
    **activations.READERS,
}
QUANTISERS: dict[str, Reader] = {
    "BipolarQuant": quantisers.bipolar_quantiser,
    "FloatQuant": quantisers.float_quantiser,
    "IntQuant": quantisers.integer_quantiser,
    "Quant": quantisers.integer_quantiser,
    "Trunc": quantisers.truncation,
}

__all__ = ["QUANTISERS", "STANDARD", "Operand", "Operation", "Reader"]
