"""Blocks of narrow floating-point numbers that share a power of two.

Source: OCP Microscaling Formats (MX) Specification 1.0, 2023: section 5.2 has the formats, 6.3 the conversion.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bitmixer.quantizers.float8 import EXPONENT_FIELD, FLOAT32_MANTISSA_BITS, round_to_format
from bitmixer.quantizers.float_formats import FloatFormat

BLOCK = 32
"""Numbers that share a scale."""
SCALE_BITS = 8
"""Bits of a scale (E8M0: an exponent alone)."""
SMALLEST_SCALE = -126
"""Least exponent of a scale here: E8M0 has -127 as well, which a float32 holds with fewer digits."""


class Microscaled(NamedTuple):
    """Blocks along an axis: an element's value is itself times two to its block's exponent.

    Attributes:
        elements: Numbers of the narrow format, in the shape of the tensor.
        exponents: Exponents of the scales, int32; the blocked axis has one entry per block.
    """

    elements: Tensor
    exponents: Tensor


def round_to_blocks(
    x: Tensor,
    form: FloatFormat,
    *,
    axis: int = -1,
    block: int = BLOCK,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return a tensor's values rounded to MX blocks: MXFP8 with ``e4m3`` or ``e5m2``, MXFP4 with ``e2m1``.

    A block's scale brings its largest number into the highest binade of the format; what is still too large there
    saturates. A block with an infinite number, or with one that is none, is NaN throughout.

    Args:
        x: Any shape but a scalar.
        form: Format of the elements.
        axis: Along which blocks lie: that over which products sum. A last block may be shorter.
        block: Numbers per block.
        generator: As for :func:`bitmixer.quantizers.float8.round_to_format`.
    """
    elements, exponents = encode_blocks(x, form, axis=axis, block=block, generator=generator)
    return torch.ldexp(elements, _spread(exponents, elements, axis, block))


def encode_blocks(
    x: Tensor,
    form: FloatFormat,
    *,
    axis: int = -1,
    block: int = BLOCK,
    generator: torch.Generator | None = None,
) -> Microscaled:
    """Return the elements and the scales of :func:`round_to_blocks`."""
    x = x.float()
    sizes = [part.abs().amax(axis, keepdim=True) for part in torch.split(x, block, axis)]
    largest = torch.cat(sizes, axis)
    stored = torch.bitwise_and(largest.view(torch.int32), EXPONENT_FIELD) >> FLOAT32_MANTISSA_BITS
    exponents = (stored - 127 - form.largest_exponent).clamp_(min=SMALLEST_SCALE)
    elements = round_to_format(
        torch.ldexp(x, -_spread(exponents, x, axis, block)), form, generator=generator, saturate=True
    )
    broken = ~_spread(largest.isfinite(), x, axis, block)
    return Microscaled(elements.masked_fill_(broken, float("nan")), exponents)


def _spread(per_block: Tensor, like: Tensor, axis: int, block: int) -> Tensor:
    """Repeat what belongs to a block for each of its elements."""
    return per_block.repeat_interleave(block, dim=axis).narrow(axis, 0, like.shape[axis])
