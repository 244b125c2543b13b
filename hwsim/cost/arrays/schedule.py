"""What an array that brings its own buffers and DRAM interface answers: how a layer is best run on it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol, Self, runtime_checkable

from hwsim.cost.arrays.base import ArrayModel, Float64Array, Int64Array, LayerShapes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """Cycles, traffic and energy of layers; all arrays have the shape of the question.

    Attributes:
        compute_cycles: Of the array, padding of tiles included.
        total_cycles: Until the last result is written.
        dram_read_bits: Bits from DRAM; all of them are written into a buffer.
        dram_write_bits: Bits to DRAM.
        tile_output_size: Side of a tile of outputs.
        tile_input_channels: Input channels of a tile.
    """

    compute_cycles: Int64Array
    total_cycles: Int64Array
    dram_read_bits: Int64Array
    dram_write_bits: Int64Array
    weight_buffer_read_bits: Int64Array
    weight_buffer_write_bits: Int64Array
    activation_buffer_read_bits: Int64Array
    activation_buffer_write_bits: Int64Array
    output_buffer_read_bits: Int64Array
    output_buffer_write_bits: Int64Array
    energy_joules: Float64Array
    tile_output_size: Int64Array
    tile_input_channels: Int64Array

    def take(self, index: Int64Array, *, times: Int64Array) -> Self:
        """Return the layers at ``index``, each executed ``times`` over, tile by tile of the same size."""
        chosen = {field.name: getattr(self, field.name)[index] for field in fields(self)}
        return type(self)(
            **{name: values if name.startswith("tile_") else values * times for name, values in chosen.items()}
        )

    def columns(self) -> dict[str, list[int] | list[float]]:
        """Return the table that ``hwsim cost`` prints, column by column."""
        named = {field.name: getattr(self, field.name).ravel().tolist() for field in fields(self)}
        leading = {
            "compute_cycles": named["compute_cycles"],
            "total_cycles": named["total_cycles"],
            "memory_stall_cycles": (self.total_cycles - self.compute_cycles).ravel().tolist(),
            "dram_bits": (self.dram_read_bits + self.dram_write_bits).ravel().tolist(),
        }
        return {**leading, **named}


@runtime_checkable
class SchedulingArray(ArrayModel, Protocol):
    """An array model with buffers, a DRAM interface and energies of its own."""

    def schedule(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Schedule:
        """Return the best way to run each layer; the arguments broadcast as those of ``compute_cycles``."""
        ...
