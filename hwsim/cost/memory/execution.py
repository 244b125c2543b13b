"""How a device overlaps work with traffic, and where it requantises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Overlap = Literal["ideal", "tiled"]
Requantise = Literal["on_drain", "on_load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How layers are executed.

    Attributes:
        overlap: ``ideal``: a layer takes the longest of compute, memory and vector unit. ``tiled``: its tiles are
            fetched, computed and drained in turn.
        requantise: ``on_drain``: results leave at their key consumer's width, which is therefore fixed when they start.
            ``on_load``: they leave as accumulators, and the key consumer requantises what it reads.
    """

    overlap: Overlap = "ideal"
    requantise: Requantise = "on_drain"
