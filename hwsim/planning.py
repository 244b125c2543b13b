"""From the name of a scenario to a run that is read, checked and ready to start."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bitmixer.assignment_file import load_assignment
from bitmixer.data import require_shape
from bitmixer.documents import KeyPath, read_tree, replace
from bitmixer.errors import BitmixerError
from bitmixer.graph import LayerGraph
from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint
from hwsim import provenance
from hwsim.config.input_file import copies
from hwsim.config.overrides import split_sets
from hwsim.config.packaged import find
from hwsim.config.profile import DeviceProfile
from hwsim.config.scenario import Scenario, load_scenario, resolved
from hwsim.controllers import build_controller, parse_controller
from hwsim.controllers.base import NetworkView
from hwsim.cost import CostTable
from hwsim.cost.arrays import ValueArray
from hwsim.device import Device, build_device
from hwsim.errors import ConfigurationError
from hwsim.simulation.control import device_view
from hwsim.simulation.simulator import Setup
from hwsim.surroundings import (
    build_ambient,
    build_arrivals,
    build_fault,
    build_harvest,
    build_outages,
    build_shared_dram,
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run that has been read and checked, ready to start.

    Attributes:
        scenario: The scenario, overrides applied.
        profile: The device profile, overrides applied.
        documents: The texts of scenario, profile and their files as they were read, by the names of their copies.
        device: The device.
        checkpoint: The network.
        costs: Its cost table on the device.
        controller: Name of the controller and its options, as written.
        run_id: Hash of all that affects the result.
    """

    scenario: Scenario
    profile: DeviceProfile
    documents: Mapping[str, str]
    device: Device
    checkpoint: Checkpoint
    costs: CostTable
    controller: str
    run_id: str


def plan(
    scenario_name: str, *, controller: str | None = None, seed: int | None = None, sets: Sequence[str] = ()
) -> Plan:
    """Read and check everything that a run needs, without loading the network's weights.

    Args:
        scenario_name: Packaged name or path.
        controller: ``NAME`` or ``NAME:option=value``, instead of the scenario's.
        seed: Instead of the scenario's.
        sets: ``path=value`` changes; those that begin with ``profile.`` change the profile.

    Raises:
        DocumentError: A document is invalid.
        ConfigurationError: The parts do not fit together, or one that is named does not exist.
    """
    scenario, profile, path = load_scenario(scenario_name, sets)
    if seed is not None:
        scenario = scenario.model_copy(update={"seed": seed})
    if controller is not None:
        name, options = parse_controller(controller)
        chosen = scenario.controller.model_copy(update={"name": name, "options": options})
        if name == scenario.controller.name and not options:
            chosen = scenario.controller
        scenario = scenario.model_copy(update={"controller": chosen})
    stream = scenario.streams[0]
    device = build_device(profile)
    _check_battery(scenario, device, path, sets)
    with _blaming(path, sets, ("streams", 0, "network")):
        checkpoint = find_checkpoint(_beside(stream.network, path))
        if scenario.outputs != "none" and checkpoint.weights_sha256 is None:
            raise ConfigurationError(f"{checkpoint.name} is a geometry without trained weights: set outputs: none")
        costs = _cost_table(device, checkpoint, stream.inputs_per_frame)
    with _blaming(path, sets, ("streams", 0, "data")):
        if stream.data is not None:
            require_shape(stream.data, checkpoint.graph.input_shape, checkpoint.name)
    with _blaming(path, sets, ("outputs",)):
        if scenario.outputs == "none" and isinstance(device.array, ValueArray) and device.array.reads_activations:
            raise ConfigurationError(
                f"none, but array {device.array.name} takes its cycles from the activations of the network: set lazy"
            )
    spelled = controller or _spelled(scenario)
    with _blaming(path, sets, ("controller",), f"--controller {controller}" if controller else None):
        scenario = _with_assignment(scenario, path, checkpoint.graph)
        rehearsed = build_controller(scenario.controller.name, scenario.controller.options)
        rehearsed.init(device_view(device), NetworkView(graph=checkpoint.graph, costs=costs))
        if rehearsed.needs_outputs and scenario.outputs == "none":
            raise ConfigurationError("reads confidences, but the scenario says outputs: none: set in_step")
    return Plan(
        scenario=scenario,
        profile=profile,
        documents={
            "scenario.yaml": path.read_text(encoding="utf-8"),
            "profile.yaml": find("profiles", scenario.profile, beside=path.parent).read_text(encoding="utf-8"),
            **copies(scenario),
            **copies(profile),
        },
        device=device,
        checkpoint=checkpoint,
        costs=costs,
        controller=spelled,
        run_id=provenance.run_id(resolved(scenario, profile), checkpoint.sha256),
    )


