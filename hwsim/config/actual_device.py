"""A device that is off from its profile: what controllers are told, and what is there."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bitmixer.documents.source import Override, Tree, read_tree, replace
from hwsim.config.overrides import split_sets
from hwsim.config.packaged import find
from hwsim.config.profile import DeviceProfile, profile_at
from hwsim.config.quantity import Quantity, quantities
from hwsim.config.scenario import Scenario, profile_changes
from hwsim.errors import ConfigurationError

KEY = "actual_device"
VALUE = ".value"


def actual_profile(scenario: Scenario, told: DeviceProfile, path: Path, sets: Sequence[str]) -> DeviceProfile:
    """Return the profile of the device as it is: ``told`` with the values that ``actual_device`` has instead.

    Args:
        scenario: The scenario.
        told: Its profile as controllers are told it, all overrides applied.
        path: Where the scenario was read.
        sets: What was changed on the command line.

    Raises:
        ConfigurationError: A path leads to no number, a value is out of its range, or the device has other clocks.
    """
    if not scenario.actual_device:
        return told
    for_scenario, for_profile = split_sets(sets)
    tree = read_tree(path)
    for override in for_scenario:
        replace(tree, override)
    changes = [*profile_changes(tree, scenario), *for_profile, *_changes(tree, scenario, told)]
    actual = profile_at(find("profiles", scenario.profile, beside=path.parent), changes)
    if actual.operating_points.points != told.operating_points.points:
        place = tree.place((KEY,), of_key=True)
        raise ConfigurationError(
            f"{place}: {KEY}: changes operating_points.points, which software sets and so knows: "
            "change them in profile_overrides"
        )
    return actual


def departures(told: DeviceProfile, actual: DeviceProfile) -> dict[str, Quantity[Any]]:
    """Return the numbers in which a device is off from its profile: dotted path -> what it really has."""
    known = {name: number.value for name, number in quantities(told)}
    return {name: number for name, number in quantities(actual) if number.value != known[name]}


def _changes(tree: Tree, scenario: Scenario, told: DeviceProfile) -> list[Override]:
    known = [f"{name}{VALUE}" for name, _ in quantities(told)]
    for target in scenario.actual_device:
        if target not in known:
            place = tree.place((KEY, target), of_key=True)
            (nearest,) = get_close_matches(target, known, n=1, cutoff=0.0)
            raise ConfigurationError(
                f"{place}: {KEY}: {told.name} has no number {target!r}: did you mean {nearest!r}? "
                f"hwsim profiles show {scenario.profile} lists them"
            )
    return [Override(target, value, tree.place((KEY, target))) for target, value in scenario.actual_device.items()]
