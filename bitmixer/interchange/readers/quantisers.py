"""QONNX's quantisers: constants are rounded, activations keep the width that they are given.

Source: Pappalardo et al., arXiv 2206.07527, and the operators' definitions in the ``qonnx`` package.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from bitmixer.interchange.constants import Array, Constant
from bitmixer.interchange.module_builder import scaled
from bitmixer.interchange.readers.operation import Operand, Operation

DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")

ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.round, "HALF_EVEN": np.round, "CEIL": np.ceil, "FLOOR": np.floor, "DOWN": np.trunc,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}  # fmt: skip


def integer_quantiser(operation: Operation) -> Operand:
    """Read ``Quant`` (``IntQuant``)."""
    x, bits = operation.operand(0), _bits(operation, 3)
    if not isinstance(x, Constant):
        return dataclasses.replace(x, bits=bits)
    rounding = str(operation.attribute("rounding_mode", "ROUND")).upper()
    if rounding not in ROUNDINGS:
        raise operation.error(f"rounding_mode {rounding}; expected one of {', '.join(ROUNDINGS)}")
    scale, zero = operation.constant(1), operation.constant(2)
    signed, narrow = bool(operation.attribute("signed", 1)), bool(operation.attribute("narrow", 0))

    def values() -> Array:
        if bits == 1 and signed:
            return np.where(x.value >= 0, scale.value, -scale.value)
        low, high = _range(bits, signed=signed, narrow=narrow)
        codes = ROUNDINGS[rounding](np.clip(x.value / scale.value + zero.value, low, high))
        rounded: Array = (codes - zero.value) * scale.value
        return rounded

    return Constant(x.shape, values, bits)


def bipolar_quantiser(operation: Operation) -> Operand:
    """Read ``BipolarQuant``: plus or minus the scale."""
    x, scale = operation.operand(0), operation.constant(1)
    if isinstance(x, Constant):
        return Constant(x.shape, lambda: np.where(x.value >= 0, scale.value, -scale.value), bits=1)
    return dataclasses.replace(x, bits=1)


def truncation(operation: Operation) -> Operand:
    """Read ``Trunc``; its first version also divides by the planes that it drops."""
    x = operation.value()
    widths = [_bits(operation, position) for position in (3, len(operation.operands) - 1)]
    divisor = 2.0 ** (widths[0] - widths[1]) if len(operation.operands) == 5 else 1.0
    return dataclasses.replace(scaled(x, 1 / divisor), bits=widths[1])


def float_quantiser(operation: Operation) -> Operand:
    """Refuse ``FloatQuant``."""
    raise operation.error("quantises to small floating-point numbers; expected Quant, to whole ones")


def _bits(operation: Operation, position: int) -> int:
    width = operation.constant(position)
    if width.size != 1:
        raise operation.error(f"{width.size} bit-widths; expected one for the whole tensor")
    bits = float(width.value.reshape(()))
    if bits < 1 or bits != int(bits):
        raise operation.error(f"{bits:g} bits; expected a whole number from 1 up")
    return int(bits)


def _range(bits: int, *, signed: bool, narrow: bool) -> tuple[int, int]:
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow
