"""Weights as trainable bit planes, of which a layer can lose the outer ones and regain the highest.

Source: Yang et al., "BSQ: Exploring Bit-Level Sparsity for Mixed-Precision Neural Network Quantization", ICLR 2021
(representation and rules of adjustment as in its public code).

A weight is its code times a step; the code is the rounded sum over planes b of 2**b (p_b - n_b). In training every p_b
and n_b, one of a positive and one of a negative plane, is a real number in [0, 2]: up to 2 and not 1, so that a sum can
leave the range of its planes and the precision grow. Where BSQ keeps the scale of the largest code, we keep the step,
the value of the lowest plane: dropping or adding a highest plane then leaves it alone, and dropping a lowest plane
doubles it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bitmixer.kernels import CodeFormat
from bitmixer.quantizers.base import Coded, Quantizer
from bitmixer.quantizers.codes import code_format

LARGEST_BIT = 2.0
"""A trainable bit lies between 0 and this."""
POSITIVE, NEGATIVE = 0, 1
SMALLEST_SQUARE = 1e-8
"""Is added to the square of a norm, which has a slope at zero then (as in the public code)."""


class _PlaneSum(torch.autograd.Function):
    """The rounded sum of planes times the step; rounding and clipping pass every gradient straight through."""

    @staticmethod
    def forward(ctx: Any, planes: Tensor, log_step: Tensor, codes: Tensor, step: Tensor) -> Tensor:
        """Return the values of the codes, flat."""
        values = codes * step
        ctx.save_for_backward(values, step)
        ctx.planes = planes.shape
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Return the gradients of the planes and of the logarithm of the step."""
        values, step = ctx.saved_tensors
        positive = (gradient * step) * plane_values(ctx.planes[0], like=gradient)
        return torch.stack([positive, -positive], dim=1), torch.dot(gradient, values), None, None


class BitPlaneQuantizer(Quantizer):
    """Holds one weight tensor as planes of bits; the tensor itself only starts them.

    Args:
        bits: Bits in which a weight is stored at most, its sign among them: there are ``bits - 1`` planes.
        weight: The weights.

    Attributes:
        planes: Trainable bits, shape (planes, 2, weights); the lowest plane first, positive before negative ones.
        precision: Number of planes in use, from the lowest; 0 for a layer without any.
        doublings: Number of lowest planes that were dropped; each doubled the step.
    """

    precision: Tensor
    doublings: Tensor

    def __init__(self, bits: int, weight: Tensor) -> None:
        super().__init__()
        self.widths = (bits,)
        self.bits = bits
        self.largest_code = 2 ** (bits - 1) - 1
        self.planes = nn.Parameter(weight.detach().new_zeros(bits - 1, 2, weight.numel()))
        self.log_step = nn.Parameter(weight.detach().new_zeros(()))
        self.register_buffer("precision", torch.tensor(bits - 1, device=weight.device))
        self.register_buffer("doublings", torch.tensor(0, device=weight.device))

    @property
    def used_planes(self) -> Tensor:
        """The planes in use, shape (precision, 2, weights)."""
        return self.planes[: int(self.precision)]

    def forward(self, x: Tensor) -> Tensor:
        """Return the weights that the planes hold, in the shape of ``x``, differentiable."""
        values: Tensor = _PlaneSum.apply(self.used_planes, self.log_step, self._codes(), self.step())  # type: ignore[no-untyped-call]
        return values.view(x.shape)

    def encode(self, x: Tensor) -> Coded:
        """Return the codes of the weights that the planes hold, in the shape of ``x``, and their step."""
        return Coded(self._codes().view(x.shape), self.step())

    def step(self) -> Tensor:
        """Return the value of a bit of the lowest plane (a scalar)."""
        return torch.ldexp(self.log_step.detach().exp(), self.doublings)

    @property
    def code_format(self) -> CodeFormat:
        """How the codes are written in bits."""
        return code_format(self.bits, signed=True)

    @property
    def is_fitted(self) -> bool:
        """Whether the step differs from 1."""
        return bool(self.step() != 1.0)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Take the bits of ``x`` at the highest precision; its largest weight has the largest code."""
        flat = x.detach().flatten()
        step = flat.abs().max() / self.largest_code
        step = torch.where(step > 0, step, torch.ones_like(step))
        self.log_step.copy_(step.log())
        self.doublings.zero_()
        self._write((flat / self.step()).round_().clamp_(-self.largest_code, self.largest_code), len(self.planes))

    def norms(self) -> Tensor:
        """Return the Euclidean norm of every plane in use, positive and negative bits together (shape: precision)."""
        return self.used_planes.flatten(1).square().sum(dim=1).add(SMALLEST_SQUARE).sqrt()

    @torch.no_grad()
    def clamp_bits(self) -> None:
        """Put every bit that a training step moved out of its range back into it."""
        self.planes.clamp_(0.0, LARGEST_BIT)

    @torch.no_grad()
    def adjust(self) -> None:
        """Make all bits 0 or 1 again and use the planes from the lowest to the highest that is not empty.

        This drops empty outer planes, and adds one where a sum went beyond the planes in use. The weights do not
        change, but for those beyond: they were cut off, and are no longer.
        """
        codes = self._sums().round_().clamp_(-self.largest_code, self.largest_code)
        dropped, precision = _occupied(codes)
        self.doublings += dropped
        self._write(codes * 2.0**-dropped, precision)

    def _write(self, codes: Tensor, precision: int) -> None:
        self.precision.fill_(precision)
        self.planes.copy_(bits_of(codes, len(self.planes)))

    def _sums(self) -> Tensor:
        """Return the sums over planes in units of the step, not rounded, flat."""
        used = self.used_planes.detach()
        values = plane_values(len(used), like=used)
        return ((used[:, POSITIVE] - used[:, NEGATIVE]) * values).sum(dim=0)

    def _codes(self) -> Tensor:
        highest = 2.0 ** int(self.precision) - 1.0
        return self._sums().round_().clamp_(-highest, highest)

    def extra_repr(self) -> str:
        """Describe the quantiser in a printed network."""
        return f"bits={self.bits}, precision={int(self.precision)}"


def plane_values(count: int, *, like: Tensor) -> Tensor:
    """Return what a bit of each plane is worth in steps, shape (count, 1)."""
    return torch.ldexp(torch.ones(count, 1, device=like.device), torch.arange(count, device=like.device)[:, None])


def bits_of(codes: Tensor, planes: int) -> Tensor:
    """Return the bits of whole numbers' sizes, shape (planes, 2, codes): of positive numbers, and of negative ones."""
    magnitudes = codes.abs().int()
    bits = torch.stack([(magnitudes >> plane) & 1 for plane in range(planes)])
    return torch.stack([bits * (codes > 0), bits * (codes < 0)], dim=1).to(codes.dtype)


def fewest_planes(codes: Tensor, step: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return codes and the step without empty outer planes, worth the same to the bit, and how many planes are left."""
    dropped, precision = _occupied(codes)
    return codes * 2.0**-dropped, step * 2.0**dropped, precision


def _occupied(codes: Tensor) -> tuple[int, int]:
    """Return how many lowest planes are empty, and how many lie between the lowest and the highest that are not."""
    magnitudes = codes.abs().int()
    planes = range(int(magnitudes.max()).bit_length())
    union = sum(1 << plane for plane in planes if ((magnitudes >> plane) & 1).any())
    empty = (union & -union).bit_length() - 1 if union else 0
    return empty, (union >> empty).bit_length()
