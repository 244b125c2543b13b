"""The part of a device profile about heat: RC network or floorplan, and limits; throttling has its own file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bitmixer.documents.section import KeyPath, Problem, Section, Text
from bitmixer.errors import did_you_mean
from hwsim.config.hotspot_files import ConfigurationFile, FloorplanFile
from hwsim.config.quantity import (
    Celsius,
    JoulesPerKelvin,
    KelvinPerWatt,
    Picoseconds,
    Quantity,
)
from hwsim.errors import ConfigurationError

AMBIENT = "ambient"
ELSEWHERE = "elsewhere"
"""Where heat goes that warms none of the modelled nodes; it counts as energy all the same."""


class ThermalNode(Quantity[JoulesPerKelvin]):
    """A body of one temperature, with its heat capacity in joules per kelvin."""


class ThermalLink(Section):
    """A thermal resistance between two nodes, or a node and ``ambient``.

    Attributes:
        between: Two nodes, or a node and ambient.
        resistance_kelvin_per_watt: In the package's datasheet (theta_JC, theta_JB, theta_JA less these), or a rise
            over a power.
    """

    between: tuple[Text, Text]
    resistance_kelvin_per_watt: Quantity[KelvinPerWatt]


class Thermal(Section):
    """The RC network of the device, written down or made from a floorplan by HotSpot's block model.

    Attributes:
        nodes: Name -> heat capacity: mass times specific heat, or a time constant over the resistance that it has.
        links: Resistances; every node needs a way to ``ambient``.
        floorplan: Instead of both: blocks of the die, which are what can be heated.
        configuration: With it: materials and package.
        sensor_node: The node or block that the die's sensor and the throttling see.
    """

    nodes: Mapping[Text, ThermalNode] = {}
    links: tuple[ThermalLink, ...] = ()
    floorplan: FloorplanFile | None = None
    configuration: ConfigurationFile | None = None
    sensor_node: Text

    @property
    def heatable(self) -> tuple[str, ...]:
        """Names of what heat can be put into: nodes, or blocks of the floorplan."""
        return tuple(self.nodes) if self.floorplan is None else self.floorplan.plan.names

    def contradictions(self) -> Iterator[Problem]:
        """Yield reserved and unknown names, nodes whose heat cannot leave, and half a floorplan."""
        yield from self._incomplete()
        for name in (AMBIENT, ELSEWHERE):
            if name in self.nodes:
                yield Problem(
                    ("nodes", name), f"{name!r} is a reserved name: call the node differently", about_key=True
                )
            elif name in self.heatable:
                yield Problem(("floorplan", "path"), f"{name!r} is a reserved name: call the block differently")
        if self.sensor_node not in self.heatable:
            hint = did_you_mean(self.sensor_node, self.heatable)
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

    def _incomplete(self) -> Iterator[Problem]:
        files = {"floorplan": self.floorplan, "configuration": self.configuration}
        parts = {"nodes": self.nodes, "links": self.links}
        if self.floorplan is None and self.configuration is None:
            for key in (key for key, part in parts.items() if not part):
                sentence = f"missing: expected {key} with their numbers, or 'floorplan' and 'configuration'"
                yield Problem((key,), sentence, is_missing=True)
            return
        for key in (key for key, part in parts.items() if part):
            yield Problem((key,), "a floorplan makes its own network: remove this", about_key=True)
        for key in (key for key, file in files.items() if file is None):
            sentence = "missing: expected {path: FILE, assumption: WHY, range: [low, high]}"
            yield Problem((key,), sentence, is_missing=True)
        if self.floorplan is not None and self.configuration is not None:
            try:
                self.floorplan.plan.check_within(self.configuration.settings.s_spreader)
            except ConfigurationError as error:
                yield Problem(("floorplan", "path"), str(error))

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
        maximum_junction_temperature_celsius: Time above it is reported; the grade in the datasheet.
        shutdown_temperature_celsius: At or above this reading of the die's sensor the device goes off; in the
            datasheet, or the critical trip of the device tree.
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
