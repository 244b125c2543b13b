"""From the name of a scenario to a run that is read, checked and ready to start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitmixer.data import data_identity, require_shape
from bitmixer.data.image_file import is_image_file
from bitmixer.documents import KeyPath
from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint
from hwsim import provenance
from hwsim.config.actual_device import actual_profile, departures
from hwsim.config.learning import Learning, learner_name
from hwsim.config.profile import DeviceProfile
from hwsim.config.quantity import Quantity
from hwsim.config.scenario import Controller, Scenario, Stream, controller_of, load_scenario, resolved, spelled
from hwsim.controllers import build_controller, parse_controller
from hwsim.controllers.base import Decision, DeviceView, NetworkView
from hwsim.controllers.guard import Guard
from hwsim.copies import rerunnable
from hwsim.cost import CostTable
from hwsim.cost.arrays import ValueArray
from hwsim.device import Device, build_device
from hwsim.errors import ConfigurationError, ControllerError
from hwsim.named_files import beside, with_assignments
from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.scenario_checks import blaming, check_battery, check_faults, check_loads
from hwsim.simulation.control import device_view

AT_FRAMES = "@frame"
"""Behind a controller's name: its decisions bind frames that have not begun."""


@dataclass(frozen=True, kw_only=True)
class PlannedStream:
    """A stream of a plan.

    Attributes:
        stream: As the scenario has it.
        checkpoint: The network.
        costs: Its cost table on the device.
        told_costs: The one that its controller is told, from the profile.
        controller: Who decides for its frames.
        needs_outputs: Whether that reads how confident the network is.
        probes: Whether that compares what it answers at other widths.
        safe: Widths that take its place if it fails; ``None``: the run ends then.
    """

    stream: Stream
    checkpoint: Checkpoint
    costs: CostTable
    told_costs: CostTable
    controller: Controller
    needs_outputs: bool
    probes: bool
    safe: Decision | None


@dataclass(frozen=True, kw_only=True)
class PlannedLearning:
    """How one of a plan's networks learns.

    Attributes:
        settings: As the scenario has them.
        stream: Position of the stream whose network it is.
        name: Name in the records.
        costs: What the parts of a step cost.
    """

    settings: Learning
    stream: int
    name: str
    costs: CostTable


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run that has been read and checked, ready to start.

    Attributes:
        scenario: The scenario, overrides applied.
        profile: The device profile that controllers are told, overrides applied.
        departures: Numbers in which the device is off from it: dotted path -> what it has.
        documents: The texts that a run keeps so that it can be run again, by the names of their copies.
        device: The device as it is.
        told_device: The device of the profile.
        streams: The streams, in the order of the scenario.
        controller: Name of the controller and its options, as written; where streams have others, those too.
        run_id: Hash of all that affects the result.
        learning: How the device learns, if it does.
    """

    scenario: Scenario
    profile: DeviceProfile
    departures: Mapping[str, Quantity[Any]]
    documents: Mapping[str, str]
    device: Device
    told_device: Device
    streams: tuple[PlannedStream, ...]
    controller: str
    run_id: str
    learning: PlannedLearning | None = None


def plan(
    scenario_name: str, *, controller: str | None = None, seed: int | None = None, sets: Sequence[str] = ()
) -> Plan:
    """Read and check everything that a run needs, without loading the network's weights.

    Args:
        scenario_name: Packaged name or path.
        controller: ``NAME`` or ``NAME:option=value``, instead of the scenario's; a stream's own stays. With ``@frame``
            behind it, decisions bind frames that have not begun, whatever the scenario says.
        seed: Instead of the scenario's.
        sets: ``path=value`` changes; those that begin with ``profile.`` change the profile.

    Raises:
        DocumentError: A document is invalid.
        ConfigurationError: The parts do not fit together, or one that is named does not exist.
    """
    scenario, profile, path = load_scenario(scenario_name, sets)
    scenario = _with_data_placed(scenario, path)
    if seed is not None:
        scenario = scenario.model_copy(update={"seed": _checked_seed(seed)})
    if controller is not None:
        rule = controller.removesuffix(AT_FRAMES)
        if rule != controller:
            scenario = scenario.model_copy(update={"decisions": "frame_boundary"})
        name, options = parse_controller(rule)
        chosen = scenario.controller.model_copy(update={"name": name, "options": options})
        if name == scenario.controller.name and not options:
            chosen = scenario.controller
        scenario = scenario.model_copy(update={"controller": chosen})
    actual = actual_profile(scenario, profile, path, sets)
    told_device = build_device(profile)
    device = told_device if actual is profile else build_device(actual)
    check_battery(scenario, device, path, sets)
    check_loads(scenario, profile, path, sets)
    check_faults(scenario, profile, path, sets)
    with blaming(path, sets, ("outputs",)):
        if scenario.outputs == "none" and isinstance(device.array, ValueArray) and device.array.reads_activations:
            raise ConfigurationError(
                f"none, but array {device.array.name} takes its cycles from the activations of the network: set lazy"
            )
    for at, stream in enumerate(scenario.streams):
        with blaming(path, sets, ("streams", at, "drift")):
            if stream.drift and isinstance(device.array, ValueArray) and device.array.reads_activations:
                raise ConfigurationError(
                    f"array {device.array.name} takes its cycles from the activations of one data set: leave this out"
                )
    checkpoints = [_checkpoint(scenario, at, path, sets) for at in range(len(scenario.streams))]
    named = _spelled(scenario, controller)
    scenario = _with_assignments(scenario, path, sets, controller, checkpoints)
    streams = tuple(
        _planned_stream(scenario, at, device, told_device, checkpoint, path, sets, controller)
        for at, checkpoint in enumerate(checkpoints)
    )
    return Plan(
        scenario=scenario,
        profile=profile,
        departures=departures(profile, actual),
        documents=rerunnable(
            path, sets, scenario, profile, [_from_anywhere(stream.network, path) for stream in scenario.streams]
        ),
        device=device,
        told_device=told_device,
        streams=streams,
        controller=named,
        learning=_planned_learning(scenario, device, checkpoints, path, sets),
        run_id=_run_id(scenario, profile, actual, checkpoints),
    )


def _run_id(
    scenario: Scenario, profile: DeviceProfile, actual: DeviceProfile, checkpoints: Sequence[Checkpoint]
) -> str:
    """Return the run's hash; networks and files of data count by what they are, not by where they lie."""
    off = {name: number.value for name, number in departures(profile, actual).items()}
    content = resolved(scenario, profile) | {"actual_device": off}
    for stream in content["scenario"]["streams"]:
        del stream["network"]
        for named in (stream, *stream["drift"]):
            named["data"] = named["data"] and data_identity(named["data"])
    return provenance.run_id(content, list(map(_identity, checkpoints)))


