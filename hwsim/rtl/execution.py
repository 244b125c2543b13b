"""Runs a matrix product on the circuit, cycle by cycle, in Amaranth's own simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from amaranth import Module
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator

from hwsim.cost.arrays import Bismo
from hwsim.cost.arrays.base import Int64Array
from hwsim.errors import ConfigurationError, InvariantError
from hwsim.rtl.dot_product import ACCUMULATOR_BITS
from hwsim.rtl.execute_stage import ExecuteStage
from hwsim.rtl.operands import BitMatrix
from hwsim.rtl.sequencer import ADDRESS_BITS

CLOCK_PERIOD_SECONDS = 1e-8  # the simulator wants a clock; no result depends on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What the circuit did.

    Attributes:
        product: Shape [M, P].
        cycles: From the cycle of the first buffer read through the one that completes the last result.
    """

    product: Int64Array
    cycles: int


def execute(array: Bismo, weights: BitMatrix, activations: BitMatrix) -> Execution:
    """Multiply ``weights``, [M, K], with the transpose of ``activations``, [P, K], on a circuit of these dimensions.

    Fetching and draining are no part of it: the buffers hold the operands when the clock starts, and whoever wants a
    result reads it in the cycle in which it is valid.

    Raises:
        ConfigurationError: The matrices do not fit each other, the buffers' addresses or the accumulators.
        InvariantError: The circuit did not come to an end.
    """
    depth_tiles = check_operands(array, weights, activations)
    row_words, column_words = weights.words(array.rows, array.depth), activations.words(array.columns, array.depth)
    if max(len(row_words), len(column_words)) > 1 << ADDRESS_BITS:
        raise ConfigurationError(
            f"operands of {len(row_words)} and {len(column_words)} words: expected at most {1 << ADDRESS_BITS}"
        )
    job = {
        "weight_bits": weights.bits,
        "activation_bits": activations.bits,
        "weight_signed": weights.is_signed,
        "activation_signed": activations.is_signed,
        "depth_tiles": depth_tiles,
        "row_tiles": -(-len(weights.values) // array.rows),
        "column_tiles": -(-len(activations.values) // array.columns),
    }
    stage = ExecuteStage(array)
    tiles, cycles = simulate(stage, with_buffers(stage, row_words, column_words), job)
    blocks = np.array(tiles, dtype=np.int64).reshape(job["row_tiles"], job["column_tiles"], array.rows, array.columns)
    product = blocks.transpose(0, 2, 1, 3).reshape(job["row_tiles"] * array.rows, -1)
    return Execution(product=product[: len(weights.values), : len(activations.values)], cycles=cycles)


def check_operands(array: Bismo, weights: BitMatrix, activations: BitMatrix) -> int:
    """Return the number of words that hold one plane of a vector, if the operands can be multiplied."""
    elements: int = weights.values.shape[1]
    others: int = activations.values.shape[1]
    if elements != others:
        raise ConfigurationError(f"weights of {elements} elements, activations of {others}: expected as many")
    if elements * weights.largest_magnitude * activations.largest_magnitude >= 1 << ACCUMULATOR_BITS - 1:
        raise ConfigurationError(
            f"{elements} products of {weights.bits} by {activations.bits} bits: "
            f"expected a sum that {ACCUMULATOR_BITS} bits can hold"
        )
    return -(-elements // array.depth)


def with_buffers(stage: ExecuteStage, row_words: list[int], column_words: list[int]) -> Module:
    """Return the stage between two buffers that answer a cycle after they are asked."""
    module = Module()
    module.submodules.stage = stage
    for name, words in (("weight", row_words), ("activation", column_words)):
        inputs = getattr(stage, f"{name}s").as_value()
        module.submodules[f"{name}_buffer"] = buffer = Memory(shape=len(inputs), depth=len(words), init=words)
        port = buffer.read_port()
        module.d.comb += [port.addr.eq(getattr(stage, f"{name}_address")), inputs.eq(port.data)]
    return module


def simulate(stage: ExecuteStage, circuit: Module, job: dict[str, int]) -> tuple[list[list[int]], int]:
    """Return the results of each tile, in the order of their completion, and the cycles from the first read."""
    expected = job["row_tiles"] * job["column_tiles"]
    # A circuit that is right needs fewer by far; one that is wrong must not run for ever.
    limit = 64 + 2 * expected * job["depth_tiles"] * job["weight_bits"] * job["activation_bits"]
    tiles: list[list[int]] = []
    cycles = 0

    async def testbench(context: Any) -> None:
        nonlocal cycles
        context.set(stage.job, job)
        context.set(stage.start, 1)
        await context.tick()
        context.set(stage.start, 0)
        while len(tiles) < expected and cycles < limit:
            await context.tick()
            cycles += 1
            if context.get(stage.results_valid):
                tiles.append(
                    [context.get(stage.results[unit]) for unit in range(stage.array.rows * stage.array.columns)]
                )

    simulator = Simulator(circuit)
    simulator.add_clock(CLOCK_PERIOD_SECONDS)
    simulator.add_testbench(testbench)
    simulator.run()
    if len(tiles) < expected:
        raise InvariantError(f"the circuit finished {len(tiles)} of {expected} tiles within {limit} cycles")
    return tiles, cycles
