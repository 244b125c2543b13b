"""The integers that a site multiplies, for hardware whose cycles depend on them. Plain data: no torch here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitmixer.bitwidths import BitWidths

Codes = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteOperands:
    """The codes that meet in one site under its widths, in the layout of a 2-d convolution.

    A 1-d convolution works on a map of height 1. A linear layer is a 1x1 convolution on a map of height 1, as wide
    as it has tokens.

    Attributes:
        site: Name of the site.
        widths: Widths that the codes are of.
        weights: Shape (output channels, input channels of one group, kernel height, kernel width).
        activations: Before padding, shape (inputs, input channels, input height, input width).
    """

    site: str
    widths: BitWidths
    weights: Codes
    activations: Codes
