"""The sites of a network that gather, among the rows in which tiles are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TypeVar

import numpy as np

from bitmixer.graph import Layer
from hwsim.cost.arrays import ArrayModel
from hwsim.cost.arrays.base import Int64Array
from hwsim.cost.arrays.flat import Flat
from hwsim.cost.arrays.gathering import gathering_work, with_sites
from hwsim.cost.memory.buffers import Buffers
from hwsim.cost.memory.gathering import Gathered
from hwsim.cost.memory.nest import Moved
from hwsim.cost.memory.tiles import Questions

Table = TypeVar("Table", bound=Flat)
_ROOMS = ("weight_room", "activation_room", "output_room", "weight_bits", "activation_bits")
_NOTHING = (
    "kept_planes", "streamed_planes", "input_bits", "stream_bits", "copy_bits", "operand_bits", "vector_operations",
    "padding_height", "padding_width", "is_dilated", "reads_network_input",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class GatheringSites:
    """Sites that gather.

    Attributes:
        sites: Their positions.
        rows: Positions of their rows, of all [site, w, a, next], flattened.
        gathered: What they do, in these rows.
        moved: What crosses between chip and DRAM; ``occupied``: in bits that would take as long in long pieces.
        cycles: [site, w, a] of the array.
        counts: Its actions.
    """

    sites: tuple[int, ...]
    rows: Int64Array
    gathered: Gathered
    moved: Moved
    occupied: Moved
    cycles: Int64Array
    counts: Mapping[str, Int64Array]

    @cached_property
    def position(self) -> Mapping[int, int]:
        """Row of the network -> row of these sites."""
        return {row: at for at, row in enumerate(self.rows.tolist())}

    def left_out_of(self, asked: Questions) -> Questions:
        """Return questions in which a product of two numbers stands for each of these sites: it has one tile."""
        columns = {}
        for field in fields(asked):
            column = getattr(asked, field.name).copy()
            if field.name not in _ROOMS:
                column[self.rows] = 0 if field.name in _NOTHING else 1
            columns[field.name] = column
        return Questions(**columns)

    def put_into(self, table: Table, own: Table) -> Table:
        """Return a table of all rows with those of these sites in their place."""
        columns = {}
        for field in fields(table):
            column = getattr(table, field.name).copy()
            column[self.rows] = getattr(own, field.name)
            columns[field.name] = column
        return type(table)(**columns)

    def array_work(
        self, cycles: Int64Array, counts: Mapping[str, Int64Array]
    ) -> tuple[Int64Array, dict[str, Int64Array]]:
        """Return [site, w, a] the array's work of all sites with that of these in its place."""
        every = {action: with_sites(count, self.sites, self.counts[action]) for action, count in counts.items()}
        return with_sites(cycles, self.sites, self.cycles), every


def gathering_sites(
    layers: Sequence[Layer], widths: Sequence[int], asked: Questions, array: ArrayModel, buffers: Buffers
) -> GatheringSites | None:
    """Return the sites that gather; ``None`` where there are none.

    Args:
        layers: All layers of the network.
        widths: Of the axes w, a and next.
        asked: Rows [site, w, a, next] of all layers, flattened.
        array: Cycles and actions.
        buffers: The buffers.
    """
    sites = [site for site, layer in enumerate(layers) if layer.gather is not None]
    if not sites:
        return None
    own, bits = [layers[site] for site in sites], np.array(widths, dtype=np.int64)
    each = bits.size**3
    rows = (np.array(sites)[:, None] * each + np.arange(each)).reshape(-1)
    cycles, counts = gathering_work(array, own, bits[:, None], bits)
    gathered, moved, occupied = Gathered.of(
        own, asked.take(rows), np.repeat(cycles, bits.size, axis=-1).reshape(-1), buffers
    )
    return GatheringSites(
        sites=tuple(sites), rows=rows, gathered=gathered, moved=moved, occupied=occupied, cycles=cycles, counts=counts
    )