def _cost_table(device: Device, checkpoint: Checkpoint, inputs_per_frame: int) -> CostTable:
    """Return the costs of the network's sites; exact where they depend on weights, a bound where on activations."""
    array, graph = device.array, checkpoint.graph
    if not isinstance(array, ValueArray) or array.reads_activations:
        return device.cost_table(graph, inputs_per_frame)
    from hwsim.value_cycles import weight_cycles

    return device.cost_table(graph, inputs_per_frame, weight_cycles=weight_cycles(array, checkpoint, graph.widths))


def simulation_setup(planned: Plan, available_inputs: int) -> Setup:
    """Return what the simulator needs of a plan.

    Args:
        planned: The plan.
        available_inputs: Size of the test split that frames draw their inputs from.
    """
    scenario = planned.scenario
    stream = scenario.streams[0]
    return Setup(
        device=planned.device,
        graph=planned.checkpoint.graph,
        costs=planned.costs,
        controller=build_controller(scenario.controller.name, scenario.controller.options),
        ambient=build_ambient(scenario.environment.ambient),
        shared_dram=build_shared_dram(scenario.environment.memory_traffic, planned.device.memory),
        arrivals=build_arrivals(stream.arrivals),
        link_outages=build_outages(stream.link_outages),
        inputs_per_frame=stream.inputs_per_frame,
        available_inputs=available_inputs,
        deadline_picoseconds=stream.deadline_picoseconds,
        queue_capacity=scenario.queue.capacity,
        drop_expired=scenario.queue.drop_expired,
        decisions=scenario.decisions,
        duration_picoseconds=scenario.duration_picoseconds,
        telemetry_picoseconds=scenario.telemetry_period_picoseconds,
        initial_state=scenario.initial_state,
        initial_state_of_charge=scenario.initial_state_of_charge,
        harvest=build_harvest(scenario.environment.harvest),
        seed=scenario.seed,
        faults=tuple(map(build_fault, scenario.faults)),
    )


def _check_battery(scenario: Scenario, device: Device, path: Path, sets: Sequence[str]) -> None:
    """Check that scenario and device agree on whether there is a battery.

    Raises:
        ConfigurationError: They do not.
    """
    with _blaming(path, sets, ("initial_state_of_charge",)):
        if device.battery is None and scenario.initial_state_of_charge is not None:
            raise ConfigurationError(f"{device.name} has no battery: remove this, or give the profile a battery")
        if device.battery is not None and scenario.initial_state_of_charge is None:
            raise ConfigurationError(f"missing: {device.name} has a battery: write for example 0.8")
    with _blaming(path, sets, ("environment", "harvest")):
        if device.battery is None and scenario.environment.harvest is not None:
            raise ConfigurationError(f"{device.name} has no battery to charge: remove this, or give it a battery")


def _beside(name: str, scenario_path: Path) -> str:
    """Return the path of a file or network as seen from the scenario's folder, or its name if nothing is there."""
    beside = scenario_path.parent / name
    is_there = beside.is_file() or (beside / "checkpoint.json").is_file()
    return str(beside) if is_there else name


def _with_assignment(scenario: Scenario, path: Path, graph: LayerGraph) -> Scenario:
    """Put an assignment's content in the place of its file's name, so that the run's hash follows the content."""
    options = scenario.controller.options
    if not isinstance(file := options.get("assignment"), str):
        return scenario
    assignment = load_assignment(Path(_beside(file, path)), graph.layers, network=graph.network)
    content = {site: tuple(widths) for site, widths in assignment.items()}
    chosen = scenario.controller.model_copy(update={"options": {**options, "assignment": content}})
    return scenario.model_copy(update={"controller": chosen})


def _spelled(scenario: Scenario) -> str:
    options = "".join(f":{name}={json.dumps(value)}" for name, value in scenario.controller.options.items())
    return scenario.controller.name + options


@contextmanager
def _blaming(path: Path, sets: Sequence[str], key: KeyPath, option: str | None = None) -> Iterator[None]:
    """Begin an error about a value with the place where it was written, which may be an option's."""
    try:
        yield
    except BitmixerError as error:
        tree = read_tree(path)
        for override in split_sets(sets)[0]:
            replace(tree, override)
        place = option or f"{tree.place(key)}: {'.'.join(map(str, key))}"
        raise ConfigurationError(f"{place}: {error}") from None
