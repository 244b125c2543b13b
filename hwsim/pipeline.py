"""The data flow on one page: read it first.

scenario -> device + layer graph -> cost table -> simulation <-> controller -> realised assignments
         -> execution of the real network -> records -> ledgers -> metrics -> figures
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint
from hwsim import metrics, provenance
from hwsim.config.profile import DeviceProfile
from hwsim.config.scenario import Bursts as BurstsSection
from hwsim.config.scenario import ConstantAmbient, Environment, Scenario, load_scenario, resolved
from hwsim.config.scenario import PeriodicArrivals as ArrivalsSection
from hwsim.controllers import build_controller, parse_controller
from hwsim.cost import CostTable
from hwsim.device import Device, build_device
from hwsim.errors import ConfigurationError
from hwsim.layer_statistics import LayerStatistics, LayerTotals, layer_statistics
from hwsim.ledgers import close_ledgers
from hwsim.plant.ambient import Ambient
from hwsim.records.recorder import Recorder
from hwsim.records.store import RunFolder
from hwsim.simulation.arrivals import Bursts, PeriodicArrivals
from hwsim.simulation.simulator import Setup, Simulator

if TYPE_CHECKING:
    from hwsim.outputs import LoadedNetwork

Progress = Callable[[str, float], None]
VIRTUAL_INPUTS = 1 << 16
"""Size of the test split where a scenario wants no outputs and so has no data."""
RECORD_FILES = ("manifest.json", "summary.json", "layers.csv", "graph.json", "profile.yaml", "scenario.yaml")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run that has been read and checked, ready to start.

    Attributes:
        scenario: The scenario, overrides applied.
        profile: The device profile, overrides applied.
        scenario_path: Where the scenario was read.
        device: The device.
        checkpoint: The network.
        costs: Its cost table on the device.
        controller: Name of the controller and its options, as written.
        run_id: Hash of all that affects the result.
    """

    scenario: Scenario
    profile: DeviceProfile
    scenario_path: Path
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
        ConfigurationError: The parts do not fit together.
        CheckpointError: The network is missing or damaged.
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
    build_controller(scenario.controller.name, scenario.controller.options)
    stream = scenario.streams[0]
    checkpoint = find_checkpoint(_beside(stream.network, path))
    if scenario.outputs != "none" and checkpoint.weights_sha256 is None:
        raise ConfigurationError(
            f"{path}: streams.0.network: {checkpoint.name} is a geometry without trained weights: set outputs: none"
        )
    device = build_device(profile)
    return Plan(
        scenario=scenario,
        profile=profile,
        scenario_path=path,
        device=device,
        checkpoint=checkpoint,
        costs=device.cost_table(checkpoint.graph, stream.inputs_per_frame),
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
    _clear(folder)
    scenario, checkpoint = planned.scenario, planned.checkpoint
    stream = scenario.streams[0]
    loaded, in_step = _load_outputs(planned)
    recorder = Recorder(
        folder, checkpoint.graph, planned.costs, planned.device.thermal_network.nodes,
        stream=stream.name, data=stream.data or "",
    )  # fmt: skip
    simulator = Simulator(
        _setup(planned, VIRTUAL_INPUTS if loaded is None else len(loaded.labels)),
        [recorder] if in_step is None else [recorder, in_step],
        confidences=tuple if in_step is None else in_step.take_confidences,
    )
    interrupted = False
    try:
        simulator.run(lambda share: progress("simulating", share))
    except KeyboardInterrupt:
        interrupted = True
    recorder.close()
    predictions = {} if in_step is None else in_step.predictions
    if loaded is not None and in_step is None and not interrupted:
        from hwsim.outputs import PredictionCache, lazy_predictions

        predictions = lazy_predictions(
            loaded,
            recorder.frames,
            cache=PredictionCache(loaded),
            progress=lambda share: progress("outputs", share),
        )
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
    wants = build_controller(scenario.controller.name, scenario.controller.options).needs_outputs
    if scenario.outputs == "none":
        if wants:
            raise ConfigurationError(
                f"controller {scenario.controller.name} reads confidences, but the scenario says "
                "outputs: none; set outputs: in_step"
            )
        return None, None
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


def _clear(folder: Path) -> None:
    """Make the folder ready: new, empty, or a former run, whose files go."""
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder}: is a file; give --out a folder")
    if (
        folder.is_dir()
        and any(folder.iterdir())
        and not any((folder / name).exists() for name in (*RECORD_FILES, "layers.parquet"))
    ):
        raise ConfigurationError(f"{folder}: holds files that are no run; give --out a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name in RECORD_FILES:
        (folder / name).unlink(missing_ok=True)
    for table in folder.glob("*.parquet"):
        table.unlink()
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
    (folder / "scenario.yaml").write_text(planned.scenario_path.read_text(encoding="utf-8"), encoding="utf-8")
    with contextlib.suppress(ConfigurationError):
        from hwsim.config.packaged import find

        profile_path = find("profiles", scenario.profile, beside=planned.scenario_path.parent)
        (folder / "profile.yaml").write_text(profile_path.read_text(encoding="utf-8"), encoding="utf-8")


def _write_layer_totals(layers: LayerStatistics, folder: Path) -> None:
    with (folder / "layers.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [field.name for field in dataclasses.fields(LayerTotals)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) for row in layers.totals)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
