"""Layer graphs by hand, and losses that are a formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.graph import Layer, LayerGraph
from bitmixer.search.losses import Change, Losses

PINNED = (BitWidths(8, 8),)
GraphOf = Callable[..., LayerGraph]


def layer(name: str, allowed: Sequence[BitWidths], *, channels: int = 1, size: int = 1) -> Layer:
    """Return a 1x1 convolution with ``channels`` weights and ``channels * size`` multiply-accumulates."""
    fields: dict[str, Any] = {
        "name": name, "kind": "convolution", "input_channels": 1, "output_channels": channels, "kernel_height": 1,
        "kernel_width": 1, "stride": 1, "padding": 0, "groups": 1, "input_height": size, "input_width": 1,
        "output_height": size, "output_width": 1, "allowed": tuple(allowed), "producers": (), "consumers": (),
        "key_consumer": None, "is_key_consumer": True, "stream_write_elements": 0, "residual_write_elements": 0,
        "residual_read_elements": 0, "vector_operations": 0,
    }  # fmt: skip
    return Layer(**fields)


@pytest.fixture(scope="session")
def graph_of() -> GraphOf:
    """Return a function (site -> its widths; keywords of a site) -> a graph with a pinned stem and classifier."""

    def build(sites: Mapping[str, Sequence[BitWidths]], **keywords: Mapping[str, int]) -> LayerGraph:
        layers = [layer(name, allowed, **keywords.get(name, {})) for name, allowed in sites.items()]
        return LayerGraph(
            network="small", input_shape=(1, 1, 1), classes=1, residual_bits=8,
            layers=(layer("stem", PINNED, channels=10), *layers, layer("classifier", PINNED)), joins=(),
        )  # fmt: skip

    return build


class FormulaLoss:
    """A loss that is a function of the assignment; counts how many assignments were asked for."""

    def __init__(self, formula: Callable[[Mapping[str, BitWidths]], float]) -> None:
        self.formula = formula
        self.asked = 0

    def losses(self, assignment: BitAssignment, changes: Sequence[Change]) -> Losses:
        self.asked += 1 + len(changes)
        changed = tuple(self.formula({**assignment, site: widths}) for site, widths in changes)
        return Losses(self.formula(assignment), changed)


@pytest.fixture(scope="session")
def formula_loss() -> type[FormulaLoss]:
    """The class of losses by formula."""
    return FormulaLoss
