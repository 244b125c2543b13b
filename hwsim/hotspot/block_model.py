"""HotSpot's block model: from floorplan and package to heat capacities and conductances.

Four layers (die, interface material, spreader, sink) of one node per block, and 12 nodes for what of spreader and
sink lies outside of the die: the rim of the spreader, the sink under that rim, and the sink beyond it, each west, east,
north and south. A path of length l and cross-section a through a material of conductivity k conducts k a / l.
Sources: Skadron et al., ISCA 2003, section 4; Huang et al., DAC 2004. Lengths in m, conductances in W/K, capacities in
J/K.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.hotspot.configuration import Configuration
from hwsim.hotspot.floorplan import TOLERANCE_METRES, Floorplan
from hwsim.plant.thermal import ThermalNetwork

FloatArray = NDArray[np.float64]
Links = tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]
"""Nodes, the nodes that they are linked to, and the conductances."""

LUMPING = 0.333
"""Share of a body's heat capacity that its one node stands for (HotSpot's C_FACTOR)."""

PREFIXES = ("", "iface_", "hsp_", "hsink_")
"""HotSpot's names for the layers' nodes, from the die down."""

SPREADER, SINK = 2, 3
RINGS, SIDES = 3, 4


@dataclass(frozen=True, slots=True)
class _Slab:
    """A layer's thickness t, conductivity k and volumetric heat capacity p."""

    t: float
    k: float
    p: float


def thermal_network(floorplan: Floorplan, configuration: Configuration) -> ThermalNetwork:
    """Return the network: 4 nodes for each of n blocks, layer by layer from the die down, then 12 of the rims.

    Nodes have HotSpot's names: the block's, that with ``iface_``, ``hsp_`` and ``hsink_``, and ``inode_0`` to
    ``inode_11``.

    Raises:
        ConfigurationError: The die does not lie within the spreader.
    """
    model = _BlockModel(floorplan, configuration)
    size = len(model.nodes)
    between = np.zeros((size, size))
    for first, second, conductance in model.links():
        between[first, second] = conductance
        between[second, first] = conductance
    return ThermalNetwork(
        nodes=model.nodes,
        capacities_joules_per_kelvin=model.capacities(),
        conductances_watts_per_kelvin=between,
        ambient_conductances_watts_per_kelvin=model.ambient_conductances(),
    )


