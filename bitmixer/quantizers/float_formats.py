"""Formats of floating-point numbers of few bits: plain data.

Sources: E5M2 of Mellempudi et al., arXiv 1905.12334; E4M3 of Micikevicius et al., arXiv 2209.05433; E3M4 as in the FP8
Emulation Toolkit of Intel Labs; the others of the OCP Microscaling Formats (MX) Specification 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bitmixer.errors import QuantizerError, did_you_mean

Specials = Literal["ieee", "nan", "none"]
WIDEST_EXPONENT, WIDEST_MANTISSA = 7, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatFormat:
    """A sign, an exponent and a mantissa, with gradual underflow.

    Attributes:
        exponent_bits: 2 to 7; the bias is the middle of their range, as in IEEE 754.
        mantissa_bits: Stored bits behind the point, 0 to 10.
        specials: What is not a finite number: ``ieee`` (the highest exponent: infinities and NaNs), ``nan`` (the
            highest exponent with all ones: NaN alone) or ``none``.

    Raises:
        QuantizerError: Another number of bits, or no mantissa beside a NaN in the finite range.

    >>> FloatFormat(exponent_bits=5, mantissa_bits=2).largest, FLOAT_FORMATS["e4m3"].largest
    (57344.0, 448.0)
    """

    exponent_bits: int
    mantissa_bits: int
    specials: Specials = "ieee"

    def __post_init__(self) -> None:
        fewest = 1 if self.specials == "nan" else 0
        if not (2 <= self.exponent_bits <= WIDEST_EXPONENT and fewest <= self.mantissa_bits <= WIDEST_MANTISSA):
            raise QuantizerError(
                f"{self.exponent_bits} bits of exponent and {self.mantissa_bits} of mantissa: expected 2 to "
                f"{WIDEST_EXPONENT} and {fewest} to {WIDEST_MANTISSA}"
            )

    @property
    def name(self) -> str:
        """The usual short name, ``e5m2`` for example."""
        return f"e{self.exponent_bits}m{self.mantissa_bits}"

    @property
    def bits(self) -> int:
        """All bits, the sign among them."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def significand_bits(self) -> int:
        """Bits that a multiplier sees: the mantissa and the hidden one."""
        return 1 + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What is subtracted from the stored exponent."""
        return int(2 ** (self.exponent_bits - 1)) - 1

    @property
    def smallest_exponent(self) -> int:
        """Exponent of two of the smallest normal number."""
        return 1 - self.bias

    @property
    def largest_exponent(self) -> int:
        """Exponent of two of the largest finite number."""
        highest = int(2**self.exponent_bits) - 1
        return (highest - 1 if self.specials == "ieee" else highest) - self.bias

    @property
    def smallest_normal(self) -> float:
        """The smallest number with all digits."""
        return float(2.0**self.smallest_exponent)

    @property
    def smallest_subnormal(self) -> float:
        """The smallest positive number, and the distance between all numbers below the smallest normal one."""
        return float(2.0 ** (self.smallest_exponent - self.mantissa_bits))

    @property
    def largest(self) -> float:
        """The largest finite number."""
        missing = 2.0 ** -(self.mantissa_bits - (self.specials == "nan"))
        return float((2.0 - missing) * 2.0**self.largest_exponent)


FLOAT_FORMATS = {
    "e5m2": FloatFormat(exponent_bits=5, mantissa_bits=2),
    "e4m3": FloatFormat(exponent_bits=4, mantissa_bits=3, specials="nan"),
    "e3m4": FloatFormat(exponent_bits=3, mantissa_bits=4, specials="nan"),
    "e3m2": FloatFormat(exponent_bits=3, mantissa_bits=2, specials="none"),
    "e2m3": FloatFormat(exponent_bits=2, mantissa_bits=3, specials="none"),
    "e2m1": FloatFormat(exponent_bits=2, mantissa_bits=1, specials="none"),
    "float16": FloatFormat(exponent_bits=5, mantissa_bits=10),
}
"""Formats by name; ``e4m3`` is what torch calls ``float8_e4m3fn``."""

E5M2, E4M3, E2M1, FLOAT16 = (FLOAT_FORMATS[name] for name in ("e5m2", "e4m3", "e2m1", "float16"))


def float_format(name: str) -> FloatFormat:
    """Return the format of a name.

    Raises:
        QuantizerError: There is none; the message names the nearest.
    """
    if name not in FLOAT_FORMATS:
        raise QuantizerError(f"unknown floating-point format {name!r}: {did_you_mean(name, FLOAT_FORMATS)}")
    return FLOAT_FORMATS[name]
