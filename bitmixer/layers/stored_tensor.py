"""A tensor that waits in memory: for a shortcut, or as the operand of a join that is not complete."""

from __future__ import annotations

from torch import Tensor, nn

from bitmixer.quantizers import StepQuantizer


class StoredTensor(nn.Module):
    """Rounds a tensor to the width at which hardware stores it.

    Args:
        bits: Declared width of stored tensors.
        signed: Whether the tensor can be negative.
    """

    def __init__(self, bits: int, *, signed: bool) -> None:
        super().__init__()
        self.quantize = False
        self.calibrating = False
        self.quantizer = StepQuantizer([bits], signed=signed)

    @property
    def rounds_input(self) -> bool:
        """Whether the tensor is rounded to codes."""
        return self.quantize

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` as it is read back."""
        if self.calibrating:
            self.quantizer.calibrate(x)
        if not self.quantize:
            return x
        if self.training:
            result: Tensor = self.quantizer(x)
            return result
        codes, step = self.quantizer.encode(x)
        return codes.mul_(step)
