"""The data flow on one page: read it first.

scenario -> device + layer graph -> cost table -> simulation <-> controller -> realised assignments
         -> execution of the real network -> records -> ledgers -> metrics -> figures
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim import metrics
from hwsim.controllers import build_controller
from hwsim.cost.arrays import ValueArray
from hwsim.layer_statistics import layer_statistics
from hwsim.ledgers import close_ledgers
from hwsim.planning import Plan, plan, simulation_setup
from hwsim.records.folder import (
    clear,
    require_usable,
    run_folder,
    write_json,
    write_layer_totals,
    write_manifest,
)
from hwsim.records.recorder import Recorder
from hwsim.records.store import RunFolder
from hwsim.simulation.simulator import Simulator

if TYPE_CHECKING:
    from hwsim.outputs import InStepExecution, LoadedNetwork
    from hwsim.value_cycles import ValueCycles

__all__ = ["Plan", "Progress", "plan", "run", "run_folder"]

Progress = Callable[[str, float], None]
VIRTUAL_INPUTS = 1 << 16
"""Size of the test split where a scenario wants no outputs and so has no data."""


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
    require_usable(folder)
    scenario, checkpoint = planned.scenario, planned.checkpoint
    stream = scenario.streams[0]
    loaded, in_step = _load_outputs(planned)
    values = _load_values(planned, loaded, in_step)
    clear(folder)
    recorder = Recorder(
        folder, checkpoint.graph, planned.costs, planned.device.thermal_network.nodes,
        stream=stream.name, data=stream.data or "", battery=planned.device.battery is not None,
    )  # fmt: skip
    simulator = Simulator(
        simulation_setup(planned, VIRTUAL_INPUTS if loaded is None else len(loaded.labels)),
        [each for each in (in_step, values, recorder) if each],  # so that a frame on record has its outputs
        confidences=tuple if in_step is None else in_step.take_confidences,
        array_cycles=values,
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
    if values is not None:
        values.keep()
    recorder.close()
    recorder.write_frames(predictions, loaded.labels if loaded is not None and predictions else None)
    write_manifest(planned, folder, interrupted=interrupted)
    records = RunFolder(folder)
    layers = layer_statistics(records, checkpoint.graph)
    summary = metrics.summarise(records, layers, checkpoint.graph, wall_seconds=time.perf_counter() - began)
    if interrupted:
        summary["interrupted"] = True
    else:
        ledgers = close_ledgers(folder, planned.device, planned.costs, simulator.plant)
        ledgers.check()
        summary["energy_ledgers"] = ledgers.as_dict()
    write_layer_totals(layers, folder)
    write_json(folder / "summary.json", summary)
    if figures and not interrupted:
        from hwsim.report.run_figures import write_run_figures

        progress("figures", 0.0)
        write_run_figures(records)
    return summary


def _load_outputs(planned: Plan) -> tuple[LoadedNetwork | None, InStepExecution | None]:
    """Return the network with its data, and the in-step execution, where the scenario wants them."""
    scenario = planned.scenario
    if scenario.outputs == "none":
        return None, None
    wants = build_controller(scenario.controller.name, scenario.controller.options).needs_outputs
    from hwsim.outputs import InStepExecution, LoadedNetwork, PredictionCache

    data = scenario.streams[0].data
    assert data is not None  # the scenario's own rule where it wants outputs
    loaded = LoadedNetwork(planned.checkpoint, data)
    if wants or scenario.outputs == "in_step":
        return loaded, InStepExecution(loaded)
    if not PredictionCache(loaded).is_started:
        _ = loaded.network  # a network that cannot be loaded is refused before anything is simulated
    return loaded, None


def _load_values(planned: Plan, loaded: LoadedNetwork | None, in_step: InStepExecution | None) -> ValueCycles | None:
    """Return what counts cycles from values, where they depend on activations."""
    array = planned.device.array
    if loaded is None or not isinstance(array, ValueArray) or not array.reads_activations:
        return None
    from hwsim.value_cycles import ValueCycles, cycle_cache

    cache = cycle_cache(array, loaded)
    if not cache.is_started:
        _ = loaded.network  # as above
    return ValueCycles(array, loaded, begin=None if in_step is None else lambda inputs: in_step.run, cache=cache)
