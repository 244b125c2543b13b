"""Integer codes of a width: which there are, and rounding to them.

Codes are two's complement where they are signed and count from 0 where not. One signed bit is the exception:
two's complement would leave it {-1, 0}, so it means {-1, +1}, the sign.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitmixer.kernels import CodeFormat


def code_range(bits: int, *, signed: bool, symmetric: bool = False) -> tuple[int, int]:
    """Return the lowest and the highest code of ``bits``.

    Symmetric codes leave out the lowest of two's complement: a sign and ``bits - 1`` bits of magnitude cannot hold it.

    >>> code_range(2, signed=True), code_range(2, signed=False), code_range(1, signed=True)
    ((-2, 1), (0, 3), (-1, 1))
    >>> code_range(2, signed=True, symmetric=True)
    (-1, 1)
    """
    if not signed:
        return 0, 2**bits - 1
    if bits == 1:
        return -1, 1
    highest = 2 ** (bits - 1) - 1
    return -highest if symmetric else -highest - 1, highest


def code_format(bits: int, *, signed: bool) -> CodeFormat:
    """Return how codes of ``bits`` are written."""
    if not signed:
        return CodeFormat(bits=bits, encoding="unsigned")
    return CodeFormat(bits=bits, encoding="bipolar" if bits == 1 else "twos_complement")


def covered_range(bits: int, *, signed: bool, symmetric: bool = False) -> tuple[int, int]:
    """Return between which multiples of the step values count as represented, not as cut off.

    These are the lowest and the highest code; for a sign, whose two cells are as wide as the codes are apart, the
    outer ends of the cells.
    """
    return (-2, 2) if signed and bits == 1 else code_range(bits, signed=signed, symmetric=symmetric)


def round_to_codes_(ratio: Tensor, bits: int, *, signed: bool, symmetric: bool = False) -> Tensor:
    """Return the codes of ``bits`` of values in units of the step, which may be overwritten."""
    if signed and bits == 1:
        return signs(ratio)
    low, high = code_range(bits, signed=signed, symmetric=symmetric)
    return ratio.round_().clamp_(low, high)


def signs(values: Tensor) -> Tensor:
    """Return -1 where values are negative and +1 elsewhere; what is no number stays none."""
    return torch.where(values.isnan(), values, torch.where(values < 0, -1.0, 1.0))
