"""Whether the parts of a scenario agree with its profile, and errors that begin with the place of what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bitmixer.documents import KeyPath, read_tree, replace
from bitmixer.errors import BitmixerError, did_you_mean
from hwsim.config.overrides import split_sets
from hwsim.config.profile import DeviceProfile
from hwsim.config.scenario import Scenario
from hwsim.config.thermal import ELSEWHERE
from hwsim.device import Device
from hwsim.errors import ConfigurationError


@contextmanager
def blaming(path: Path, sets: Sequence[str], key: KeyPath, option: str | None = None) -> Iterator[None]:
    """Begin an error about a value with the place where it was written, which may be an option's."""
    try:
        yield
    except BitmixerError as error:
        tree = read_tree(path)
        for override in split_sets(sets)[0]:
            replace(tree, override)
        place = option or f"{tree.place(key)}: {'.'.join(map(str, key))}"
        raise ConfigurationError(f"{place}: {error}") from None


def check_battery(scenario: Scenario, device: Device, path: Path, sets: Sequence[str]) -> None:
    """Check that scenario and device agree on whether there is a battery.

    Raises:
        ConfigurationError: They do not.
    """
    with blaming(path, sets, ("initial_state_of_charge",)):
        if device.battery is None and scenario.initial_state_of_charge is not None:
            raise ConfigurationError(f"{device.name} has no battery: remove this, or give the profile a battery")
        if device.battery is not None and scenario.initial_state_of_charge is None:
            raise ConfigurationError(f"missing: {device.name} has a battery: write for example 0.8")
    with blaming(path, sets, ("environment", "harvest")):
        if device.battery is None and scenario.environment.harvest is not None:
            raise ConfigurationError(f"{device.name} has no battery to charge: remove this, or give it a battery")


def check_loads(scenario: Scenario, profile: DeviceProfile, path: Path, sets: Sequence[str]) -> None:
    """Check that what runs beside the accelerator heats what there is.

    Raises:
        ConfigurationError: It does not.
    """
    known = (*profile.thermal.heatable, ELSEWHERE)
    for name, load in scenario.environment.co_running_loads.items():
        with blaming(path, sets, ("environment", "co_running_loads", name, "heats")):
            if load.heats not in known:
                hint = did_you_mean(load.heats, known)
                raise ConfigurationError(f"{profile.name} has no thermal node {load.heats!r}: {hint}")


def check_faults(scenario: Scenario, profile: DeviceProfile, path: Path, sets: Sequence[str]) -> None:
    """Check that what fails exists.

    Raises:
        ConfigurationError: It does not.
    """
    sensors = profile.sensors
    optional = {"power": sensors.power, "memory_bandwidth": sensors.memory_bandwidth, "battery_gauge": profile.battery}
    there = ["die_temperature", *(name for name, sensor in optional.items() if sensor is not None)]
    for at, fault in enumerate(scenario.faults):
        with blaming(path, sets, ("faults", at, "sensor")):
            if fault.sensor not in there:
                raise ConfigurationError(f"{profile.name} has no such sensor: it has {', '.join(there)}")
