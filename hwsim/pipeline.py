"""The data flow on one page: read it first.

scenario -> device + layer graph -> cost table -> simulation <-> controller -> realised assignments
         -> execution of the real network -> records -> ledgers -> metrics -> figures
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim import metrics
from hwsim.cost.arrays import ArrayModel, ValueArray
from hwsim.errors import InvariantError
from hwsim.layer_statistics import layer_statistics
from hwsim.ledgers import close_ledgers
from hwsim.planning import Plan, PlannedStream, plan
from hwsim.records.folder import (
    clear,
    require_usable,
    run_folder,
    write_json,
    write_layer_totals,
    write_manifest,
)
from hwsim.records.live import LiveRecord
from hwsim.records.recorder import RecordedLearner, RecordedStream, Recorder
from hwsim.records.store import RunFolder
from hwsim.records.streams import streams_of
from hwsim.setting_up import simulation_setup
from hwsim.simulation.events import FrameEnded, Observer, OfStream, Widths
from hwsim.simulation.lane import Frame
from hwsim.simulation.setup import Values
from hwsim.simulation.simulator import Simulator

if TYPE_CHECKING:
    from hwsim.field_learning import FieldLearning
    from hwsim.outputs import Answers, InStepExecution, LoadedNetwork, Predictions
    from hwsim.value_cycles import ValueCycles

__all__ = ["Plan", "Progress", "plan", "run", "run_folder"]

Progress = Callable[[str, float], None]
OBJECTS_UNTIL_COLLECTED = 200_000
"""New objects after which Python looks for garbage in a simulation; see ``_seldom_collected``."""
VIRTUAL_INPUTS = 1 << 16
"""Size of the test split where a scenario wants no outputs and so has no data."""


def run(
    planned: Plan, folder: Path, *, figures: bool = True, progress: Progress = lambda stage, share: None
) -> dict[str, Any]:
    """Simulate, compute the outputs, write the records into ``folder`` and return the summary.

    ``figures`` asks for what people look at: figures, timeline and page.

    Interrupted, it keeps the frames that were finished and says so in the summary (``interrupted``); so it does where
    a law is broken or a controller fails, before the error goes on (``failed``).

    Raises:
        ControllerError: The controller failed, and the scenario names no safe widths.
        InvariantError: A law that must always hold was broken.
        ConfigurationError: ``folder`` holds something that is not a run.
    """
    require_usable(folder)
    told = {
        "scenario": planned.scenario.name,
        "controller": planned.controller,
        "duration_seconds": planned.scenario.duration_picoseconds / 1e12,
    }
    with LiveRecord(folder, told, [stream.checkpoint.graph for stream in planned.streams]) as live:
        return _run(planned, folder, live, figures=figures, progress=live.joined(progress))


def _run(planned: Plan, folder: Path, live: LiveRecord, *, figures: bool, progress: Progress) -> dict[str, Any]:
    began = time.perf_counter()
    executions = [_Execution.of(planned, stream, folder) for stream in planned.streams]
    clear(folder)
    recorder = Recorder(
        folder, [each.recorded for each in executions], planned.device.thermal_network.nodes,
        battery=planned.device.battery is not None,
        idle_states=tuple(state.name for state in planned.device.idle_states), learner=_recorded_learner(planned),
    )  # fmt: skip
    simulator = Simulator(
        simulation_setup(planned, *(each.available_inputs for each in executions)),
        # The recorder comes last, so that a frame on record has its outputs.
        [*(each for at, execution in enumerate(executions) for each in execution.observers(at)), live, recorder],
        [each.values for each in executions],
    )
    interrupted, failure = _simulate(simulator, executions, recorder, progress)
    predictions = {frame: classes for each in executions for frame, classes in each.predictions.items()}
    for each in executions:
        each.keep()
    recorder.close()
    recorder.write_frames(predictions, labelled=bool(predictions))
    write_manifest(planned, folder, interrupted=interrupted)
    records = RunFolder(folder)
    streams = streams_of(records)
    layers = [layer_statistics(stream, stream.graph) for stream in streams]
    summary = metrics.summarise_streams(records, streams, layers, wall_seconds=time.perf_counter() - began)
    if any(stream.stream.drift for stream in planned.streams):
        summary["accuracy_by_data"] = metrics.accuracy_by_data(records)
    if planned.learning is not None:
        samples = sum(each.samples for each in executions)
        summary["learning"] = metrics.learning_metrics(records, planned.learning.name, samples)
    if failures := [each for control in simulator.controls for each in control.failures]:
        summary["controller_failures"] = failures
    if failure is not None:
        summary["failed"] = str(failure)
    elif interrupted:
        summary["interrupted"] = True
    else:
        costs = {stream.stream.name: stream.costs for stream in planned.streams}
        if planned.learning is not None:
            costs[planned.learning.name] = planned.learning.costs
        ledgers = close_ledgers(folder, planned.device, costs, simulator.plant)
        ledgers.check()
        summary["energy_ledgers"] = ledgers.as_dict()
    write_layer_totals({stream.name: each for stream, each in zip(streams, layers, strict=True)}, folder)
    write_json(folder / "summary.json", summary)
    if failure is not None:
        raise failure
    if figures and not interrupted:
        from hwsim.report.page import write_page
        from hwsim.report.run_figures import write_run_figures
        from hwsim.report.timeline import write_timeline

        progress("figures", 0.0)
        write_run_figures(records)
        progress("timeline", 0.5)
        write_timeline(records)
        progress("page", 0.8)
        write_page(records)
    return summary


def _simulate(
    simulator: Simulator, executions: Sequence[_Execution], recorder: Recorder, progress: Progress
) -> tuple[bool, InvariantError | None]:
    """Run the simulation and the outputs of what it ran; return whether that was interrupted, and what failed."""
    failure = None
    try:
        try:
            with _seldom_collected():
                simulator.run(lambda share: progress("simulating", share))
        except InvariantError as error:
            failure = error
        for at, each in enumerate(executions):
            ran = [frame for frame in recorder.frames if frame.stream == at]
            each.predict(ran, recorder.steps, lambda share: progress("outputs", share))
    except KeyboardInterrupt:
        return True, failure
    return False, failure


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Look for cycles of garbage seldom: a simulation keeps millions of events and makes next to no cycles."""
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_UNTIL_COLLECTED, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(kw_only=True)
class _Execution:
    """The real network of one stream, as far as the scenario wants it.

    Attributes:
        stream: The stream.
        loaded: Its network with each data set that it has in the course of time; none without outputs.
        in_step: Runs it within the simulation, where that is wanted.
        counting: Counts cycles from its values, where they depend on activations.
        answers: Tell what it answers under other widths, on each data set, where the controller makes probes.
        learning: Lets it learn, if it does.
        predictions: Frame -> predicted classes.
    """

    stream: PlannedStream
    loaded: tuple[LoadedNetwork, ...] = ()
    in_step: InStepExecution | None = None
    counting: ValueCycles | None = None
    answers: tuple[Answers, ...] = ()
    learning: FieldLearning | None = None
    predictions: Predictions

    @classmethod
    def of(cls, planned: Plan, stream: PlannedStream, folder: Path) -> _Execution:
        """Return it ready to run: a network that cannot be loaded is refused before anything is simulated."""
        loaded, in_step = _load_outputs(planned, stream)
        return cls(
            stream=stream, loaded=loaded, in_step=in_step,
            counting=_load_values(planned.device.array, loaded[0] if loaded else None, in_step),
            answers=_load_answers(stream, loaded), learning=_load_learning(planned, stream, loaded, folder),
            predictions={} if in_step is None else in_step.predictions,
        )  # fmt: skip

    @property
    def available_inputs(self) -> int:
        """Size of the test split."""
        return len(self.loaded[0].labels) if self.loaded else VIRTUAL_INPUTS

    @property
    def recorded(self) -> RecordedStream:
        """What records say of it."""
        return RecordedStream(
            name=self.stream.stream.name,
            graph=self.stream.checkpoint.graph,
            costs=self.stream.costs,
            data=self.stream.stream.data_over_time,
            labels=self.loaded[0].labels if self.loaded else None,
        )

    @property
    def values(self) -> Values:
        """What the simulation takes from it."""
        values = Values(array_cycles=self.counting)
        if self.in_step is not None:
            values = replace(values, confidences=self.in_step.take_confidences)
        return replace(values, agreement=self._agreement) if self.answers else values

    def observers(self, at: int) -> list[Observer]:
        """Return what follows the frames of the stream at this position."""
        return [OfStream(each, at) for each in (self.in_step, self.counting) if each is not None]

    @property
    def samples(self) -> int:
        """Inputs that the network has learned from."""
        return 0 if self.learning is None else self.learning.samples

    def predict(
        self, frames: Sequence[FrameEnded], steps: Sequence[FrameEnded], progress: Callable[[float], None]
    ) -> None:
        """Compute the predictions, unless that was done in step or is not wanted."""
        if self.in_step is not None:
            return
        if self.learning is not None:
            self.predictions = self.learning.predictions(frames, steps)
            return
        from hwsim.outputs import PredictionCache, lazy_predictions

        for at, loaded in enumerate(self.loaded):
            of_data = (each for each in frames if self._position(each) == at)
            cache = PredictionCache(loaded)
            self.predictions |= lazy_predictions(loaded, of_data, cache=cache, progress=progress)

    def keep(self) -> None:
        """Write to disk what other runs may use."""
        if self.counting is not None:
            self.counting.keep()
        for each in self.answers:
            each.keep()

    def _agreement(self, frame: Frame, own: tuple[Widths, ...], other: tuple[Widths, ...]) -> int:
        return self.answers[self._position(frame)].agreement(frame.inputs, own, other)

    def _position(self, frame: Frame | FrameEnded) -> int:
        """Return which of the data sets a frame has."""
        return self.stream.stream.data_over_time.position(frame.arrival_picoseconds)


