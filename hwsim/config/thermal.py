"""The part of a device profile about heat: RC network and limits; throttling has a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bitmixer.documents.section import KeyPath, Problem, Section, Text
from bitmixer.errors import did_you_mean
from hwsim.config.quantity import (
    Celsius,
    JoulesPerKelvin,
    KelvinPerWatt,
    Picoseconds,
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


class Restart(Section):
    """When a device that has switched itself off comes back.

    Attributes:
        temperature_celsius: At or below it the device is switched on again.
        boot_time_picoseconds: From then until it takes frames; it draws its idle power.
    """

    temperature_celsius: Quantity[Celsius]
    boot_time_picoseconds: Quantity[Picoseconds]


class Limits(Section):
    """Temperatures that the device is rated for, and at which it switches itself off.

    Attributes:
        maximum_junction_temperature_celsius: Time above it is reported.
        shutdown_temperature_celsius: At or above this reading of the die's sensor the device goes off.
        restart: When it comes back; without it, it stays off.
    """

    maximum_junction_temperature_celsius: Quantity[Celsius]
    shutdown_temperature_celsius: Quantity[Celsius]
    restart: Restart | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield a shutdown within the rated range, and a restart that would be too hot."""
        rated, shutdown = self.maximum_junction_temperature_celsius, self.shutdown_temperature_celsius
        if shutdown.value <= rated.value:
            yield Problem(("shutdown_temperature",), f"{shutdown.text} is not above the rated {rated.text}: raise it")
        if self.restart is not None and self.restart.temperature_celsius.value >= shutdown.value:
            again = self.restart.temperature_celsius.text
            sentence = f"{again} is not below the shutdown at {shutdown.text}: lower it, or it would go off at once"
            yield Problem(("restart", "temperature"), sentence)
