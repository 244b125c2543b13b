"""The same products with torch's own eight-bit types, multiplied by ``torch._scaled_mm``.

GPUs from compute capability 8.9 multiply them in hardware; a CPU multiplies them slowly, to the same sums. A
convolution is unfolded into a product of matrices. Sizes are padded with zeros to multiples of 16, which cuBLASLt
needs; all scales are 1, as the loss is scaled instead.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bitmixer.errors import TrainingError
from bitmixer.quantizers.float_formats import E4M3, FloatFormat
from bitmixer.training.float8_products import Geometry

MULTIPLE = 16
LEAST_CAPABILITY = (8, 9)


def require_scaled_mm(device: torch.device) -> None:
    """Check that a device multiplies eight-bit floats.

    Raises:
        TrainingError: It does not.
    """
    if device.type == "cuda":
        found = torch.cuda.get_device_capability(device)
        if found < LEAST_CAPABILITY:
            raise TrainingError(
                f"products: scaled_mm needs compute capability {_dotted(LEAST_CAPABILITY)}, this GPU has "
                f"{_dotted(found)}: choose products: emulated"
            )
    elif device.type != "cpu":
        raise TrainingError(f"products: scaled_mm: device {device.type!r} has none: choose products: emulated")


class ScaledProducts:
    """The three products of a layer in torch's own types.

    Args:
        forward: Format of weights and activations.
        backward: Format of errors.
    """

    def __init__(self, forward: FloatFormat, backward: FloatFormat) -> None:
        self._forward, self._backward = _type_of(forward), _type_of(backward)

    def multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry | None) -> Tensor:
        """Return the forward product of operands that are on the grid of their format."""
        flat = _multiplied(_rows(x, weight, geometry), self._forward, weight.flatten(1).t(), self._forward)
        result = flat if bias is None else flat + bias
        if geometry is None:
            return result.reshape(*x.shape[:-1], -1)
        return result.reshape(len(x), *_places(x, weight, geometry), -1).movedim(-1, 1)

    def gradients(
        self, error: Tensor, x: Tensor, weight: Tensor, geometry: Geometry | None, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of the input and of the weights, each where it is wanted."""
        errors = (error if geometry is None else error.movedim(1, -1)).flatten(0, -2)
        to_x = to_weight = None
        if wanted[0]:
            rows = _multiplied(errors, self._backward, weight.flatten(1), self._forward)
            to_x = _summed(rows, x, weight, geometry)
        if wanted[1]:
            product = _multiplied(errors.t(), self._backward, _rows(x, weight, geometry), self._forward)
            to_weight = product.view_as(weight)
        return to_x, to_weight


def _multiplied(left: Tensor, left_type: torch.dtype, right: Tensor, right_type: torch.dtype) -> Tensor:
    """Return the product of two matrices, summed in float32."""
    rows, columns = left.shape[0], right.shape[1]
    one = torch.ones((), device=left.device)
    result: Tensor = torch._scaled_mm(
        _padded(left).to(left_type), _padded(right.t()).to(right_type).t(), scale_a=one, scale_b=one,
        out_dtype=torch.float32,
    )  # fmt: skip
    return result[:rows, :columns]


def _padded(matrix: Tensor) -> Tensor:
    rows, columns = (-size % MULTIPLE for size in matrix.shape)
    return F.pad(matrix, (0, columns, 0, rows)).contiguous()


def _rows(x: Tensor, weight: Tensor, geometry: Geometry | None) -> Tensor:
    """Return what meets the weights at each place of the result, a row per place."""
    if geometry is None:
        return x.flatten(0, -2)
    return F.unfold(x, weight.shape[2:], geometry.dilation, geometry.padding, geometry.stride).mT.flatten(0, 1)


def _summed(rows: Tensor, x: Tensor, weight: Tensor, geometry: Geometry | None) -> Tensor:
    """Return the sum, at each place of the input, of all rows that it is part of."""
    if geometry is None:
        return rows.view_as(x)
    columns = rows.reshape(len(x), -1, rows.shape[1]).mT
    return F.fold(columns, x.shape[2:], weight.shape[2:], geometry.dilation, geometry.padding, geometry.stride)


def _places(x: Tensor, weight: Tensor, geometry: Geometry) -> list[int]:
    stride, padding, dilation, _ = geometry
    sizes = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    return [(size + 2 * pad - dilate * (kernel - 1) - 1) // step + 1 for size, kernel, step, pad, dilate in sizes]


def _type_of(form: FloatFormat) -> torch.dtype:
    return torch.float8_e4m3fn if form == E4M3 else torch.float8_e5m2


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
