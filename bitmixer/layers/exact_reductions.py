"""Reductions on the vector unit whose results do not depend on the order of summation.

In integer evaluation their summands are fixed-point numbers in float64: as long as sums stay below 2^53 they are
exact, whatever the batch size, the memory layout or the number of threads. Otherwise they do what the original does.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

FRACTION_BITS = 16
"""Fixed-point fraction of the summands of an average: sums of up to 2^20 of them are exact in float64."""
PRODUCT_FRACTION_BITS = 14
"""Fraction of the factors of a product: exact while |a| * |b| * (summands) stays below 2^25."""
SOFTMAX_FRACTION_BITS = 32
"""Fraction of a softmax's exponentials, none of which exceeds 1: sums of up to 2^21 are exact."""


def fixed_point(x: Tensor, fraction_bits: int) -> Tensor:
    """Return ``x`` in float64, rounded to multiples of 2^-fraction_bits."""
    return torch.ldexp(torch.ldexp(x.double(), torch.tensor(fraction_bits)).round_(), torch.tensor(-fraction_bits))


class ExactReduction(nn.Module, ABC):
    """Wraps an operation that sums; what it computes in integer evaluation is up to its kind.

    Args:
        operation: The original function or module.
    """

    def __init__(self, operation: Callable[..., Tensor]) -> None:
        super().__init__()
        self.operation = operation
        self.integer = False

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute what the original does."""
        if not self.integer or self.training:
            return self.operation(*args, **kwargs)
        return self.exact(*args, **kwargs)

    @abstractmethod
    def exact(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute it in an order-independent way; the arguments are the original's."""


class ExactAverage(ExactReduction):
    """An average pool, a mean or a sum."""

    def exact(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Sum fixed-point numbers."""
        summands = x.double().mul_(2.0**FRACTION_BITS).round_()
        return self.operation(summands, *args, **kwargs).mul_(2.0**-FRACTION_BITS).to(x.dtype)


class ExactSoftmax(ExactReduction):
    """A softmax."""

    def exact(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Sum fixed-point exponentials."""
        axis = kwargs.get("dim", args[0] if args else getattr(self.operation, "dim", None))
        assert isinstance(axis, int)
        return softmax(x, axis).to(x.dtype)


class ExactProduct(ExactReduction):
    """A matrix product of two tensors."""

    def exact(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply fixed-point numbers."""
        return product(a, b).to(a.dtype)


class ExactAttention(ExactReduction):
    """A scaled dot-product attention; its dropout follows the mode of the network, not that of the traced call."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Attend as the original does."""
        named = dict(zip(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"), args, strict=False)) | kwargs
        if not self.training:
            named["dropout_p"] = 0.0
        return super().forward(**named)

    def exact(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
        is_causal: bool = False, scale: float | None = None,
    ) -> Tensor:  # fmt: skip
        """Attend with fixed-point products and exponentials (formula: Vaswani et al., 2017, eq. 1)."""
        scores = product(query, key.transpose(-2, -1)) * (scale or 1 / math.sqrt(query.shape[-1]))
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
        if attn_mask is not None:
            masked = attn_mask.dtype == torch.bool
            scores = scores.masked_fill(~attn_mask, -math.inf) if masked else scores + attn_mask
        return product(softmax(scores, -1), value).to(query.dtype)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return the matrix product in float64 of operands rounded to fixed point."""
    return torch.matmul(fixed_point(a, PRODUCT_FRACTION_BITS), fixed_point(b, PRODUCT_FRACTION_BITS))


def softmax(x: Tensor, axis: int) -> Tensor:
    """Return the softmax in float64, its exponentials rounded to fixed point before they are summed."""
    x = x.double()
    exponentials = fixed_point((x - x.amax(axis, keepdim=True)).exp(), SOFTMAX_FRACTION_BITS)
    return exponentials / exponentials.sum(axis, keepdim=True)
