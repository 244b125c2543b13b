"""A tensor that waits in memory: for a shortcut, or as the operand of a join that is not complete."""

from __future__ import annotations

from torch import Tensor, nn

from bitmixer.quantizers import StepQuantizer


class StoredTensor(nn.Module):
    """Rounds a tensor to the width at which hardware stores it.

    Args:
        bits: Declared width of stored tensors.
        signed: Whether the tensor can be negative.

    Attributes:
        read_stride: Every how many rows and columns the tensor is read. Training rounds and returns those alone.
    """

    def __init__(self, bits: int, *, signed: bool) -> None:
        super().__init__()
        self.quantize = False
        self.calibrating = False
        self.quantizer = StepQuantizer([bits], signed=signed)
        self.read_stride = (1, 1)

    @property
    def rounds_input(self) -> bool:
        """Whether the tensor is rounded to codes."""
        return self.quantize

    @property
    def thins(self) -> bool:
        """Whether only what is read is returned."""
        return self.quantize and self.training and self.read_stride != (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` as it is read back."""
        if self.calibrating:
            self.quantizer.calibrate(x)
        if not self.quantize:
            return x
        if self.thins:
            rows, columns = self.read_stride
            x = x[..., ::rows, ::columns]
        if self.training:
            result: Tensor = self.quantizer(x)
            return result
        codes, step = self.quantizer.encode(x)
        return codes.mul_(step)