def _load_outputs(planned: Plan, stream: PlannedStream) -> tuple[tuple[LoadedNetwork, ...], InStepExecution | None]:
    """Return the network with each of its data sets, and the in-step execution, where the scenario wants them."""
    if planned.scenario.outputs == "none":
        return (), None
    from hwsim.loading import loaded_network
    from hwsim.outputs import InStepExecution, PredictionCache

    drift = stream.stream.data_over_time
    loaded = tuple(loaded_network(stream.checkpoint, name) for name in drift.names)
    if stream.needs_outputs or planned.scenario.outputs == "in_step":
        return loaded, InStepExecution(loaded, drift)
    if not all(PredictionCache(each).is_started for each in loaded):
        loaded[0].require_ready()  # a network that cannot be loaded is refused before anything is simulated
    return loaded, None


def _load_answers(stream: PlannedStream, loaded: tuple[LoadedNetwork, ...]) -> tuple[Answers, ...]:
    """Return what probes compare, where the controller makes some."""
    if not stream.probes:
        return ()
    from hwsim.outputs import Answers, PredictionCache

    return tuple(Answers(each, PredictionCache(each)) for each in loaded)


def _load_learning(
    planned: Plan, stream: PlannedStream, loaded: tuple[LoadedNetwork, ...], folder: Path
) -> FieldLearning | None:
    """Return what lets the stream's network learn, if it does, and if its outputs are wanted."""
    if planned.learning is None or not loaded or stream is not planned.streams[planned.learning.stream]:
        return None
    from hwsim.field_learning import FieldLearning

    return FieldLearning(
        loaded=loaded[0], data=stream.stream.data_over_time, settings=planned.learning.settings, folder=folder,
        seed=planned.scenario.seed,
    )  # fmt: skip


def _recorded_learner(planned: Plan) -> RecordedLearner | None:
    learning = planned.learning
    if learning is None:
        return None
    return RecordedLearner(name=learning.name, stream=learning.stream, costs=learning.costs)


def _load_values(
    array: ArrayModel, loaded: LoadedNetwork | None, in_step: InStepExecution | None
) -> ValueCycles | None:
    """Return what counts cycles from values, where they depend on activations."""
    if loaded is None or not isinstance(array, ValueArray) or not array.reads_activations:
        return None
    from hwsim.value_cycles import ValueCycles, cycle_cache

    cache = cycle_cache(array, loaded)
    if not cache.is_started:
        loaded.require_ready()  # as above
    return ValueCycles(array, loaded, begin=None if in_step is None else lambda inputs: in_step.stepwise(), cache=cache)
