"""Convolution and linear layers that share one set of weights between all their bit-widths."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer.bitwidths import BitWidths, Datapath
from bitmixer.errors import DatapathError
from bitmixer.kernels import BitPlanes, popcount_product
from bitmixer.kernels import layers as bit_serial
from bitmixer.kernels.bit_planes import Codes, Integers
from bitmixer.layers.stored_tensor import StoredTensor
from bitmixer.quantizers import NESTED, Quantization

EXACT_IN_FLOAT32 = 2**24
"""Integers up to here are exact in float32, and so is every sum whose partial sums stay below."""


class _WeightCodes(NamedTuple):
    """Integer weights of one width, in the type that holds their accumulators exactly."""

    codes: Tensor
    step: Tensor
    largest_sum: int
    version: tuple[int, ...]


class Site(nn.Module, ABC):
    """A layer with weights whose bit-widths may be chosen at run time.

    In training, or with a quantiser off, values are rounded but stay real numbers. In evaluation with both
    on, the layer multiplies integer codes: every partial sum is an exact integer, so the result depends
    on neither batch size nor memory layout nor threads.

    Args:
        weight: The layer's weights, shared with the original.
        bias: The layer's bias, or ``None``.
        input_channels: Channels of the input, or features of a token.
        allowed: Widths that the site can run at.
        signed_input: Whether the input can be negative.
        quantization: How weights and input are quantised.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        allowed: tuple[BitWidths, ...],
        *,
        input_channels: int,
        signed_input: bool,
        quantization: Quantization = NESTED,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias
        self.allowed = allowed
        self.widths = max(allowed)
        self.datapath: Datapath = "bit_parallel"
        self.quantize_weights = False
        self.quantize_activations = False
        self.calibrating = False
        self.weight_quantizer = quantization.for_weights(sorted({widths.weight for widths in allowed}), weight)
        activation_bits = sorted({widths.activation for widths in allowed})
        self.activation_quantizer = quantization.for_activations(
            activation_bits, signed=signed_input, channels=input_channels, trailing_axes=weight.dim() - 2
        )
        self._cached_codes: dict[int, _WeightCodes] = {}

    @property
    def rounds_input(self) -> bool:
        """Whether the input is rounded to codes that count from its zero."""
        return self.quantize_activations and not self.activation_quantizer.is_sign(self.widths.activation)

    @property
    def multiplies_codes(self) -> bool:
        """Whether the layer multiplies integer codes: in evaluation with both quantisers on."""
        return self.quantize_weights and self.quantize_activations and not self.training

    @abstractmethod
    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply inputs with weights, as the original layer does."""

    @abstractmethod
    def bit_serial_product(self, codes: Codes, weight: Codes) -> Integers:
        """Multiply the same codes plane by plane."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's result at the current widths."""
        self.set_quantizers()
        if self.calibrating:
            self.activation_quantizer.calibrate(x)
        if self.multiplies_codes:
            return self._integer_forward(x)
        if self.quantize_activations:
            x = self.activation_quantizer(x)
        weight = self.weight_quantizer(self.weight) if self.quantize_weights else self.weight
        return self.product(x, weight, self.bias)

    def set_quantizers(self) -> None:
        """Set both quantisers to the current widths."""
        self.activation_quantizer.bits = self.widths.activation
        self.weight_quantizer.bits = self.widths.weight

    @torch.no_grad()
    def accumulators(self, x: Tensor) -> Tensor:
        """Return the exact integer sums of products of codes, before any scaling, held as floats.

        Raises:
            DatapathError: On the bit-serial datapath, for values that are no numbers.
        """
        weight, codes = self.operands(x)
        if self.datapath == "bit_parallel":
            return self.product(codes.to(weight.dtype), weight, None)
        return torch.from_numpy(self.bit_serial_sums(whole_numbers(codes))).to(weight)

    def bit_serial_sums(self, codes: Codes) -> Integers:
        """Return the sums of products of an input's codes with those of the weights, plane by plane."""
        return self.bit_serial_product(codes, whole_numbers(self.weight_codes()))

    @torch.no_grad()
    def operands(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the integer codes of the weights and of an input at the current widths, held as floats."""
        return self.weight_codes(), self.activation_quantizer.codes(x)

    def weight_codes(self) -> Tensor:
        """Return the integer codes of the weights at the current width, held as floats."""
        self.set_quantizers()
        return self._weight_codes().codes

    def scaled(self, accumulators: Tensor) -> Tensor:
        """Return what sums of products of codes are worth, bias included; they are overwritten."""
        result = accumulators.mul_(self.scale())
        return result if self.bias is None else result.add_(self._broadcast(self.bias))

    def scale(self) -> Tensor:
        """Return what a product of two codes is worth at the current widths; broadcasts against accumulators."""
        return self._broadcast(self._weight_codes().step) * self.activation_quantizer.step()

    def _apply(self, fn: Callable[..., Tensor], recurse: bool = True) -> Self:
        self._cached_codes.clear()  # they would stay on the old device, in the old type
        result: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return result

    @property
    def largest_accumulator(self) -> int:
        """No accumulator of the current weight width is larger in size."""
        return self._weight_codes().largest_sum

    @torch.no_grad()
    def _integer_forward(self, x: Tensor) -> Tensor:
        return self.scaled(self.accumulators(x).to(x.dtype))

    def _broadcast(self, per_channel: Tensor) -> Tensor:
        return per_channel.reshape(-1, *([1] * (self.weight.dim() - 2)))

    @torch.no_grad()
    def _weight_codes(self) -> _WeightCodes:
        version = tuple(tensor._version for tensor in (self.weight, *self.weight_quantizer.parameters()))
        cached = self._cached_codes.get(self.widths.weight)
        if cached is None or cached.version != version:
            codes, step = self.weight_quantizer.encode(self.weight)
            largest = self._largest_sum(codes)
            exact = codes if largest < EXACT_IN_FLOAT32 else codes.double()
            cached = _WeightCodes(exact, step, largest, version)
            self._cached_codes[self.widths.weight] = cached
        return cached

    def _largest_sum(self, codes: Tensor) -> int:
        largest = float(codes.abs().flatten(1).sum(dim=1, dtype=torch.float64).nan_to_num(0.0).max())
        return int(largest) * self.activation_quantizer.largest_code

    def extra_repr(self) -> str:
        """Describe the site in a printed network."""
        return f"{tuple(self.weight.shape)}, widths={self.widths}"


def _threaded_product(a: BitPlanes, b: BitPlanes) -> Integers:
    return popcount_product(a, b, threads=torch.get_num_threads())


def whole_numbers(codes: Tensor) -> Codes:
    """Return codes that are held as floats as integers.

    Raises:
        DatapathError: One is no number.
    """
    if codes.isnan().any():
        raise DatapathError("a value that is no number has no bits: look for it in the inputs and the weights")
    return codes.to("cpu", torch.int16).numpy()


class MixedConvolution(Site):
    """A 1-d or 2-d convolution whose widths can be switched."""

    def __init__(
        self,
        original: nn.Conv1d | nn.Conv2d,
        allowed: tuple[BitWidths, ...],
        *,
        signed_input: bool,
        quantization: Quantization = NESTED,
    ) -> None:
        super().__init__(
            original.weight, original.bias, allowed, input_channels=original.in_channels,
            signed_input=signed_input, quantization=quantization,
        )  # fmt: skip
        assert not isinstance(original.padding, str)
        self.stride = original.stride
        self.padding = original.padding
        self.dilation = original.dilation
        self.groups = original.groups
        self.stored_inputs: tuple[StoredTensor, ...] = ()  # in a tuple, it does not become a child of this module

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve."""
        thinned = any(stored.thins for stored in self.stored_inputs)
        padding = self.padding
        if self.pads_with_signs:
            x = F.pad(x, [size for size in reversed(padding) for _ in range(2)], value=1.0)
            padding = (0,) * len(padding)
        return self.multiply(x, weight, bias, 1 if thinned else self.stride, padding, self.dilation, self.groups)

    def multiply(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int | tuple[int, ...],
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
    ) -> Tensor:
        """Convolve over a padded input; a training in another arithmetic puts its own product in this one's place."""
        convolve = F.conv1d if weight.dim() == 3 else F.conv2d
        return convolve(x, weight, bias, stride, padding, dilation, groups)

    @property
    def pads_with_signs(self) -> bool:
        """Whether +1 lies outside of the map, as the input is rounded to signs, which have no zero."""
        return (
            any(self.padding)
            and self.quantize_activations
            and self.activation_quantizer.is_sign(self.widths.activation)
        )

    def bit_serial_product(self, codes: Codes, weight: Codes) -> Integers:
        """Convolve plane by plane."""
        padding = self.padding
        if self.pads_with_signs:
            codes = np.pad(codes, [(0, 0), (0, 0), *((size, size) for size in padding)], constant_values=1)
            padding = (0,) * len(padding)
        return bit_serial.convolve(
            codes,
            weight,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
            input_format=self.activation_quantizer.code_format,
            weight_format=self.weight_quantizer.code_format,
            product=_threaded_product,
        )


class MixedLinear(Site):
    """A linear layer whose widths can be switched."""

    def __init__(
        self,
        original: nn.Linear,
        allowed: tuple[BitWidths, ...],
        *,
        signed_input: bool,
        quantization: Quantization = NESTED,
    ) -> None:
        super().__init__(
            original.weight, original.bias, allowed, input_channels=original.in_features,
            signed_input=signed_input, quantization=quantization,
        )  # fmt: skip

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply."""
        return self.multiply(x, weight, bias)

    def multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply; a training in another arithmetic puts its own product in this one's place."""
        return F.linear(x, weight, bias)

    def bit_serial_product(self, codes: Codes, weight: Codes) -> Integers:
        """Multiply plane by plane."""
        return bit_serial.multiply(
            codes,
            weight,
            input_format=self.activation_quantizer.code_format,
            weight_format=self.weight_quantizer.code_format,
            product=_threaded_product,
        )
