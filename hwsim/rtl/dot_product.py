"""One dot-product unit, and how long a dot product takes."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from bitmixer.bitwidths import MAX_BITS

MAX_SHIFT = 2 * (MAX_BITS - 1)
"""Weight of the highest pair of planes, as a power of two."""

ACCUMULATOR_BITS = 32
"""Width of a result, as BISMO's (``accWidth``, github.com/EECS-NTNU/bismo)."""

STAGES = ("read", "count", "weigh", "accumulate")
"""What happens to a pair of words, a cycle each.

read: the buffers answer with a word of each operand; count: AND, and the number of ones; weigh: shift by the planes'
weights, negate where one of them is a sign; accumulate: add to what the dot product has so far.
"""

PIPELINE_LATENCY = len(STAGES) - 1
"""Cycles that a run takes beyond one per pair of words.

A dot product of K products on a unit of Dk lanes, w bits by a bits, needs every plane of one operand against every
plane of the other, w * a, over ceil(K / Dk) words each. A pair of words enters the pipeline in every cycle, because an
addition takes a single cycle and so never waits for the one before. n pairs through s stages take n + s - 1 cycles:

    cycles = w * a * ceil(K / Dk) + PIPELINE_LATENCY

The units of an array work in step, and the next tile's first pair follows the last tile's last one, so a whole product
has one such latency: ``Bismo.compute_cycles`` + PIPELINE_LATENCY. The model leaves it out, as the published law does.
"""


class DotProductUnit(wiring.Component):
    """AND, popcount, shift, negate, accumulate (Umuroglu et al., FPL 2018, arXiv 1806.08862, figure 4).

    Ports, with the stage in which each is looked at:
        weights, activations: ``depth`` bits of a plane of each operand (count).
        shift: Sum of the numbers of the two planes, 0 for the lowest (weigh).
        negate: Whether exactly one of them is a sign plane, which weighs -2^(bits - 1) (weigh).
        enable: Whether there is something to add (accumulate).
        clear: Whether it is the first of a dot product (accumulate).
        accumulator: The dot product, signed, valid in the cycle after its last addition.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        super().__init__(
            {
                "weights": In(depth),
                "activations": In(depth),
                "shift": In(range(MAX_SHIFT + 1)),
                "negate": In(1),
                "enable": In(1),
                "clear": In(1),
                "accumulator": Out(signed(ACCUMULATOR_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Return the circuit."""
        module = Module()
        ones = Signal(range(self.depth + 1))
        term = Signal.like(self.accumulator)
        shifted = ones << self.shift
        module.d.sync += [
            ones.eq(adder_tree(list(self.weights & self.activations))),
            term.eq(Mux(self.negate, -shifted, shifted)),
        ]
        with module.If(self.enable):
            module.d.sync += self.accumulator.eq(term + Mux(self.clear, 0, self.accumulator))
        return module


def adder_tree(terms: list[Value]) -> Value:
    """Return the sum of one or more values, added in pairs, so that its depth is logarithmic."""
    while len(terms) > 1:
        odd = terms[len(terms) // 2 * 2 :]
        terms = [left + right for left, right in zip(terms[::2], terms[1::2], strict=False)] + odd
    return terms[0]
