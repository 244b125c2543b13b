"""Tables of published and measured energies, as data: ``profiles/energy/*.yaml``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from bitmixer.documents.section import Problem, Section, Text
from bitmixer.documents.source import load_document
from bitmixer.errors import did_you_mean
from hwsim.config.packaged import find
from hwsim.config.quantity import Joules, Nanometres, PositiveCount, Quantity, Volts
from hwsim.cost.technology import at_capacity
from hwsim.errors import ConfigurationError

Trust = Literal["repository", "text", "run", "derived", "secondary", "memory"]
"""Read in a repository; read in a public text; measured by running the tool; our arithmetic from such numbers; quoted
by a third party; from memory. Numbers of the last two kinds may stand only as assumptions."""


class SourceEnergy(Quantity[Joules]):
    """One figure of a table.

    Attributes:
        what: What costs this energy, in words.
        capacity_bytes: Size of the memory that it is of; figures with the same ``what`` are then one curve.
    """

    what: Text
    capacity_bytes: PositiveCount | None = None


class EnergySources(Section):
    """Energies from one source.

    Attributes:
        process_node_nanometres: Process of the figures; ``None`` where it does not apply (DRAM).
        voltage_volts: Their supply; ``None`` where the source does not say: such figures cannot be scaled.
        trust: How the figures were come by.
        entries: Name -> figure.
    """

    schema_version: Literal[1]
    name: Text
    description: str = ""
    trust: Trust
    process_node_nanometres: Nanometres | None = None
    voltage_volts: Volts | None = None
    entries: Mapping[Text, SourceEnergy]

    def contradictions(self) -> Iterator[Problem]:
        """Yield figures given out as published that nobody read at their source."""
        if self.trust not in ("secondary", "memory"):
            return
        for name, entry in self.entries.items():
            if entry.source is not None:
                yield Problem(("entries", name), f"trust is {self.trust}: write assumption and range, not source")

    def curve(self, what: str) -> dict[int, float]:
        """Return capacity in bytes -> joules of all figures of ``what`` that have a capacity.

        Raises:
            ConfigurationError: There are none.
        """
        curves = {entry.what for entry in self.entries.values() if entry.capacity_bytes is not None}
        if what not in curves:
            raise ConfigurationError(f"table {self.name} has no curve {what!r}: {did_you_mean(what, curves)}")
        return {
            entry.capacity_bytes: entry.value
            for entry in self.entries.values()
            if entry.what == what and entry.capacity_bytes is not None
        }

    def joules_at(self, what: str, capacity_bytes: int) -> float:
        """Return the energy of ``what`` for a memory of ``capacity_bytes``, interpolated on log-log axes.

        Raises:
            ConfigurationError: There is no such curve, or the capacity lies outside of it.
        """
        return at_capacity(self.curve(what), capacity_bytes)


def load_energy_table(name_or_path: str) -> EnergySources:
    """Read a packaged table by its name, or any by its path.

    Raises:
        ConfigurationError: Unknown, unreadable or invalid.
    """
    return load_document(find("profiles/energy", name_or_path), EnergySources)
