"""What rules choose among: a ladder of assignments, with what each takes, and what a frame was worth under it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from bitmixer.bitwidths import BitAssignment, BitWidths
from hwsim.controllers.base import DeviceView, FinishedFrame, NetworkView, Observation
from hwsim.controllers.ladder import checked_rungs
from hwsim.errors import ConfigurationError

FloatArray = NDArray[np.float64]
PICOSECONDS_PER_SECOND = 10**12
UNMEASURED_LOSS = 0.5
"""Accuracy lost at 1 bit where no accuracies are known; it halves with every bit, as the step of a quantiser does."""


class LadderOptions(BaseModel):
    """Options of every rule that climbs the ladder.

    Attributes:
        rungs: Uniform widths to choose from, for example [8, 3]; all of the network's if not given.
        steps: Mixed assignments between one width and the next: the sites that save most energy go down first.
        operands: Whether a site's weights and activations go down ``together`` or ``apart``: of a graph network, where
            sites are degree classes, the class's attention and its features.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rungs: tuple[int, ...] | None = Field(default=None, min_length=1)
    steps: int = Field(default=0, ge=0, le=64)
    operands: Literal["together", "apart"] = "together"


@dataclass(frozen=True, kw_only=True, eq=False)
class Ladder:
    """K assignments, from the most bits to the fewest.

    Attributes:
        assignments: Widths of every site.
        names: For the records.
        seconds: [K, clocks] time of a frame whose planes and parameters are on chip where they can stay.
        joules: [K] its dynamic energy at the nominal voltage.
        accuracies: [K] as measured after training where that is known, between two widths in proportion to the energy.
        frequencies_hertz: Clocks, fastest first.
    """

    assignments: tuple[BitAssignment, ...]
    names: tuple[str, ...]
    seconds: FloatArray
    joules: FloatArray
    accuracies: FloatArray
    frequencies_hertz: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.assignments)

    def clock(self, hertz: int) -> int:
        """Return the position of a clock of the device; that of the slowest for one that it does not have."""
        for at, each in enumerate(self.frequencies_hertz):
            if each <= hertz:
                return at
        return len(self.frequencies_hertz) - 1

    def rung(self, widths: tuple[tuple[int, int], ...]) -> int:
        """Return the rung whose widths are the nearest to those that a frame ran at."""
        told = np.array(widths, dtype=np.float64)
        return int(np.abs(self._table - told).sum(axis=(1, 2)).argmin())

    def same_rung(self, widths: tuple[tuple[int, int], ...]) -> int | None:
        """Return the rung whose widths a frame ran at throughout, if there is one."""
        return self._rungs.get(widths)

    @cached_property
    def _rungs(self) -> dict[tuple[tuple[int, int], ...], int]:
        return {
            tuple((weight, activation) for weight, activation in assignment.values()): rung
            for rung, assignment in enumerate(self.assignments)
        }

    @cached_property
    def _table(self) -> FloatArray:
        return np.array([list(assignment.values()) for assignment in self.assignments], dtype=np.float64)


def build_ladder(options: LadderOptions, device: DeviceView, network: NetworkView) -> Ladder:
    """Return the ladder of a network on a device.

    Raises:
        ConfigurationError: The network cannot run at one of the rungs, or its operands cannot go down apart.
    """
    bits = checked_rungs(network, options.rungs)
    uniform = [network.graph.uniform(each) for each in bits]
    assignments, names, accuracies = [uniform[0]], [f"{bits[0]} bit"], [_accuracy(network, bits[0])]
    for upper, lower, high, low in zip(bits, bits[1:], uniform, uniform[1:], strict=False):
        between = _between(network, high, low, options)
        dearest, cheapest = map(network.costs.frame_energy_joules, (high, low))
        above, below = _accuracy(network, upper), _accuracy(network, lower)
        for number, assignment in enumerate((*between, low), start=1):
            share = (dearest - network.costs.frame_energy_joules(assignment)) / (dearest - cheapest)
            assignments.append(assignment)
            accuracies.append(above + share * (below - above))
            names.append(f"{lower} bit" if assignment is low else f"{upper} to {lower} bit, step {number}")
    clocks = device.frequencies_hertz
    cycles = [[network.costs.frame_cycles(each, at) for at in range(len(clocks))] for each in assignments]
    return Ladder(
        assignments=tuple(assignments),
        names=tuple(names),
        seconds=np.array(cycles) / np.array(clocks),
        joules=np.array([network.costs.frame_energy_joules(each) for each in assignments]),
        accuracies=np.array(accuracies),
        frequencies_hertz=clocks,
    )