class _BlockModel:
    """The equations, over arrays with one entry per block or per side."""

    def __init__(self, floorplan: Floorplan, c: Configuration) -> None:
        floorplan.check_within(c.s_spreader)
        w, h = floorplan.width, floorplan.height
        self._floorplan = floorplan
        self._slabs = (
            _Slab(c.t_chip, c.k_chip, c.p_chip),
            _Slab(c.t_interface, c.k_interface, c.p_interface),
            _Slab(c.t_spreader, c.k_spreader, c.p_spreader),
            _Slab(c.t_sink, c.k_sink, c.p_sink),
        )
        self._count = len(floorplan.blocks)
        self._widths = np.array([block.width for block in floorplan.blocks])
        self._heights = np.array([block.height for block in floorplan.blocks])
        self._areas = self._widths * self._heights
        spreader, self._sink_side = c.s_spreader, c.s_sink
        # One entry per side: W, E, N, S. What is ``along`` the die's edge there, and what lies ``across`` it.
        along, across = np.array([h, h, w, w]), np.array([w, w, h, h])
        self._rim_areas = (spreader + along) * (spreader - across) / 4
        self._outer_areas = np.full(SIDES, (c.s_sink**2 - spreader**2) / 4)
        self._rim_lengths = (spreader - across) / 4
        self._rim_widths = (spreader + 3 * along) / 4
        self._inner_widths = (3 * spreader + along) / 4
        self._outer_length = (c.s_sink - spreader) / 4
        self._outer_width = (c.s_sink + 3 * spreader) / 4
        self._r_convec, self._c_convec = c.r_convec, c.c_convec

    @property
    def nodes(self) -> tuple[str, ...]:
        layers = (prefix + name for prefix in PREFIXES for name in self._floorplan.names)
        return (*layers, *(f"inode_{number}" for number in range(RINGS * SIDES)))

    def links(self) -> Iterator[Links]:
        for layer, slab in enumerate(self._slabs):
            yield from self._sideways(layer, slab)
            if layer < SINK:
                yield self._blocks(layer), self._blocks(layer + 1), slab.k * self._areas / slab.t
        yield from self._to_rim(SPREADER, ring=0)
        yield from self._to_rim(SINK, ring=1)
        spreader, sink = self._slabs[SPREADER], self._slabs[SINK]
        yield self._ring(0), self._ring(1), spreader.k * self._rim_areas / spreader.t
        inner = self._rim_lengths / (sink.k * self._inner_widths * sink.t)
        outer = self._outer_length / (sink.k * self._outer_width * sink.t)
        yield self._ring(1), self._ring(2), 1 / (inner + outer)

    def ambient_conductances(self) -> FloatArray:
        sink = self._slabs[SINK]
        per_area = 1 / (sink.t / sink.k + self._r_convec * self._sink_side**2)
        areas = np.concatenate([self._areas, np.zeros(SIDES), self._rim_areas, self._outer_areas])
        return np.concatenate([np.zeros(SINK * self._count), per_area * areas])

    def capacities(self) -> FloatArray:
        spreader, sink = self._slabs[SPREADER], self._slabs[SINK]
        moved_air = self._c_convec / self._sink_side**2
        layers = [(slab.p * slab.t + (moved_air if slab is sink else 0.0)) * self._areas for slab in self._slabs]
        sink_rims = (sink.p * sink.t + moved_air) * np.concatenate([self._rim_areas, self._outer_areas])
        return LUMPING * np.concatenate([*layers, spreader.p * spreader.t * self._rim_areas, sink_rims])

    def _sideways(self, layer: int, slab: _Slab) -> Iterator[Links]:
        """Yield the links between neighbours: from centre to centre, through the edge that they share."""
        for edges, extents in zip(self._floorplan.shared_edges(), (self._widths, self._heights), strict=True):
            first, second = np.nonzero(np.triu(edges))
            length = (extents[first] + extents[second]) / 2
            conductance = slab.k * slab.t * edges[first, second] / length
            yield self._blocks(layer)[first], self._blocks(layer)[second], conductance

    def _to_rim(self, layer: int, *, ring: int) -> Iterator[Links]:
        """Yield the links of the blocks at the die's edges to the rim there.

        Each block's path is its own half, in series with its share of the rim.
        """
        slab = self._slabs[layer]
        east_west = slab.k * self._heights * slab.t / (self._widths / 2)
        north_south = slab.k * self._widths * slab.t / (self._heights / 2)
        for side, touching in enumerate(self._touching()):
            own = (east_west if side < SIDES // 2 else north_south)[touching]
            rim = self._rim_lengths[side] / (slab.k * self._rim_widths[side] * slab.t)
            conductance = 1 / (1 / own + rim * own.sum() / own)
            nodes = self._blocks(layer)[touching]
            yield nodes, np.full_like(nodes, self._ring(ring)[side]), conductance

    def _touching(self) -> Iterator[NDArray[np.bool_]]:
        """Yield for each side which blocks reach the die's edge."""
        blocks, width, height = self._floorplan.blocks, self._floorplan.width, self._floorplan.height
        yield np.array([block.left < TOLERANCE_METRES for block in blocks])
        yield np.array([width - block.right < TOLERANCE_METRES for block in blocks])
        yield np.array([height - block.top < TOLERANCE_METRES for block in blocks])
        yield np.array([block.bottom < TOLERANCE_METRES for block in blocks])

    def _blocks(self, layer: int) -> NDArray[np.intp]:
        return np.arange(layer * self._count, (layer + 1) * self._count)

    def _ring(self, ring: int) -> NDArray[np.intp]:
        start = len(PREFIXES) * self._count + ring * SIDES
        return np.arange(start, start + SIDES)
