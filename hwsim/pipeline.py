"""The data flow on one page: read it first.

scenario -> device + layer graph -> cost table -> simulation <-> controller -> realised assignments
         -> execution of the real network -> records -> ledgers -> metrics -> figures
"""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitmixer.data import DataName
from bitmixer.documents import read_tree
from bitmixer.documents.section import KeyPath
from bitmixer.documents.source import replace
from bitmixer.errors import BitmixerError
from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint
from hwsim import metrics, provenance
from hwsim.config.overrides import split_sets
from hwsim.config.packaged import find
from hwsim.config.profile import DeviceProfile
from hwsim.config.scenario import Bursts as BurstsSection
from hwsim.config.scenario import ConstantAmbient, Environment, Scenario, load_scenario, resolved
from hwsim.config.scenario import PeriodicArrivals as ArrivalsSection
from hwsim.controllers import build_controller, parse_controller
from hwsim.controllers.base import NetworkView
from hwsim.cost import CostTable
from hwsim.device import Device, build_device
from hwsim.errors import ConfigurationError
from hwsim.layer_statistics import LayerStatistics, LayerTotals, layer_statistics
from hwsim.ledgers import close_ledgers
from hwsim.plant.ambient import Ambient
from hwsim.records.recorder import Recorder
from hwsim.records.store import RunFolder
from hwsim.simulation.arrivals import Bursts, PeriodicArrivals
from hwsim.simulation.control import device_view
from hwsim.simulation.simulator import Setup, Simulator

if TYPE_CHECKING:
    from hwsim.outputs import LoadedNetwork

Progress = Callable[[str, float], None]
VIRTUAL_INPUTS = 1 << 16
"""Size of the test split where a scenario wants no outputs and so has no data."""
FIRST_FILE = "layers.parquet"
"""Written before all others, so it tells a run's folder from a folder of the user's own files."""
RECORD_FILES = (
    "summary.json", "manifest.json", "layers.csv", "graph.json", "profile.yaml", "scenario.yaml",
    "frames.parquet", "telemetry.parquet", "decisions.parquet", FIRST_FILE,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run that has been read and checked, ready to start.

    Attributes:
        scenario: The scenario, overrides applied.
        profile: The device profile, overrides applied.
        documents: The texts of scenario and profile as they were read, by the names of their copies.
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
    with _blaming(path, sets, ("streams", 0, "network")):
        checkpoint = find_checkpoint(_beside(stream.network, path))
        if scenario.outputs != "none" and checkpoint.weights_sha256 is None:
            raise ConfigurationError(f"{checkpoint.name} is a geometry without trained weights: set outputs: none")
        costs = device.cost_table(checkpoint.graph, stream.inputs_per_frame)
    with _blaming(path, sets, ("streams", 0, "data")):
        if stream.data is not None:
            DataName.parse(stream.data)
    with _blaming(path, sets, ("controller",), f"--controller {controller}" if controller else None):
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
        },
        device=device,
        checkpoint=checkpoint,
        costs=costs,
        controller=controller or _spelled(scenario),
        run_id=provenance.run_id(resolved(scenario, profile), checkpoint.sha256),
    )


def run(
    planned: Plan, folder: Path, *, figures: bool = True, progress: Progress = lambda stage, share: None
) -> dict[str, Any]:
    """Simulate, compute the outputs, write the records into ``folder`` and return the summary.

    Interrupted, it keeps the frames that were finished and says so in the summary (``interrupted``).

    Raises:
        InvariantError: A law that must always hold was broken.
        ConfigurationError: ``folder`` holds something that is not a run.
    """
    began = time.perf_counter()
    _require_usable(folder)
    scenario, checkpoint = planned.scenario, planned.checkpoint
    stream = scenario.streams[0]
    loaded, in_step = _load_outputs(planned)
    _clear(folder)
    recorder = Recorder(
        folder, checkpoint.graph, planned.costs, planned.device.thermal_network.nodes,
        stream=stream.name, data=stream.data or "",
    )  # fmt: skip
    simulator = Simulator(
        _setup(planned, VIRTUAL_INPUTS if loaded is None else len(loaded.labels)),
        [recorder] if in_step is None else [in_step, recorder],  # so that a frame on record has its outputs
        confidences=tuple if in_step is None else in_step.take_confidences,
    )
    predictions = {} if in_step is None else in_step.predictions
    interrupted = False
    try:
        simulator.run(lambda share: progress("simulating", share))
        if loaded is not None and in_step is None:
            from hwsim.outputs import PredictionCache, lazy_predictions

            predictions = lazy_predictions(
                loaded,
                recorder.frames,
                cache=PredictionCache(loaded),
                progress=lambda share: progress("outputs", share),
            )
    except KeyboardInterrupt:
        interrupted = True
    recorder.close()
    recorder.write_frames(predictions, loaded.labels if loaded is not None and predictions else None)
    _write_manifest(planned, folder, interrupted=interrupted)
    records = RunFolder(folder)
    layers = layer_statistics(records, checkpoint.graph)
    summary = metrics.summarise(records, layers, checkpoint.graph, wall_seconds=time.perf_counter() - began)
    if interrupted:
        summary["interrupted"] = True
    else:
        ledgers = close_ledgers(folder, planned.device, planned.costs, simulator.plant)
        ledgers.check()
        summary["energy_ledgers"] = ledgers.as_dict()
    _write_layer_totals(layers, folder)
    _write_json(folder / "summary.json", summary)
    if figures and not interrupted:
        from hwsim.report.run_figures import write_run_figures

        progress("figures", 0.0)
        write_run_figures(records)
    return summary


