"""The scenario: which network runs on which device, what arrives, how warm it is, and who decides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import StrictBool

from bitmixer.documents.section import Problem, Section, Text
from bitmixer.documents.source import Override, Tree, read_tree, replace, validate
from bitmixer.errors import did_you_mean
from hwsim.config.arrivals import Arrivals
from hwsim.config.faults import Fault
from hwsim.config.input_file import InputFile, identity, load_input_files
from hwsim.config.learning import Learning
from hwsim.config.link import Outages
from hwsim.config.memory_traffic import MemoryTraffic
from hwsim.config.overrides import split_sets
from hwsim.config.packaged import find
from hwsim.config.profile import DeviceProfile, profile_at
from hwsim.config.quantity import (
    Count,
    PositiveCount,
    PositiveFraction,
    PositivePicoseconds,
    Quantity,
    Whole,
    written,
)
from hwsim.config.sweep import Sweep
from hwsim.config.time_series import CoRunningLoad, Power, Temperature
from hwsim.drift import Drift
from hwsim.errors import ConfigurationError


class Controller(Section):
    """Who decides at run time; every stream has one of its own, built from this.

    Attributes:
        name: One that comes with hwsim or with an installed package. (Classes are named ``module:Class`` on the command
            line alone: reading a file runs no code that the file names.)
        options: Its options.
        safe: Widths that take its place if it fails, as options of ``static``; without them the run ends there.
        answer_limit_picoseconds: Longest time of its thread for one answer (see ``Guard``).
    """

    name: Text
    options: Mapping[str, Any] = {}
    safe: Mapping[str, Any] | None = None
    answer_limit_picoseconds: PositivePicoseconds = written("10 s")

    def contradictions(self) -> Iterator[Problem]:
        """Yield a class where a name is expected."""
        if ":" in self.name:
            yield Problem(
                ("name",), f"{self.name!r} is a class: give it with --controller, or let its package register a name"
            )


class DataChange(Section):
    """Frames that arrive from a time on have other data: the same inputs under another corruption.

    Attributes:
        at_picoseconds: When.
        data: Data name; of the stream's own set.
    """

    at_picoseconds: PositivePicoseconds
    data: Text


class Stream(Section):
    """Frames of one kind, for one network.

    Attributes:
        name: Name in the records; no other stream has it.
        network: Registered network, shipped checkpoint or path of one.
        data: Data set of the inputs; ``null`` where the scenario wants no outputs.
        drift: How the data changes over time; no controller is told.
        inputs_per_frame: Inputs that arrive, and are computed, together.
        deadline_picoseconds: Allowed time from a frame's arrival to its end.
        priority: A higher one goes first, and preempts a lower one between two layers.
        arrivals: When frames come, or are sent where a network lies between.
        link_outages: When that network is down: frames sent then arrive as it comes up.
        controller: Who decides for its frames, where it is not the scenario's.
    """

    name: Text
    network: Text
    data: Text | None
    drift: tuple[DataChange, ...] = ()
    inputs_per_frame: PositiveCount
    deadline_picoseconds: PositivePicoseconds
    priority: Whole = 0
    arrivals: Arrivals
    link_outages: Outages | None = None
    controller: Controller | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield changes of no data, of another set's, or that go back in time."""
        if self.drift and self.data is None:
            yield Problem(("drift",), "changes data, but the stream has none: name a data set, or leave this out")
            return
        before = 0
        for position, change in enumerate(self.drift):
            if change.at_picoseconds <= before:
                yield Problem(("drift", position, "at"), "is not later than the change before: sort them by time")
            before = change.at_picoseconds
            own = str(self.data).partition("+")[0]
            if change.data.partition("+")[0] != own:
                problem = f"{change.data!r} is of another set: only the corruption can change, as in {own}+fog1.5@7"
                yield Problem(("drift", position, "data"), problem)

    @property
    def data_over_time(self) -> Drift:
        """Which data its frames have, by their arrival; an empty name where there is none."""
        return Drift(
            names=(self.data or "", *(change.data for change in self.drift)),
            starts_picoseconds=(0, *(change.at_picoseconds for change in self.drift)),
        )


class Queue(Section):
    """Where the frames of each stream wait for the array.

    Attributes:
        capacity: Most frames of a stream that wait; a frame that finds as many is dropped.
        drop_expired: Whether a waiting frame is dropped when its deadline has passed.
    """

    capacity: PositiveCount
    drop_expired: StrictBool


class Environment(Section):
    """What surrounds the device, and what else it has to do.

    Attributes:
        ambient: Temperature of the air.
        memory_traffic: What else uses its DRAM.
        harvest: What charges its battery.
        co_running_loads: What else draws power, and where that becomes heat; by names of one's own.
    """

    ambient: Temperature
    memory_traffic: MemoryTraffic | None = None
    harvest: Power | None = None
    co_running_loads: Mapping[Text, CoRunningLoad] = {}