def _identity(checkpoint: Checkpoint) -> str:
    """Return what a run's hash has of a network: what it computes and costs, and what controllers are told of it."""
    return f"{checkpoint.sha256} {checkpoint.accuracies}"


def _with_data_placed(scenario: Scenario, path: Path) -> Scenario:
    """Return a scenario that names files of data by where they are, whether seen from its folder or from here."""

    def placed(name: str) -> str:
        base, plus, rest = name.partition("+")
        file = Path(beside(base, path))
        return f"{file.resolve()}{plus}{rest}" if is_image_file(base) and file.is_file() else name

    streams = tuple(
        stream.model_copy(update={
            "data": placed(stream.data),
            "drift": tuple(change.model_copy(update={"data": placed(change.data)}) for change in stream.drift),
        })
        if stream.data is not None else stream
        for stream in scenario.streams
    )  # fmt: skip
    return scenario.model_copy(update={"streams": streams})


def _checkpoint(scenario: Scenario, at: int, path: Path, sets: Sequence[str]) -> Checkpoint:
    """Return the network of a stream.

    Raises:
        ConfigurationError: There is none, or it does not fit the stream's data or the wanted outputs.
    """
    stream = scenario.streams[at]
    with blaming(path, sets, ("streams", at, "network")):
        checkpoint = find_checkpoint(beside(stream.network, path))
        if scenario.outputs != "none" and checkpoint.weights_sha256 is None:
            raise ConfigurationError(f"{checkpoint.name} is a geometry without trained weights: set outputs: none")
        graph = checkpoint.graph  # read here, where it was named
    with blaming(path, sets, ("streams", at, "data")):
        if stream.data is not None:
            require_shape(stream.data, graph.input_shape, checkpoint.name)
    for position, change in enumerate(stream.drift):
        with blaming(path, sets, ("streams", at, "drift", position, "data")):
            require_shape(change.data, graph.input_shape, checkpoint.name)
    return checkpoint


def _planned_stream(
    scenario: Scenario, at: int, device: Device, told: Device, checkpoint: Checkpoint, path: Path, sets: Sequence[str],
    option: str | None,
) -> PlannedStream:  # fmt: skip
    """Return a stream with its cost table, and a controller that has been tried out.

    Raises:
        ConfigurationError: The network does not run on the device, or the controller refuses them.
    """
    stream = scenario.streams[at]
    with blaming(path, sets, ("streams", at, "network")):
        costs = _cost_table(device, checkpoint, stream.inputs_per_frame)
        told_costs = costs if told is device else _cost_table(told, checkpoint, stream.inputs_per_frame)
    chosen = controller_of(scenario, at)
    network = NetworkView(graph=checkpoint.graph, costs=told_costs, accuracies=checkpoint.accuracies)
    key, given = _controller_place(scenario, at, option)
    safe = None
    if chosen.safe is not None:
        with blaming(path, sets, (*key, "safe")):
            safe, _ = build_controller("static", chosen.safe).init(device_view(told), network)
    with blaming(path, sets, key, given):
        guard = _rehearsed(chosen, device_view(told), network, fails_safe=safe is not None)
        if guard.needs_outputs and scenario.outputs == "none":
            raise ConfigurationError("reads confidences, but the scenario says outputs: none: set in_step")
        if guard.probes and scenario.outputs == "none":
            raise ConfigurationError("compares outputs by probes, but the scenario says outputs: none: set lazy")
        if guard.probes and scenario.learning is not None and scenario.learning.stream == stream.name:
            raise ConfigurationError("compares outputs by probes, but the network learns meanwhile: leave learning out")
        if guard.needs_outputs and scenario.learning is not None:
            raise ConfigurationError("reads confidences, but learning waits for the run's end: leave learning out")
    return PlannedStream(
        stream=stream, checkpoint=checkpoint, costs=costs, told_costs=told_costs, controller=chosen,
        needs_outputs=guard.needs_outputs, probes=guard.probes, safe=safe,
    )  # fmt: skip


