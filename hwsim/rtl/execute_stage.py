"""The execute stage: a grid of dot-product units in step, under one sequencer."""

from __future__ import annotations

from amaranth import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.cost.arrays import Bismo
from hwsim.rtl.dot_product import ACCUMULATOR_BITS, DotProductUnit
from hwsim.rtl.sequencer import ADDRESS_BITS, JOB, STEP, Sequencer


class ExecuteStage(wiring.Component):
    """What BISMO calls its execute stage, without the operand buffers.

    Ports:
        job, start: See ``Sequencer``.
        weight_address, activation_address: Words wanted from the buffers, which answer in the next cycle.
        weights: One word of ``depth`` bits per row of units.
        activations: One word per column of units.
        results: The accumulators, row by row.
        results_valid: Whether they hold a finished tile in this cycle; the next cycle may overwrite it. Tiles come row
            by row.
    """

    def __init__(self, array: Bismo) -> None:
        self.array = array
        super().__init__(
            {
                "job": In(JOB),
                "start": In(1),
                "weight_address": Out(ADDRESS_BITS),
                "activation_address": Out(ADDRESS_BITS),
                "weights": In(data.ArrayLayout(array.depth, array.rows)),
                "activations": In(data.ArrayLayout(array.depth, array.columns)),
                "results": Out(data.ArrayLayout(signed(ACCUMULATOR_BITS), array.rows * array.columns)),
                "results_valid": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Return the circuit."""
        module = Module()
        module.submodules.sequencer = sequencer = Sequencer()
        count, weigh, accumulate = (Signal(STEP, name=f"step_to_{stage}") for stage in ("count", "weigh", "accumulate"))
        module.d.comb += [
            sequencer.job.eq(self.job),
            sequencer.start.eq(self.start),
            self.weight_address.eq(sequencer.weight_address),
            self.activation_address.eq(sequencer.activation_address),
        ]
        module.d.sync += [
            count.eq(sequencer.step),
            weigh.eq(count),
            accumulate.eq(weigh),
            self.results_valid.eq(accumulate.valid & accumulate.last),
        ]
        for row in range(self.array.rows):
            for column in range(self.array.columns):
                unit = DotProductUnit(self.array.depth)
                module.submodules[f"unit_{row}_{column}"] = unit
                module.d.comb += [
                    unit.weights.eq(self.weights[row]),
                    unit.activations.eq(self.activations[column]),
                    unit.shift.eq(weigh.shift),
                    unit.negate.eq(weigh.negate),
                    unit.enable.eq(accumulate.valid),
                    unit.clear.eq(accumulate.first),
                    self.results[row * self.array.columns + column].eq(unit.accumulator),
                ]
        return module
