"""What every quantiser does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from bitmixer.kernels import CodeFormat


class Coded(NamedTuple):
    """A quantised tensor: its values are codes x step.

    Attributes:
        codes: Whole numbers, held as floats, in the shape of the tensor.
        step: Value of one code; broadcasts against the codes (one number, or one per output channel).
    """

    codes: Tensor
    step: Tensor


class Quantizer(nn.Module, ABC):
    """Rounds tensors to one of several bit-widths.

    :meth:`forward` is for training: the values, differentiable. :meth:`encode` is the same quantisation as
    integers, for hardware and exact evaluation. Both give codes x step to the bit.

    Attributes:
        bits: The current width, which a caller may set to any of ``widths`` at any time.
        widths: The widths that it can be set to, ascending.
        largest_code: No code of any width is larger in size.
    """

    bits: int
    widths: tuple[int, ...]
    largest_code: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` rounded to the current width, differentiable."""

    @abstractmethod
    def encode(self, x: Tensor) -> Coded:
        """Return the codes of ``x`` at the current width and their step, outside of any gradient."""

    @property
    @abstractmethod
    def code_format(self) -> CodeFormat:
        """How the codes of the current width are written in bits."""

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """Whether what is learned differs from what the quantiser started with (steps of 1)."""

    @abstractmethod
    def calibrate(self, x: Tensor) -> None:
        """Fit what is learned, at every width, to the values of ``x``."""

    def is_sign(self, bits: int) -> bool:
        """Whether codes of ``bits`` tell on which side of a threshold values lie: -1 or +1, and +1 outside of a map."""
        return False

    def codes(self, x: Tensor) -> Tensor:
        """Return the integer codes of ``x`` at the current width, held as floats."""
        return self.encode(x).codes


def per_channel_shape(values: Tensor, like: Tensor) -> Tensor:
    """Return one value per output channel (or a scalar) in a shape that broadcasts against a weight tensor."""
    return values if values.dim() == 0 else values.reshape(-1, *([1] * (like.dim() - 1)))
