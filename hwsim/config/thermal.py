"""The part of a device profile about heat: RC network, throttling, limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from bitmixer.documents.section import KeyPath, Problem, Section, Text
from bitmixer.errors import did_you_mean
from hwsim.config.quantity import (
    Celsius,
    Hertz,
    JoulesPerKelvin,
    KelvinPerWatt,
    PositivePicoseconds,
    Quantity,
)

AMBIENT = "ambient"
ELSEWHERE = "elsewhere"
"""Where heat goes that warms none of the modelled nodes; it counts as energy all the same."""


class ThermalNode(Quantity[JoulesPerKelvin]):
    """A body of one temperature, with its heat capacity in joules per kelvin."""


class ThermalLink(Section):
    """A thermal resistance between two nodes, or a node and ``ambient``."""

    between: tuple[Text, Text]
    resistance_kelvin_per_watt: Quantity[KelvinPerWatt]


class Thermal(Section):
    """The RC network of the device.

    Attributes:
        nodes: Name -> heat capacity.
        links: Resistances; every node needs a way to ``ambient``.
        sensor_node: The node that the die's sensor and the throttling see.
    """

    nodes: Mapping[Text, ThermalNode]
    links: tuple[ThermalLink, ...]
    sensor_node: Text

    def contradictions(self) -> Iterator[Problem]:
        """Yield reserved and unknown names, and nodes whose heat cannot leave."""
        for name in (AMBIENT, ELSEWHERE):
            if name in self.nodes:
                yield Problem(
                    ("nodes", name), f"{name!r} is a reserved name: call the node differently", about_key=True
                )
        if self.sensor_node not in self.nodes:
            hint = did_you_mean(self.sensor_node, self.nodes)
            yield Problem(("sensor_node",), f"unknown node {self.sensor_node!r}: {hint}")
        named: list[tuple[KeyPath, str]] = []
        for position, link in enumerate(self.links):
            if link.between[0] == link.between[1]:
                yield Problem(("links", position, "between"), "links a node to itself: name two")
            named += [(("links", position, "between", end), name) for end, name in enumerate(link.between)]
        unknown = [(path, name) for path, name in named if name not in self.nodes and name != AMBIENT]
        for path, name in unknown:
            yield Problem(path, f"unknown node {name!r}: {did_you_mean(name, {*self.nodes, AMBIENT})}")
        for name in sorted(self.nodes.keys() - self._cooled()) if not unknown else ():
            sentence = f"node {name!r} has no way to {AMBIENT!r}, so its heat could never leave: add a link"
            yield Problem(("nodes", name), sentence)

    def _cooled(self) -> set[str]:
        """Return the names that a way of links joins to ambient."""
        reached: set[str] = set()
        grown = {AMBIENT}
        while grown != reached:
            reached = grown
            grown = reached.union(*(link.between for link in self.links if reached & {*link.between}))
        return reached


class Trip(Section):
    """A step of the device's own throttling.

    Attributes:
        temperature_celsius: Where the cap begins.
        resume_celsius: Below this it ends.
        frequency_cap_hertz: Highest clock in between; one of the operating points.
    """

    temperature_celsius: Quantity[Celsius]
    resume_celsius: Quantity[Celsius]
    frequency_cap_hertz: Quantity[Hertz]

    def contradictions(self) -> Iterator[Problem]:
        """Yield a trip that resumes where it has not yet cooled."""
        if self.resume_celsius.value >= self.temperature_celsius.value:
            trip, resume = self.temperature_celsius.text, self.resume_celsius.text
            yield Problem(
                ("resume",), f"{resume} is not below the trip at {trip}: lower it, or the clock would flutter"
            )


class Throttling(Section):
    """The device's own protection, which no controller can overrule; ``trips: []`` where it has none."""

    poll_period_picoseconds: Quantity[PositivePicoseconds]
    trips: tuple[Trip, ...]

    def contradictions(self) -> Iterator[Problem]:
        """Yield trips that are out of order or that cap less as it gets hotter."""
        for position, (cooler, hotter) in enumerate(pairwise(self.trips), start=1):
            if hotter.temperature_celsius.value <= cooler.temperature_celsius.value:
                text = f"{hotter.temperature_celsius.text} after {cooler.temperature_celsius.text}"
                yield Problem(("trips", position, "temperature"), f"{text}: sort the trips from cool to hot")
            if hotter.frequency_cap_hertz.value > cooler.frequency_cap_hertz.value:
                text = f"{hotter.frequency_cap_hertz.text} after {cooler.frequency_cap_hertz.text}"
                yield Problem(
                    ("trips", position, "frequency_cap"), f"{text}: a hotter trip cannot allow a faster clock"
                )


class Limits(Section):
    """Temperatures that the device is rated for, and at which it switches itself off."""

    maximum_junction_temperature_celsius: Quantity[Celsius]
    shutdown_temperature_celsius: Quantity[Celsius]

    def contradictions(self) -> Iterator[Problem]:
        """Yield a shutdown within the rated range."""
        rated, shutdown = self.maximum_junction_temperature_celsius, self.shutdown_temperature_celsius
        if shutdown.value <= rated.value:
            yield Problem(("shutdown_temperature",), f"{shutdown.text} is not above the rated {rated.text}: raise it")
