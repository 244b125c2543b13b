"""Quantisers of values that belong to nodes, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bitmixer.errors import QuantizerError, did_you_mean
from bitmixer.graphs.quantizers.base import REAL, AffineCodes, ClassQuantizer, Owners
from bitmixer.graphs.quantizers.node_ranges import NodeExtremesQuantizer
from bitmixer.graphs.quantizers.ranges import ExtremesQuantizer, LeastErrorQuantizer, MeanExtremesQuantizer

NodeQuantizerName = Literal["extremes", "least_error", "mean_extremes", "node_extremes"]

NODE_QUANTIZERS: dict[str, type[ClassQuantizer]] = {
    "extremes": ExtremesQuantizer,
    "least_error": LeastErrorQuantizer,
    "mean_extremes": MeanExtremesQuantizer,
    "node_extremes": NodeExtremesQuantizer,
}

__all__ = ["NODE_QUANTIZERS", "REAL", "AffineCodes", "ClassQuantizer", "NodeQuantizerName", "Owners", "node_quantizer"]


def node_quantizer(name: str, widths: Sequence[int], classes: int) -> ClassQuantizer:
    """Return a quantiser of this name.

    Raises:
        QuantizerError: There is none.
    """
    if name not in NODE_QUANTIZERS:
        raise QuantizerError(f"unknown quantizer of nodes {name!r}: {did_you_mean(name, NODE_QUANTIZERS)}")
    return NODE_QUANTIZERS[name](widths, classes)
