"""PACT: activations are cut off at a learned level and rounded evenly below it.

Source: Choi et al., "PACT: Parameterized Clipping Activation for Quantized Neural Networks", 2018; a level per
width as in AdaBits (Jin et al., CVPR 2020, ``switch_alpha``).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from bitmixer.quantizers.codes import code_range
from bitmixer.quantizers.learned_step import Slope
from bitmixer.quantizers.lsq import StepQuantizer


class PactQuantizer(StepQuantizer):
    """Quantises activations to one of several widths, each with its own learned clipping level.

    The level alpha is the highest code times the step, so their logarithms have one gradient: that of the values
    that are cut off (eq. 3), with no factor.
    """

    slope: ClassVar[Slope] = "clipping"

    def gain(self, elements: int) -> float:
        """Return 1: PACT leaves the gradient as it is."""
        return 1.0

    def alpha(self) -> Tensor:
        """Return the clipping level of the current width (a scalar)."""
        return self.step() * code_range(self.bits, signed=self.signed)[1]
