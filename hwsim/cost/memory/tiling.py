"""A network on a device with buffers: the tiles of every site at every combination of widths, and what follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitmixer.graph import LOGIT_BITS, NETWORK_INPUT, LayerGraph
from hwsim.cost.arrays.base import Int64Array, layer_column
from hwsim.cost.arrays.flat import distinct_rows
from hwsim.cost.memory.buffers import Buffers
from hwsim.cost.memory.dram import ACCUMULATOR_BITS
from hwsim.cost.memory.execution import Execution
from hwsim.cost.memory.gathering_sites import GatheringSites, gathering_sites
from hwsim.cost.memory.maps import on_chip
from hwsim.cost.memory.nest import Moved, moved
from hwsim.cost.memory.planes import everything_fits, planes_kept, planes_needed
from hwsim.cost.memory.search import Machine, best_tiles
from hwsim.cost.memory.tiles import (
    LOOPS,
    Cut,
    Questions,
    action_counts,
    compute_cycles,
    footprints,
    sum_over_tiles,
)
from hwsim.cost.memory.traffic import tensor_bits
from hwsim.cost.memory.walk import walk
from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tiling:
    """How every site runs at every combination of widths; rows are [site, w, a, next], flattened.

    Attributes:
        machine: What the tiles were chosen for.
        shape: Lengths of these axes.
        cut: The sites at their widths, and their tiles; all widths of the consumer share those of a site's own.
        moved: What crosses between chip and DRAM.
        occupied: The same, in bits that would take as long in long pieces.
        gathering: The sites that gather, which have no tiles; ``None`` where there are none. In ``cut`` a product of
            two numbers stands for each.
    """

    machine: Machine
    shape: tuple[int, int, int, int]
    cut: Cut
    moved: Moved
    occupied: Moved
    gathering: GatheringSites | None

    def on_axes(self, values: Int64Array) -> Int64Array:
        """Return values of rows as [site, w, a, next]."""
        return values.reshape(self.shape)

    def stage_cycles(self, row: int, frequency_hertz: int, share: float) -> Int64Array:
        """Return [stage] the cycles of one row's tiles, in order, with this share of the DRAM's bandwidth."""
        machine = self.machine
        if self.gathering is not None and row in self.gathering.position:
            one = self.gathering.gathered.take(np.array([self.gathering.position[row]]))
            shared = machine.memory.shared(share)
            return one.stage_cycles(shared, machine.buffers, machine.vector_lanes, frequency_hertz)[:, 0]
        walked = walk(machine.array, machine.buffers, self.cut.take(np.array([row])))
        memory = machine.memory.shared(share)
        return walked.step_cycles(memory, machine.buffers, machine.vector_lanes, frequency_hertz)

    def array_work(self) -> tuple[Int64Array, dict[str, Int64Array]]:
        """Return [site, w, a] the cycles of the array over all tiles, and how often they cause each action."""
        sites, widths = self.shape[:2]
        own = np.arange(0, sites * widths**3, widths)
        first, which = distinct_rows(self.cut.take(own).table())
        cut, array = self.cut.take(own[first]), self.machine.array
        cycles = sum_over_tiles(cut, lambda sizes: compute_cycles(array, sizes, cut.asked), over=LOOPS)
        counts = action_counts(array, cut)
        shape = (sites, widths, widths)
        every = {name: count[which].reshape(shape) for name, count in counts.items()}
        if self.gathering is None:
            return cycles[which].reshape(shape), every
        return self.gathering.array_work(cycles[which].reshape(shape), every)


def choose_tiling(
    graph: LayerGraph, widths: tuple[int, ...], machine: Machine, execution: Execution, *, inputs_per_frame: int
) -> Tiling:
    """Return the tiles of a network.

    Raises:
        ConfigurationError: A buffer does not hold the smallest tile of a site at widths that it allows.
    """
    shape = (len(graph.layers), len(widths), len(widths), len(widths))
    every = _questions(graph, widths, machine, execution, inputs_per_frame)
    gathering = gathering_sites(graph.layers, widths, every, machine.array, machine.buffers)
    asked = every if gathering is None else gathering.left_out_of(every)
    own = np.diagonal(np.arange(np.prod(shape)).reshape(shape), axis1=2, axis2=3).reshape(-1)
    found = best_tiles(machine, asked.take(own))
    tiles = found.take(np.repeat(found.question, len(widths)))
    _check_fit(graph, widths, machine.buffers, Cut(tiles=found, asked=asked.take(own)))
    cut = Cut(tiles=tiles, asked=asked)
    crossing, occupying = moved(cut, machine.buffers), machine.buffers.occupying
    occupied = crossing if occupying is None else moved(cut, occupying)
    if gathering is not None:
        crossing, occupied = (
            gathering.put_into(crossing, gathering.moved),
            gathering.put_into(occupied, gathering.occupied),
        )
    return Tiling(
        machine=machine, shape=shape, cut=cut, moved=crossing, occupied=occupied, gathering=gathering
    )  # fmt: skip


def _questions(
    graph: LayerGraph, widths: tuple[int, ...], machine: Machine, execution: Execution, inputs_per_frame: int
) -> Questions:
    layers, buffers = graph.layers, machine.buffers
    wide = ACCUMULATOR_BITS if execution.requantise == "on_load" else None
    stays = on_chip(graph, buffers, inputs_per_frame=inputs_per_frame, stream_bits=wide)
    bits = np.array(widths, dtype=np.int64)
    weight, activation, following = bits[:, None, None], bits[:, None], bits
    read_width, write_width = stream_widths(graph, activation, following, execution)
    tensors = tensor_bits(
        layers, trailing_axes=3, activation_bits=read_width, stream_bits=write_width,
        residual_bits=graph.residual_bits,
    )  # fmt: skip
    readers = [-1 if layer.key_consumer is None else graph.index[layer.key_consumer] for layer in layers]
    written_for = _column([0 if reader < 0 else stays.stream_bits[reader] for reader in readers])
    needed = planes_needed(layers, weight, graph.weight_codes, 3)
    kept = np.minimum(needed, _column(planes_kept(layers, buffers)))
    streams = 0 if everything_fits(layers, buffers) else buffers.weight_bits // 2
    stride, padding, dilation = (
        [_column([getattr(layer, name)[axis] for layer in layers]) for axis in (0, 1)]
        for name in ("stride", "padding", "dilation")
    )
    columns: dict[str, Int64Array] = {
        **{name: layer_column(layers, name, 3) for name in (
            "kernel_height", "kernel_width", "input_height", "input_width", "output_height", "output_width", "groups",
            "vector_operations",
        )},
        "inputs": np.array(inputs_per_frame),
        "channels": _column([layer.input_channels // layer.groups for layer in layers]),
        "filters": _column([layer.output_channels // layer.groups for layer in layers]),
        "stride_height": stride[0],
        "stride_width": stride[1],
        "span_height": (layer_column(layers, "kernel_height", 3) - 1) * dilation[0] + 1,
        "span_width": (layer_column(layers, "kernel_width", 3) - 1) * dilation[1] + 1,
        "padding_height": padding[0],
        "padding_width": padding[1],
        "is_dilated": _column([layer.dilation != (1, 1) for layer in layers]),
        "reads_network_input": _column([
            layer.kind == "convolution" and NETWORK_INPUT in layer.producers for layer in layers
        ]),
        "weight_bits": weight,
        "activation_bits": activation,
        "kept_planes": kept,
        "streamed_planes": needed - kept,
        "input_bits": np.where(read_width <= _column(stays.stream_bits), 0, tensors.stream_read)
        + np.where(_column(stays.reads_copies), 0, tensors.copy_read),
        "stream_bits": np.where(write_width <= written_for, 0, tensors.stream_write),
        "copy_bits": np.where(_column(stays.copies), 0, tensors.copy_write),
        "operand_bits": np.where(_column(stays.reads_operands), 0, tensors.operand_read),
        "weight_room": np.array(streams),
        "activation_room": buffers.activation_bits - _column(stays.reserved_bits),
        "output_room": np.array(buffers.output_bits),
    }  # fmt: skip
    shape = (len(layers), *(len(widths),) * 3)
    return Questions(**{name: np.broadcast_to(column, shape).reshape(-1) for name, column in columns.items()})


def stream_widths(
    graph: LayerGraph, activation_bits: Int64Array, next_bits: Int64Array, execution: Execution
) -> tuple[Int64Array, Int64Array]:
    """Return [site, w, a, next] the widths at which sites read and write what was prepared for one key consumer."""
    is_last = _column([layer.key_consumer is None for layer in graph.layers])
    if execution.requantise == "on_drain":
        return activation_bits, np.where(is_last, LOGIT_BITS, next_bits)
    reads_input = _column([NETWORK_INPUT in layer.producers for layer in graph.layers])
    return np.where(reads_input, activation_bits, ACCUMULATOR_BITS), np.full((1, 1, 1, 1), ACCUMULATOR_BITS)


def _check_fit(graph: LayerGraph, widths: tuple[int, ...], buffers: Buffers, cut: Cut) -> None:
    asked, halves = cut.asked, buffers.halves
    for buffer, (bits, room) in footprints(cut, buffers).items():
        for row in np.flatnonzero(bits > room).tolist():
            layer = graph.layers[row // len(widths) ** 2]
            pair = (int(asked.weight_bits[row]), int(asked.activation_bits[row]))
            if pair in layer.allowed:
                taken = halves * -(-int(bits[row]) // halves // 8)
                needed = taken * (1 if buffer == "output" else 2)  # half of the others keeps planes and tensors
                raise ConfigurationError(
                    f"site {layer.name!r} at w{pair[0]}a{pair[1]}: its smallest {buffer} tile takes {taken} bytes "
                    f"({halves} x {taken // halves}), and the {buffer} buffer has {room[row] // 8} bytes free for it: "
                    f"give at least {needed} {buffer}_bytes"
                )


def _column(values: object) -> Int64Array:
    return np.array(values, dtype=np.int64).reshape(-1, 1, 1, 1)
