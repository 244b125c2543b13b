"""Weights as planes of bits that are sigmoids, and are switched on and off plane by plane by sigmoids too.

Source: Xiao et al., "CSQ", DAC 2023; what of it is our reading is said in :mod:`bitmixer.training.csq`.

With the temperature t a weight is step x sum over planes b of 2**b s(t m_b) (s(t p_b) - s(t n_b)), s the sigmoid; with
rising t this becomes the code of those bits whose m_b, p_b and n_b are positive, times the step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitmixer.kernels import CodeFormat
from bitmixer.quantizers.base import Coded, Quantizer
from bitmixer.quantizers.bit_planes import NEGATIVE, POSITIVE, bits_of, plane_values
from bitmixer.quantizers.codes import code_format

START = 1.0
"""What a bit or a selection that is on starts at; what is off starts at its negative."""


class SoftPlaneQuantizer(Quantizer):
    """Holds one weight tensor as soft planes; the tensor itself only starts them.

    Args:
        bits: Bits in which a weight is stored at most, its sign among them: there are ``bits - 1`` planes.
        weight: The weights.

    Attributes:
        planes: Bits before the sigmoid, shape (planes, 2, weights); the lowest plane first, positive before negative.
        selection: Planes before the sigmoid, shape (planes,).
        temperature: What they are multiplied by (a scalar); the caller raises it.
    """

    temperature: Tensor

    def __init__(self, bits: int, weight: Tensor) -> None:
        super().__init__()
        self.widths = (bits,)
        self.bits = bits
        self.largest_code = 2 ** (bits - 1) - 1
        self.planes = nn.Parameter(weight.detach().new_full((bits - 1, 2, weight.numel()), -START))
        self.selection = nn.Parameter(weight.detach().new_full((bits - 1,), START))
        self.log_step = nn.Parameter(weight.detach().new_zeros(()))
        self.register_buffer("temperature", weight.detach().new_ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the weights that the planes hold, in the shape of ``x``, differentiable and not rounded."""
        soft = (self.planes * self.temperature).sigmoid()
        worth = self.selections()[:, None] * plane_values(len(self.planes), like=x)
        values = ((soft[:, POSITIVE] - soft[:, NEGATIVE]) * worth).sum(dim=0)
        return (values * self.log_step.exp()).view(x.shape)

    def encode(self, x: Tensor) -> Coded:
        """Return the codes that the weights become with rising temperature, in the shape of ``x``, and their step."""
        on = (self.planes.detach() > 0.0).float()
        worth = self.selected()[:, None] * plane_values(len(self.planes), like=on)
        codes = ((on[:, POSITIVE] - on[:, NEGATIVE]) * worth).sum(dim=0)
        return Coded(codes.view(x.shape), self.log_step.detach().exp())

    def selections(self) -> Tensor:
        """Return how far each plane is on, 0 to 1, differentiable (shape: planes)."""
        return (self.selection * self.temperature).sigmoid()

    def selected(self) -> Tensor:
        """Return 1 for every plane that is on, 0 for others (shape: planes)."""
        return (self.selection.detach() > 0.0).float()

    @property
    def code_format(self) -> CodeFormat:
        """How the codes are written in bits."""
        return code_format(self.bits, signed=True)

    @property
    def is_fitted(self) -> bool:
        """Whether the step differs from 1."""
        return bool(self.log_step.detach() != 0.0)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Take the bits of ``x`` in all planes, which are on; its largest weight has the largest code."""
        flat = x.detach().flatten()
        step = flat.abs().max() / self.largest_code
        step = torch.where(step > 0, step, torch.ones_like(step))
        self.log_step.copy_(step.log())
        self.selection.fill_(START)
        codes = (flat / step).round_().clamp_(-self.largest_code, self.largest_code)
        self.planes.copy_(START * (2.0 * bits_of(codes, len(self.planes)) - 1.0))

    def extra_repr(self) -> str:
        """Describe the quantiser in a printed network."""
        return f"bits={self.bits}, selected={int(self.selected().sum())}"
