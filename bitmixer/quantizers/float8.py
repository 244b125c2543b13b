"""Rounding to floating-point numbers of few bits, to the nearest or at random.

Both work on float32 in a few passes that need no comparison per element. Adding 1.5 x 2^(23 - m) times a number's own
power of two leaves the sum m bits behind the point of that number, so the adder rounds it to nearest-even, once;
subtracting gives the rounded number. With the power of two bounded from below by the smallest normal one, subnormal
numbers come out right as well. At random, a number is first moved by less than half a step, so that it is rounded up
with a chance of its distance from the lower neighbour, in steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitmixer.quantizers.float_formats import FloatFormat

FLOAT32_MANTISSA_BITS = 23
EXPONENT_FIELD = 0x7F800000
"""Bits of a float32 that hold its exponent; alone they are the power of two at or below its size."""
RANDOM_BITS = 16
"""Random bits per number, at most; the chance of rounding up is right to half of the last one."""


@torch.no_grad()
def round_to_format(
    x: Tensor, form: FloatFormat, *, generator: torch.Generator | None = None, saturate: bool = False
) -> Tensor:
    """Return a tensor's values rounded to a format, in a new float32 tensor of its shape and memory order.

    Args:
        x: Any shape; float32 or narrower.
        form: The format.
        generator: Source of randomness, on the tensor's device: every number becomes one of its two neighbours, the
            nearer the likelier, so that the mean is the number itself (to 2^-17 of a step; 2^-13 for ``float16``).
            ``None`` rounds to the nearest, ties to even.
        saturate: Whether what is too large, infinities too, becomes the largest number; else it becomes infinite,
            or NaN in a format without infinities. A format with neither always saturates, and keeps NaN.
    """
    x = x.float()
    power = torch.bitwise_and(x.view(torch.int32), EXPONENT_FIELD).view(torch.float32)
    power.clamp_(2.0**form.smallest_exponent, 2.0**form.largest_exponent)
    moved = x if generator is None else _moved(x, power, form.mantissa_bits, generator)
    magic = power.mul_(1.5 * 2.0 ** (FLOAT32_MANTISSA_BITS - form.mantissa_bits))
    rounded = torch.add(moved, magic).sub_(magic).copysign_(x)
    if saturate or form.specials == "none":
        return rounded.clamp_(-form.largest, form.largest)
    if rounded.numel() and not (rounded.amin() >= -form.largest and rounded.amax() <= form.largest):
        beyond = float("inf") if form.specials == "ieee" else float("nan")
        return torch.where(rounded.abs() > form.largest, torch.full_like(rounded, beyond).copysign_(x), rounded)
    return rounded


def _moved(x: Tensor, power: Tensor, mantissa_bits: int, generator: torch.Generator) -> Tensor:
    """Return every number moved by less than half a step; one that is on the grid stays nearest to itself.

    The random bits are so few that a step's fraction of them can still be added to a float32.
    """
    bits = min(RANDOM_BITS, FLOAT32_MANTISSA_BITS - 1 - mantissa_bits)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    drawn = words.random_(-(2**63), None, generator=generator).view(torch.int16)[: x.numel()]
    if bits < RANDOM_BITS:
        drawn = drawn >> (RANDOM_BITS - bits)
    noise = torch.empty_like(x)
    noise.as_strided((x.numel(),), (1,)).copy_(drawn).add_(0.5)
    return torch.addcmul(x, noise, power, value=2.0 ** -(mantissa_bits + bits))
