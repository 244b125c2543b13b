"""Quantisers by name. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from bitmixer.bitwidths import WeightCodes
from bitmixer.errors import QuantizerError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from bitmixer.quantizers.base import Quantizer
    from bitmixer.quantizers.binary import BinaryActivationQuantizer
    from bitmixer.quantizers.lsq import StepQuantizer

QuantizerName = Literal["nested", "lsq", "symmetric", "dorefa", "binary"]
Granularity = Literal["tensor", "channel"]
"""How many weight steps a layer has: one, or one per output channel."""

QUANTIZERS: dict[QuantizerName, WeightCodes] = {
    "nested": "nested",
    "lsq": "independent",
    "symmetric": "independent",
    "dorefa": "truncated",
    "binary": "nested",
}
"""Names, and what their weight codes are.

``nested``: double rounding for weights, LSQ for activations. ``lsq``: LSQ with an independent step per width for
both. ``symmetric``: the same with weight codes that a sign and a magnitude hold. ``dorefa``: DoReFa weights and PACT
activations, as in AdaBits. ``binary``: as ``nested``, but one bit is that of binary networks: signs about learned
thresholds, and the weights' mean size per channel.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How a network is quantised.

    Attributes:
        quantizer: A name of ``QUANTIZERS``.
        granularity: Of the weight steps; activations have one step per tensor.

    Raises:
        QuantizerError: One of them does not exist.
    """

    quantizer: QuantizerName = "nested"
    granularity: Granularity = "tensor"

    def __post_init__(self) -> None:
        if self.quantizer not in QUANTIZERS:
            raise QuantizerError(f"unknown quantizer {self.quantizer!r}: {did_you_mean(self.quantizer, QUANTIZERS)}")
        if self.granularity not in (known := get_args(Granularity)):
            raise QuantizerError(f"unknown granularity {self.granularity!r}: {did_you_mean(self.granularity, known)}")

    @property
    def weight_codes(self) -> WeightCodes:
        """What a width's weight codes are."""
        return QUANTIZERS[self.quantizer]

    def for_weights(self, widths: Sequence[int], weight: Tensor) -> Quantizer:
        """Return the quantiser of a layer's weights, of the shape of ``weight``."""
        from bitmixer.quantizers.binary import BinaryWeightQuantizer
        from bitmixer.quantizers.dorefa import DoReFaWeightQuantizer
        from bitmixer.quantizers.lsq import StepQuantizer
        from bitmixer.quantizers.nested import NestedWeightQuantizer

        channels = len(weight) if self.granularity == "channel" else None
        if self.quantizer in ("lsq", "symmetric"):
            return StepQuantizer(widths, signed=True, channels=channels, symmetric=self.quantizer == "symmetric")
        if self.quantizer == "dorefa":
            return DoReFaWeightQuantizer(widths, per_channel=channels is not None)
        return (BinaryWeightQuantizer if self.quantizer == "binary" else NestedWeightQuantizer)(
            widths, channels=channels
        )

    def for_activations(
        self, widths: Sequence[int], *, signed: bool, channels: int | None = None, trailing_axes: int = 0
    ) -> StepQuantizer | BinaryActivationQuantizer:
        """Return the quantiser of a layer's input.

        Args:
            widths: Bit-widths it can be set to.
            signed: Whether the input can be negative.
            channels: Channels of the input, for what is learned per channel; ``None`` for one of all.
            trailing_axes: Axes behind that of the channels.
        """
        from bitmixer.quantizers.binary import BinaryActivationQuantizer
        from bitmixer.quantizers.lsq import StepQuantizer
        from bitmixer.quantizers.pact import PactQuantizer

        if self.quantizer == "binary":
            return BinaryActivationQuantizer(widths, signed=signed, channels=channels, trailing_axes=trailing_axes)
        return (PactQuantizer if self.quantizer == "dorefa" else StepQuantizer)(widths, signed=signed)


NESTED = Quantization()
"""Nested codes with one step per tensor: the form of the design's rules."""
