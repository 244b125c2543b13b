"""The scenario: which network runs on which device, what arrives, how warm it is, and who decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool

from bitmixer.documents.section import Problem, Section, Text
from bitmixer.documents.source import Override, read_tree, replace, validate
from hwsim.config.overrides import split_sets
from hwsim.config.packaged import find
from hwsim.config.profile import DeviceProfile, profile_at
from hwsim.config.quantity import (
    Celsius,
    Count,
    Picoseconds,
    PositiveCount,
    PositivePicoseconds,
    Quantity,
    Whole,
)
from hwsim.errors import ConfigurationError


def _written(text: str) -> Any:
    """Return the default of a field that is written with a unit, as a file would write it."""
    return Field(default=text, validate_default=True)


class Bursts(Section):
    """Times at which frames come faster.

    Attributes:
        first_picoseconds: Start of the first burst.
        every_picoseconds: From the start of one burst to the next.
        length_picoseconds: How long a burst lasts.
        period_picoseconds: Time between frames within it.
    """

    first_picoseconds: Picoseconds
    every_picoseconds: PositivePicoseconds
    length_picoseconds: PositivePicoseconds
    period_picoseconds: PositivePicoseconds

    def contradictions(self) -> Iterator[Problem]:
        """Yield bursts that overlap."""
        if self.length_picoseconds > self.every_picoseconds:
            yield Problem(("length",), "a burst outlasts 'every', so bursts would overlap: shorten it")


class PeriodicArrivals(Section):
    """Frames at fixed times, each delayed by up to ``jitter``."""

    kind: Literal["periodic"]
    period_picoseconds: PositivePicoseconds
    offset_picoseconds: Picoseconds = _written("0 s")
    jitter_picoseconds: Picoseconds = _written("0 s")
    bursts: Bursts | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield a jitter that would let frames overtake one another."""
        periods = [self.period_picoseconds] + ([self.bursts.period_picoseconds] if self.bursts else [])
        if self.jitter_picoseconds > min(periods):
            yield Problem(("jitter",), "is longer than the period, so frames would overtake one another: shorten it")


class Stream(Section):
    """Frames of one kind, for one network.

    Attributes:
        name: Name in the records.
        network: Registered network, shipped checkpoint or path of one.
        data: Data set of the inputs; ``null`` where the scenario wants no outputs.
        inputs_per_frame: Inputs that arrive, and are computed, together.
        deadline_picoseconds: Allowed time from a frame's arrival to its end.
        priority: A higher one goes first.
        arrivals: When frames come.
    """

    name: Text
    network: Text
    data: Text | None
    inputs_per_frame: PositiveCount
    deadline_picoseconds: PositivePicoseconds
    priority: Whole = 0
    arrivals: PeriodicArrivals


class Queue(Section):
    """Where frames wait for the array.

    Attributes:
        capacity: Most frames that wait; a frame that finds it full is dropped.
        drop_expired: Whether a waiting frame is dropped when its deadline has passed.
    """

    capacity: PositiveCount
    drop_expired: StrictBool


class ConstantAmbient(Section):
    """Air that keeps its temperature."""

    kind: Literal["constant"]
    temperature_celsius: Celsius


class PiecewiseLinearAmbient(Section):
    """Air whose temperature runs straight from point to point, and keeps the last one.

    Attributes:
        points: Pairs of time (picoseconds) and temperature (Celsius); the first at 0 s.
    """

    kind: Literal["piecewise_linear"]
    points: tuple[tuple[Picoseconds, Celsius], ...]

    def contradictions(self) -> Iterator[Problem]:
        """Yield points that do not begin at 0 s or go back in time."""
        if not self.points or self.points[0][0] != 0:
            yield Problem(("points",), "must begin at 0 s: write the first point as [0 s, 25 degC]")
        for position, (before, after) in enumerate(pairwise(self.points), start=1):
            if after[0] <= before[0]:
                yield Problem(("points", position, 0), "is not later than the point before it: sort the points by time")


class Environment(Section):
    """What surrounds the device."""

    ambient: Annotated[ConstantAmbient | PiecewiseLinearAmbient, Field(discriminator="kind")]


class Controller(Section):
    """Who decides at run time."""

    name: Text
    options: Mapping[str, Any] = {}


class Scenario(Section):
    """One run, but for the profile's content.

    Attributes:
        profile: Packaged name, or path from the scenario's folder.
        profile_overrides: Dotted path in the profile -> value that replaces the one there.
        duration_picoseconds: Time in which frames arrive; the run then drains.
        seed: Root of every random stream.
        initial_state: Whether the device starts at ambient temperature or as it settles when idle.
        outputs: Whether predictions are computed after the run, within it, or not at all.
        decisions: Whether a decision binds layers of the frame that runs, or only frames that have not begun.
        telemetry_period_picoseconds: Time between rows of ``telemetry.parquet``.
        queue: Where frames wait.
        streams: What arrives; one stream for now.
    """

    schema_version: Literal[1]
    name: Text
    description: str = ""
    profile: Text
    profile_overrides: Mapping[Text, Any] = {}
    duration_picoseconds: PositivePicoseconds
    seed: Count = 0
    initial_state: Literal["ambient", "steady_idle"] = "ambient"
    outputs: Literal["lazy", "in_step", "none"] = "lazy"
    decisions: Literal["mid_frame", "frame_boundary"] = "mid_frame"
    telemetry_period_picoseconds: PositivePicoseconds = _written("100 ms")
    queue: Queue
    streams: tuple[Stream, ...]
    environment: Environment
    controller: Controller

    def contradictions(self) -> Iterator[Problem]:
        """Yield more or less than one stream, and outputs that have no data."""
        if len(self.streams) != 1:
            yield Problem(("streams",), f"{len(self.streams)} streams: a scenario runs exactly one for now; keep one")
        for position, stream in enumerate(self.streams):
            if stream.data is None and self.outputs != "none":
                path = ("streams", position, "data")
                yield Problem(
                    path,
                    f"no data, but 'outputs: {self.outputs}' needs it: name a data set, or set outputs: none",
                )


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
    from_scenario = [
        Override(target, value, tree.place(("profile_overrides", target)))
        for target, value in scenario.profile_overrides.items()
    ]
    try:
        profile_path = find("profiles", scenario.profile, beside=path.parent)
    except ConfigurationError as error:
        raise ConfigurationError(f"{tree.place(('profile',))}: profile: {error}") from None
    return scenario, profile_at(profile_path, [*from_scenario, *for_profile]), path


def resolved(scenario: Scenario, profile: DeviceProfile) -> dict[str, Any]:
    """Return all that affects the result, ready for canonical JSON: no descriptions, sources or ranges."""
    told = {"name", "description", "profile", "profile_overrides"}
    return {
        "scenario": {key: value for key, value in _bare(scenario).items() if key not in told},
        "profile": {key: value for key, value in _bare(profile).items() if key not in told},
    }


def _bare(value: object) -> Any:
    """Return plain data in which a quantity is its value and what it is used for."""
    match value:
        case Section():
            origin = {"source", "assumption", "range"} if isinstance(value, Quantity) else set()
            return {field: _bare(getattr(value, field)) for field in type(value).model_fields if field not in origin}
        case Mapping():
            return {key: _bare(item) for key, item in value.items()}
        case tuple() | list():
            return [_bare(item) for item in value]
        case _:
            return value
