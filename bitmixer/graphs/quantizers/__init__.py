"""Quantisers of values that belong to nodes, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bitmixer.errors import QuantizerError, did_you_mean
from bitmixer.graphs.quantizers.a2q import A2QQuantizer
from bitmixer.graphs.quantizers.base import REAL, AffineCodes, ClassQuantizer, Owners
from bitmixer.graphs.quantizers.degree_quant import DegreeQuantizer
from bitmixer.graphs.quantizers.node_ranges import NodeExtremesQuantizer
from bitmixer.graphs.quantizers.node_scales import NodeScaleQuantizer
from bitmixer.graphs.quantizers.ranges import ExtremesQuantizer, LeastErrorQuantizer, MeanExtremesQuantizer

NodeQuantizerName = Literal[
    "a2q", "degree_quant", "extremes", "least_error", "mean_extremes", "node_extremes", "node_scale"
]

NODE_QUANTIZERS: dict[str, type[ClassQuantizer]] = {
    "a2q": A2QQuantizer,
    "degree_quant": DegreeQuantizer,
    "extremes": ExtremesQuantizer,
    "least_error": LeastErrorQuantizer,
    "mean_extremes": MeanExtremesQuantizer,
    "node_extremes": NodeExtremesQuantizer,
    "node_scale": NodeScaleQuantizer,
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
