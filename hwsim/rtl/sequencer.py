"""The sequencer: walks tiles and planes, an address of each operand buffer in every cycle."""

from __future__ import annotations

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from bitmixer.bitwidths import MAX_BITS
from hwsim.rtl.dot_product import MAX_SHIFT

ADDRESS_BITS = 16
"""Width of buffer addresses and tile counters."""

JOB = data.StructLayout(
    {
        "weight_bits": range(MAX_BITS + 1),
        "activation_bits": range(MAX_BITS + 1),
        "weight_signed": 1,
        "activation_signed": 1,
        "depth_tiles": ADDRESS_BITS,
        "row_tiles": ADDRESS_BITS,
        "column_tiles": ADDRESS_BITS,
    }
)
"""One matrix product, chosen at run time: every number is 1 or more."""

STEP = data.StructLayout({"valid": 1, "first": 1, "last": 1, "negate": 1, "shift": range(MAX_SHIFT + 1)})
"""What the units must know of a pair of words; it travels down the pipeline with them."""


class Sequencer(wiring.Component):
    """Five nested loops, from the outermost: row tiles, column tiles, weight planes, activation planes, depth tiles.

    A buffer holds the words of a tile one after the other, plane by plane from the lowest, and tile by tile. So
    addresses are only ever counted up, or set back to where a plane, or a tile, began: there is no multiplier.

    Ports:
        job, start: What to do; both are looked at in the cycle of ``start``, and the first step is in the next one.
            Not to be raised before the last step of the job before.
        step, weight_address, activation_address: The pair of words of this cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "job": In(JOB),
                "start": In(1),
                "step": Out(STEP),
                "weight_address": Out(ADDRESS_BITS),
                "activation_address": Out(ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Return the circuit."""
        module = Module()
        job = Signal(JOB)
        running = Signal()
        counters = {
            "depth_tile": (Signal(ADDRESS_BITS), job.depth_tiles),
            "activation_plane": (Signal(range(MAX_BITS)), job.activation_bits),
            "weight_plane": (Signal(range(MAX_BITS)), job.weight_bits),
            "column_tile": (Signal(ADDRESS_BITS), job.column_tiles),
            "row_tile": (Signal(ADDRESS_BITS), job.row_tiles),
        }
        ends = {}  # of each loop: whether it and all loops inside it are in their last turn
        ended: Value = running
        for name, (counter, turns) in counters.items():
            ends[name] = Signal(name=f"{name}_ends")
            module.d.comb += ends[name].eq(ended & (counter == turns - 1))
            with module.If(ended):
                module.d.sync += counter.eq(counter + 1)
            with module.If(ends[name]):
                module.d.sync += counter.eq(0)
            ended = ends[name]
        with module.If(ends["row_tile"]):
            module.d.sync += running.eq(0)

        depth_tile, activation_plane, weight_plane = (counter for counter, _ in list(counters.values())[:3])
        weight_sign = job.weight_signed & (weight_plane == job.weight_bits - 1)
        activation_sign = job.activation_signed & (activation_plane == job.activation_bits - 1)
        first = Cat(depth_tile, activation_plane, weight_plane) == 0
        module.d.comb += [
            self.step.valid.eq(running),
            self.step.first.eq(first),
            self.step.last.eq(ends["weight_plane"]),
            self.step.shift.eq(weight_plane + activation_plane),
            self.step.negate.eq(weight_sign ^ activation_sign),
        ]
        self._count_addresses(module, running, ends)
        with module.If(self.start):
            module.d.sync += [job.eq(self.job), running.eq(1), self.weight_address.eq(0), self.activation_address.eq(0)]
        return module

    def _count_addresses(self, module: Module, running: Value, ends: dict[str, Signal]) -> None:
        """Count both addresses up, and set them back where a loop reads the same words again."""
        weight_plane, weight_tile, activation_tile = (
            Signal(ADDRESS_BITS, name=f"{name}_start") for name in ("weight_plane", "weight_tile", "activation_tile")
        )
        weight_next, activation_next = self.weight_address + 1, self.activation_address + 1
        with module.If(running):
            module.d.sync += [self.weight_address.eq(weight_next), self.activation_address.eq(activation_next)]
        with module.If(ends["depth_tile"]):  # the same weight plane meets the next activation plane
            module.d.sync += self.weight_address.eq(weight_plane)
        with module.If(ends["activation_plane"]):  # the next weight plane meets all activation planes again
            module.d.sync += [
                self.weight_address.eq(weight_next),
                weight_plane.eq(weight_next),
                self.activation_address.eq(activation_tile),
            ]
        with module.If(ends["weight_plane"]):  # the same weights meet the next columns
            module.d.sync += [
                self.weight_address.eq(weight_tile),
                weight_plane.eq(weight_tile),
                self.activation_address.eq(activation_next),
                activation_tile.eq(activation_next),
            ]
        with module.If(ends["column_tile"]):  # the next weights meet all columns again
            module.d.sync += [
                self.weight_address.eq(weight_next),
                weight_plane.eq(weight_next),
                weight_tile.eq(weight_next),
                self.activation_address.eq(0),
                activation_tile.eq(0),
            ]
        with module.If(ends["row_tile"]):
            module.d.sync += [weight_plane.eq(0), weight_tile.eq(0)]
