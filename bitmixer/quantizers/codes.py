"""Integer codes of a width: which there are, and rounding to them.

Codes are two's complement where they are signed and count from 0 where not. One signed bit is the exception:
two's complement would leave it {-1, 0}, so it means {-1, +1}, the sign.
"""

from __future__ import annotations

from torch import Tensor


def code_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Return the lowest and the highest code of ``bits``.

    >>> code_range(2, signed=True), code_range(2, signed=False), code_range(1, signed=True)
    ((-2, 1), (0, 3), (-1, 1))
    """
    if not signed:
        return 0, 2**bits - 1
    return (-1, 1) if bits == 1 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def covered_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Return between which multiples of the step values count as represented, not as cut off.

    These are the lowest and the highest code; for a sign, whose two cells are as wide as the codes are apart, the
    outer ends of the cells.
    """
    return (-2, 2) if signed and bits == 1 else code_range(bits, signed=signed)


def round_to_codes_(ratio: Tensor, bits: int, *, signed: bool) -> Tensor:
    """Round values in units of the step to codes of ``bits``, in place; returns its argument."""
    if signed and bits == 1:
        return signs_(ratio)
    low, high = code_range(bits, signed=signed)
    return ratio.round_().clamp_(low, high)


def signs_(values: Tensor) -> Tensor:
    """Replace values by -1 where they are negative and +1 elsewhere, in place; returns its argument."""
    return values.sign_().add_(0.5).sign_()