class Scenario(Section):
    """One run, but for the profile's content.

    Attributes:
        profile: Packaged name, or path from the scenario's folder.
        profile_overrides: Dotted path in the profile -> value that replaces the one there.
        actual_device: Dotted path in the profile -> what the device really has; controllers are told the profile's.
        duration_picoseconds: Time in which frames arrive; the run then drains.
        seed: Root of every random stream.
        initial_state: Whether the device starts at ambient temperature or as it settles when idle.
        initial_state_of_charge: Of 1; needed where the device has a battery.
        outputs: Whether predictions are computed after the run, within it, or not at all.
        decisions: Whether a decision binds layers of the frame that runs, or only frames that have not begun.
        telemetry_period_picoseconds: Time between rows of ``telemetry.parquet``.
        queue: Where frames wait.
        streams: What arrives; one or more.
        controller: Who decides, for each stream that does not say otherwise.
        faults: What goes wrong with the device's sensors.
        learning: How the device trains the network of one stream while it has nothing else to do.
        sweep: What ``hwsim sweep`` varies; no single run hangs on it.
    """

    schema_version: Literal[1]
    name: Text
    description: str = ""
    profile: Text
    profile_overrides: Mapping[Text, Any] = {}
    actual_device: Mapping[Text, Any] = {}
    duration_picoseconds: PositivePicoseconds
    seed: Count = 0
    initial_state: Literal["ambient", "steady_idle"] = "ambient"
    initial_state_of_charge: PositiveFraction | None = None
    outputs: Literal["lazy", "in_step", "none"] = "lazy"
    decisions: Literal["mid_frame", "frame_boundary"] = "mid_frame"
    telemetry_period_picoseconds: PositivePicoseconds = written("100 ms")
    queue: Queue
    streams: tuple[Stream, ...]
    environment: Environment
    controller: Controller
    learning: Learning | None = None
    faults: tuple[Fault, ...] = ()
    sweep: Sweep | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield a lack of streams, two of one name, a controller without a stream, and outputs that have no data."""
        if not self.streams:
            yield Problem(("streams",), "no streams: a scenario needs one at least")
        if self.streams and all(stream.controller for stream in self.streams):
            yield Problem(("controller",), "decides nothing, as every stream has its own: leave one of those out")
        names: set[str] = set()
        for position, stream in enumerate(self.streams):
            if stream.name in names:
                path = ("streams", position, "name")
                yield Problem(path, f"{stream.name!r} is another stream's name: give each its own")
            names.add(stream.name)
            if stream.data is None and self.outputs != "none":
                yield Problem(
                    ("streams", position, "data"),
                    f"no data, but 'outputs: {self.outputs}' needs it: name a data set, or set outputs: none",
                )
        yield from self._learning_problems(names)

    def _learning_problems(self, streams: set[str]) -> Iterator[Problem]:
        if self.learning is None:
            return
        if self.learning.stream not in streams:
            known = did_you_mean(self.learning.stream, streams)
            yield Problem(("learning", "stream"), f"no stream {self.learning.stream!r}: {known}")
        if self.outputs == "in_step":
            yield Problem(("learning",), "learns once the run is over, in the order of its steps: set outputs: lazy")
        if self.learning.inputs < 2:
            yield Problem(("learning", "inputs"), "norms have no statistics of one input: write 2 or more")


def load_scenario(name_or_path: str, sets: Sequence[str] = ()) -> tuple[Scenario, DeviceProfile, Path]:
    """Return a scenario, its profile and the scenario's path.

    Args:
        name_or_path: Packaged name or path.
        sets: Items ``path=value``; a path that begins with ``profile.`` leads into the profile.

    Raises:
        ConfigurationError: One of the files or items is missing or wrong; one line per problem.
    """
    for_scenario, for_profile = split_sets(sets)
    path = find("scenarios", name_or_path)
    tree = read_tree(path)
    for override in for_scenario:
        replace(tree, override)
    scenario = validate(tree, Scenario)
    load_input_files(scenario, tree, path.parent)
    try:
        profile_path = find("profiles", scenario.profile, beside=path.parent)
    except ConfigurationError as error:
        raise ConfigurationError(f"{tree.place(('profile',))}: profile: {error}") from None
    return scenario, profile_at(profile_path, [*profile_changes(tree, scenario), *for_profile]), path


def profile_changes(tree: Tree, scenario: Scenario) -> list[Override]:
    """Return what a scenario, read from ``tree``, changes in its profile."""
    return [
        Override(target, value, tree.place(("profile_overrides", target)))
        for target, value in scenario.profile_overrides.items()
    ]


def controller_of(scenario: Scenario, stream: int) -> Controller:
    """Return who decides for the stream at a position."""
    return scenario.streams[stream].controller or scenario.controller


def spelled(controller: Controller) -> str:
    """Return a controller as ``--controller`` takes it."""
    return controller.name + "".join(f":{name}={json.dumps(value)}" for name, value in controller.options.items())


def resolved(scenario: Scenario, profile: DeviceProfile) -> dict[str, Any]:
    """Return all that affects the result but for what ``departures`` tells, ready for canonical JSON.

    There are no descriptions, sources or ranges in it.
    """
    told = {"name", "description", "profile", "profile_overrides", "actual_device", "sweep"}
    return {
        "scenario": {key: value for key, value in _bare(scenario).items() if key not in told},
        "profile": {key: value for key, value in _bare(profile).items() if key not in told},
    }


def _bare(value: object) -> Any:
    """Return plain data in which a quantity is its value and what it is used for."""
    match value:
        case InputFile():
            return identity(value)
        case Section():
            origin = {"source", "assumption", "range"} if isinstance(value, Quantity) else set()
            return {field: _bare(getattr(value, field)) for field in type(value).model_fields if field not in origin}
        case Mapping():
            return {key: _bare(item) for key, item in value.items()}
        case tuple() | list():
            return [_bare(item) for item in value]
        case _:
            return value