def run_folder(parent: Path, name: str, seed: int) -> Path:
    """Return the folder of one run; letters that file systems mind are replaced."""
    label = "".join(letter if letter.isalnum() or letter in "_-=." else "-" for letter in name)
    return parent / f"{label}-s{seed}"


def _load_outputs(planned: Plan) -> tuple[LoadedNetwork | None, Any]:
    """Return the network with its data, and the in-step execution, where the scenario wants them."""
    scenario = planned.scenario
    if scenario.outputs == "none":
        return None, None
    wants = build_controller(scenario.controller.name, scenario.controller.options).needs_outputs
    from hwsim.outputs import InStepExecution, LoadedNetwork

    data = scenario.streams[0].data
    assert data is not None  # the scenario's own rule where it wants outputs
    loaded = LoadedNetwork(planned.checkpoint, data)
    return loaded, InStepExecution(loaded) if wants or scenario.outputs == "in_step" else None


def _setup(planned: Plan, available_inputs: int) -> Setup:
    scenario = planned.scenario
    stream = scenario.streams[0]
    return Setup(
        device=planned.device,
        graph=planned.checkpoint.graph,
        costs=planned.costs,
        controller=build_controller(scenario.controller.name, scenario.controller.options),
        ambient=_ambient(scenario.environment),
        arrivals=_arrivals(stream.arrivals),
        inputs_per_frame=stream.inputs_per_frame,
        available_inputs=available_inputs,
        deadline_picoseconds=stream.deadline_picoseconds,
        queue_capacity=scenario.queue.capacity,
        drop_expired=scenario.queue.drop_expired,
        decisions=scenario.decisions,
        duration_picoseconds=scenario.duration_picoseconds,
        telemetry_picoseconds=scenario.telemetry_period_picoseconds,
        initial_state=scenario.initial_state,
        seed=scenario.seed,
    )


def _ambient(environment: Environment) -> Ambient:
    if isinstance(environment.ambient, ConstantAmbient):
        return Ambient.constant(environment.ambient.temperature_celsius)
    return Ambient(points=environment.ambient.points)


def _arrivals(section: ArrivalsSection) -> PeriodicArrivals:
    return PeriodicArrivals(
        period=section.period_picoseconds,
        offset=section.offset_picoseconds,
        jitter=section.jitter_picoseconds,
        bursts=None if section.bursts is None else _bursts(section.bursts),
    )


def _bursts(section: BurstsSection) -> Bursts:
    return Bursts(
        first=section.first_picoseconds,
        every=section.every_picoseconds,
        length=section.length_picoseconds,
        period=section.period_picoseconds,
    )


def _beside(network: str, scenario_path: Path) -> str:
    """Return a network's path as seen from the scenario's folder, or its name."""
    beside = scenario_path.parent / network
    return str(beside) if (beside / "checkpoint.json").is_file() else network


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


def _require_usable(folder: Path) -> None:
    """Check that the folder is new, empty, or holds a former run, which may be written over."""
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder}: is a file; give --out a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FIRST_FILE).is_file():
        raise ConfigurationError(f"{folder}: holds files that are no run; give --out a new or empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: cannot be made ({error.strerror}); give --out a folder that can be written"
        ) from None


def _clear(folder: Path) -> None:
    """Remove a former run."""
    for name in RECORD_FILES:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "figures", ignore_errors=True)


def _write_manifest(planned: Plan, folder: Path, *, interrupted: bool) -> None:
    scenario, device = planned.scenario, planned.device
    stream = scenario.streams[0]
    manifest = {
        "run_id": planned.run_id,
        "interrupted": interrupted,
        "scenario_name": scenario.name,
        "scenario": resolved(scenario, planned.profile)["scenario"],
        "profile": planned.profile.name,
        "profile_values": resolved(scenario, planned.profile)["profile"],
        "controller": planned.controller,
        "seed": scenario.seed,
        "network": planned.checkpoint.name,
        "network_path": str(stream.network),
        "network_sha256": planned.checkpoint.sha256,
        "data": stream.data,
        "inputs_per_frame": stream.inputs_per_frame,
        "limits": {
            "maximum_frequency_hertz": device.frequencies_hertz[0],
            "sensor_node": device.thermal_network.nodes[device.sensor_node],
            "maximum_junction_celsius": device.maximum_junction_celsius,
            "trips": [dataclasses.asdict(trip) for trip in device.trips.trips],
        },
        "source_sha256": provenance.source_sha256("bitmixer", "hwsim"),
        "versions": provenance.versions(),
    }
    _write_json(folder / "manifest.json", manifest)
    (folder / "graph.json").write_text(planned.checkpoint.graph.to_json(), encoding="utf-8")
    for name, text in planned.documents.items():
        (folder / name).write_text(text, encoding="utf-8")


def _write_layer_totals(layers: LayerStatistics, folder: Path) -> None:
    with (folder / "layers.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in dataclasses.fields(LayerTotals)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) for row in layers.totals)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