def _accuracy(network: NetworkView, bits: int) -> float:
    return network.accuracies.get(bits, 1.0 - UNMEASURED_LOSS * 2.0 ** (1 - bits))


Operand = tuple[str, Literal["weight", "activation"]]
"""A site's name, and which of its operands."""


def _between(
    network: NetworkView, high: BitAssignment, low: BitAssignment, options: LadderOptions
) -> list[BitAssignment]:  # fmt: skip
    """Return assignments in equal numbers of changes on the way down, those that save most energy first."""
    costs, changes = network.costs, _changes(network, high, low, options)
    saved = {
        change: costs.frame_energy_joules(high) - costs.frame_energy_joules(_lowered(high, low, change))
        for change in changes
    }
    order = sorted(changes, key=lambda change: -saved[change])
    steps = options.steps
    cuts = sorted({round(len(order) * step / (steps + 1)) for step in range(1, steps + 1)} - {0, len(order)})
    return [_lowered(high, low, [operand for change in order[:cut] for operand in change]) for cut in cuts]


def _changes(
    network: NetworkView, high: BitAssignment, low: BitAssignment, options: LadderOptions
) -> list[tuple[Operand, ...]]:  # fmt: skip
    """Return what goes down at once."""
    free = [layer for layer in network.graph.layers if high[layer.name] != low[layer.name]]
    if options.operands == "together":
        return [((layer.name, "weight"), (layer.name, "activation")) for layer in free]
    for layer in free:
        apart = BitWidths(high[layer.name].weight, low[layer.name].activation)
        if apart not in layer.allowed:
            raise ConfigurationError(
                f"controller: site {layer.name!r} of {network.graph.network} does not allow {apart.weight} bit weights "
                f"with {apart.activation} bit activations: set operands: together"
            )
    return [((layer.name, operand),) for layer in free for operand in ("weight", "activation")]


def _lowered(high: BitAssignment, low: BitAssignment, operands: Iterable[Operand]) -> BitAssignment:
    """Return ``high`` with some operands at the widths of ``low``."""
    down = set(operands)

    def of(site: str, operand: Literal["weight", "activation"]) -> int:
        return getattr((low if (site, operand) in down else high)[site], operand)  # type: ignore[no-any-return]

    return BitAssignment({site: BitWidths(of(site, "weight"), of(site, "activation")) for site in high})


class RewardOptions(LadderOptions):
    """Options of every rule that learns what assignments are worth.

    A frame is worth its accuracy if it is on time, nothing if it is late, less ``energy_weight`` times its energy in
    parts of that at the most bits, less ``heat_weight`` for each kelvin by which the die reads above the first trip.

    Attributes:
        energy_weight: What all energy of a frame at the most bits is worth, in parts of a right answer.
        heat_weight: What a kelvin above the first trip is worth, likewise.
    """

    energy_weight: float = Field(default=0.02, ge=0.0, allow_inf_nan=False)
    heat_weight: float = Field(default=0.1, ge=0.0, allow_inf_nan=False)


def frame_worth(
    options: RewardOptions, ladder: Ladder, device: DeviceView, frame: FinishedFrame, *, accuracy: float,
    celsius: float | None,
) -> float:  # fmt: skip
    """Return what a frame was worth, by the rule of ``RewardOptions``.

    Args:
        options: The weights.
        ladder: Tells the energy at the most bits.
        device: Tells the first trip.
        frame: What became of it.
        accuracy: What is believed of the share of its answers that are right.
        celsius: The die's reading as it was finished; ``None`` counts as cool.
    """
    worth = accuracy if frame.on_time else 0.0
    worth -= options.energy_weight * frame.energy_joules / float(ladder.joules[0])
    if celsius is not None and device.trip_celsius:
        worth -= options.heat_weight * max(celsius - device.trip_celsius[0], 0.0)
    return worth


def situation(observation: Observation, device: DeviceView) -> FloatArray:
    """Return what a learning rule looks at: 1, nearness of the first trip, waiting frames, clock, each about 0 to 1."""
    near = 0.0
    if observation.die_celsius is not None and device.trip_celsius:
        near = float(np.clip(1.0 + (observation.die_celsius - device.trip_celsius[0]) / 20.0, -1.0, 2.0))
    waiting = min(len(observation.queued_deadlines_picoseconds), 4) / 4
    clock = observation.throttle_cap_hertz / device.frequencies_hertz[0]
    return np.array([1.0, near, waiting, clock])
