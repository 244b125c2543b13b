"""The files in HotSpot's format that a device profile names, and where their numbers come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from bitmixer.documents.section import Problem, Text
from bitmixer.documents.source import read_text
from bitmixer.errors import DocumentError, did_you_mean
from hwsim.config.input_file import InputFile
from hwsim.hotspot.configuration import USED, Configuration, load_configuration
from hwsim.hotspot.floorplan import Floorplan, load_floorplan

OF_THE_SCENARIO = ("ambient", "init_temp", "sampling_intvl")
"""Settings that a simulation takes from elsewhere, whatever the file says."""


class HotSpotFile(InputFile):
    """A file whose numbers are published one by one, or assumed together.

    Attributes:
        published: Name of a number -> where it was published.
        assumption: Why the others were assumed.
        range: Lowest and highest plausible factor on each of the others.
    """

    published: Mapping[Text, Text] = {}
    assumption: Text | None = None
    range: tuple[float, float] | None = None

    def numbers(self) -> Mapping[str, str]:
        """Return the numbers that count, by name, as a person would write them."""
        raise NotImplementedError

    def read(self, path: Path) -> None:
        """Take the content of the file.

        Raises:
            ConfigurationError: It is wrong; says ``file:line:column``.
        """
        raise NotImplementedError

    def contradictions(self) -> Iterator[Problem]:
        """Read the file; yield what is wrong with it, and numbers without an origin."""
        try:
            self._text = read_text(Path(self.path))
            self.read(Path(self.path))
        except DocumentError as error:
            yield Problem(("path",), str(error))
            return
        numbers = self.numbers()
        for name in self.published.keys() - numbers.keys():
            yield Problem(("published", name), f"no number {name!r}: {did_you_mean(name, numbers)}", about_key=True)
        if numbers.keys() <= self.published.keys():
            return
        if self.assumption is None or self.range is None:
            names = ", ".join(name for name in numbers if name not in self.published)
            yield Problem((), f"numbers without a source ({names}): add 'assumption' and 'range: [low, high]', factors")
        elif not 0 < self.range[0] <= 1 <= self.range[1]:
            yield Problem(("range",), f"{list(self.range)} are no factors around 1: write for example [0.5, 2]")


class FloorplanFile(HotSpotFile):
    """A floorplan: blocks of the die, of which each area counts as a number."""

    _plan: Floorplan = PrivateAttr()

    @property
    def plan(self) -> Floorplan:
        """The blocks."""
        return self._plan

    @property
    def content(self) -> Any:
        """Every block's rectangle."""
        return [[each.name, each.width, each.height, each.left, each.bottom] for each in self._plan.blocks]

    def read(self, path: Path) -> None:
        """Take the blocks of the file."""
        self._plan = load_floorplan(path)

    def numbers(self) -> Mapping[str, str]:
        """Return the blocks' areas."""
        return {block.name: f"{block.area * 1e6:.4g} mm2" for block in self._plan.blocks}


class ConfigurationFile(HotSpotFile):
    """A configuration: materials and package; ``ambient``, ``init_temp`` and ``sampling_intvl`` have no bearing."""

    _settings: Configuration = PrivateAttr()

    @property
    def settings(self) -> Configuration:
        """Materials and package."""
        return self._settings

    @property
    def content(self) -> Any:
        """Every setting that counts."""
        return {name: getattr(self._settings, name) for name in USED if name not in OF_THE_SCENARIO}

    def read(self, path: Path) -> None:
        """Take the settings of the file."""
        self._settings = load_configuration(path)

    def numbers(self) -> Mapping[str, str]:
        """Return the settings, in SI units."""
        return {name: f"{value:g}" for name, value in self.content.items()}
