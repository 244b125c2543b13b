"""What it takes to build a network of one's own again; plain data, read without torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from bitmixer.bitwidths import BitWidths, End, NormKey
from bitmixer.quantizers import Granularity, QuantizerName


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleForm:
    """A module in normal form, as plain data, and the options of its conversion.

    Attributes:
        module: What ``bitmixer.description`` makes of the module: its operations, layers and constants, without values.
    """

    module: dict[str, Any]
    bits: tuple[int, ...]
    residual_bits: int
    tied: bool
    norm: NormKey
    quantizer: QuantizerName
    granularity: Granularity
    pinned: tuple[End, ...]
    signed_input: bool
    affine_without_norm: bool
    scheme: dict[str, BitWidths] | None

    def as_dict(self) -> dict[str, Any]:
        """Return the form as JSON holds it."""
        return dataclasses.asdict(self)