def _planned_learning(
    scenario: Scenario, device: Device, checkpoints: Sequence[Checkpoint], path: Path, sets: Sequence[str]
) -> PlannedLearning | None:
    """Return how the device learns.

    Raises:
        ConfigurationError: Its array cannot train, or the network has no such width.
    """
    settings = scenario.learning
    if settings is None:
        return None
    at = [stream.name for stream in scenario.streams].index(settings.stream)
    graph = checkpoints[at].graph
    if graph.one_pass:
        with blaming(path, sets, ("learning", "stream")):
            raise ConfigurationError(f"{graph.network} is a graph network, which learns before it is deployed alone")
    with blaming(path, sets, ("learning", "bits")):
        if settings.bits not in graph.uniform_bits:
            known = ", ".join(map(str, graph.uniform_bits))
            raise ConfigurationError(f"{graph.network} has no uniform width of {settings.bits} bits: one of {known}")
    with blaming(path, sets, ("learning",)):
        costs = device.training_table(graph, settings.inputs, settings.format, settings.learned)
    return PlannedLearning(settings=settings, stream=at, name=learner_name(settings.stream), costs=costs)


def _rehearsed(chosen: Controller, device: DeviceView, network: NetworkView, *, fails_safe: bool) -> Guard:
    """Return a controller that was tried out.

    Raises:
        ConfigurationError: There is none of this name, it has other options, or it refuses the device or network.
        ControllerError: It fails, and no safe widths would take its place.
    """
    guard = Guard(build_controller(chosen.name, chosen.options), limit_seconds=answer_limit_seconds(chosen))
    try:
        guard.init(device, network)
    except ControllerError:
        if not fails_safe:
            raise
    return guard


def answer_limit_seconds(controller: Controller) -> float:
    """Return the longest time of its thread for one answer of a controller."""
    return controller.answer_limit_picoseconds / PICOSECONDS_PER_SECOND


def _controller_place(scenario: Scenario, at: int, option: str | None) -> tuple[KeyPath, str | None]:
    """Return where the controller of a stream was written: its place in the scenario, or the option."""
    if scenario.streams[at].controller is not None:
        return ("streams", at, "controller"), None
    return ("controller",), f"--controller {option}" if option else None


def _cost_table(device: Device, checkpoint: Checkpoint, inputs_per_frame: int) -> CostTable:
    """Return the costs of the network's sites; exact where they depend on weights, a bound where on activations.

    Raises:
        ConfigurationError: The array follows values, and the network is a graph network.
    """
    array, graph = device.array, checkpoint.graph
    if isinstance(array, ValueArray) and graph.one_pass:
        raise ConfigurationError(
            f"array {array.name} takes its cycles from values, which are not followed through a graph network: "
            "choose another array"
        )
    if not isinstance(array, ValueArray) or array.reads_activations:
        return device.cost_table(graph, inputs_per_frame)
    from hwsim.value_cycles import weight_cycles

    return device.cost_table(graph, inputs_per_frame, weight_cycles=weight_cycles(array, checkpoint, graph.widths))


def _from_anywhere(network: str, scenario_path: Path) -> str:
    """Return a network's name, or its path as any scenario can name it."""
    found = Path(beside(network, scenario_path))
    return str(found.resolve()) if found.exists() else network


def _checked_seed(seed: object) -> int:
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigurationError(f"seed: expected a whole number from 0; got {seed!r}")
    return seed


def _with_assignments(
    scenario: Scenario, path: Path, sets: Sequence[str], option: str | None, checkpoints: Sequence[Checkpoint]
) -> Scenario:
    """Put assignments' content in the place of their files' names, so that the run's hash follows the content."""
    streams, shared = [], scenario.controller
    for at, (stream, checkpoint) in enumerate(zip(scenario.streams, checkpoints, strict=True)):
        with blaming(path, sets, *_controller_place(scenario, at, option)):
            read = with_assignments(controller_of(scenario, at), path, checkpoint.graph)
        if stream.controller is None:
            shared = read
        streams.append(stream if stream.controller is None else stream.model_copy(update={"controller": read}))
    return scenario.model_copy(update={"streams": tuple(streams), "controller": shared})


def _spelled(scenario: Scenario, option: str | None) -> str:
    """Return the controller as written, and those of streams that have others."""
    own = [f"{stream.name}: {spelled(stream.controller)}" for stream in scenario.streams if stream.controller]
    shared = [option or spelled(scenario.controller)] if len(own) < len(scenario.streams) else []
    return "; ".join(shared + own)
