"""A device's on-chip buffers, and how it executes layers with them."""

from __future__ import annotations

from typing import Annotated, Literal

from bitmixer.documents import Section
from hwsim.config import units
from hwsim.config.quantity import Measured, PositiveCount, PositiveFraction, Quantity

Halves = Annotated[int, Measured(dimension=units.COUNT, whole=True, at_least=1, at_most=2)]


class ShortTransfers(Section):
    """Pieces that DRAM moves less efficiently than the profile's ``dram_efficiency``.

    Attributes:
        below_bits: Pieces of fewer bits are short.
        efficiency: Achieved over peak bandwidth for them.
    """

    below_bits: Quantity[PositiveCount]
    efficiency: Quantity[PositiveFraction]


class GatheredRows(Section):
    """Rows that are fetched by their index, from anywhere: a graph's messages.

    Attributes:
        least_bits: The least that DRAM moves for one.
        efficiency: Achieved over peak bandwidth for them.
    """

    least_bits: Quantity[PositiveCount]
    efficiency: Quantity[PositiveFraction]


class Buffers(Section):
    """On-chip buffers, into which layers are tiled.

    Attributes:
        weight_bytes: Capacity for weight planes.
        activation_bytes: Capacity for activations.
        output_bytes: Capacity for accumulators.
        halves: 2 where a tile is fetched while another is computed, 1 where not.
        burst_bits: The least that DRAM moves; every tile is rounded up to whole bursts.
        short_transfers: Which tiles take longer for their bits; none if not given.
        gathered_rows: How a graph's messages move; as tiles of their size if not given.
    """

    weight_bytes: Quantity[PositiveCount]
    activation_bytes: Quantity[PositiveCount]
    output_bytes: Quantity[PositiveCount]
    halves: Quantity[Halves]
    burst_bits: Quantity[PositiveCount]
    short_transfers: ShortTransfers | None = None
    gathered_rows: GatheredRows | None = None


class PublishedBuffers(Section):
    """What a paper says of an array's buffers, as far as it does."""

    weight_bytes: Quantity[PositiveCount] | None = None
    activation_bytes: Quantity[PositiveCount] | None = None
    output_bytes: Quantity[PositiveCount] | None = None


class Execution(Section):
    """How layers are executed.

    Attributes:
        overlap: ``ideal``: a layer takes the longest of compute, memory and vector unit; ``tiled``: tile by tile.
        requantise: ``on_drain``: results leave at their key consumer's width; ``on_load``: as accumulators.
    """

    overlap: Literal["ideal", "tiled"] = "ideal"
    requantise: Literal["on_drain", "on_load"] = "on_drain"
