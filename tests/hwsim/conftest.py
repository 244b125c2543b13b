"""What tests of whole runs share: a small scenario, a scripted controller, and a log of what happened."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import LayerGraph
from hwsim import cli, pipeline
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.cost.memory import Buffers, Execution
from hwsim.device import DecisionCost, Device
from hwsim.plant.ambient import Ambient
from hwsim.plant.plant import Plant
from hwsim.plant.sensors import Sensor
from hwsim.plant.thermal import ThermalNetwork
from hwsim.simulation.arrivals import PeriodicArrivals
from hwsim.simulation.events import (
    DecisionTaken,
    FrameEnded,
    FrameStarted,
    LayerExecuted,
    LayerIssued,
    Observer,
    TelemetrySampled,
)
from hwsim.simulation.incoming import StreamSetup
from hwsim.simulation.setup import Setup
from hwsim.simulation.simulator import Simulator

BUFFERS = Buffers(weight_bits=700_000, activation_bits=300_000, output_bits=60_000, halves=2, burst_bits=64)
"""Room for all weights and many tensors of the small network."""
OF_STREAM = {field.name for field in dataclasses.fields(StreamSetup)}
SCENARIO = """\
schema_version: 1
name: bursty
profile: bismo_pynq_z1
duration: 60 ms
seed: 3
outputs: none
telemetry_period: 10 ms
queue: {capacity: 3, drop_expired: true}
streams:
  - name: camera
    network: resnet8_digits
    data: digits+noise0.3@1
    inputs_per_frame: 100
    deadline: 4 ms
    arrivals:
      kind: periodic
      period: 3 ms
      jitter: 200 us
      bursts: {first: 10 ms, every: 30 ms, length: 10 ms, period: 1 ms}
environment:
  ambient: {kind: constant, temperature: 30 degC}
controller: {name: hysteresis, options: {period_milliseconds: 1, calm_milliseconds: 5}}
"""


@pytest.fixture(scope="session", autouse=True)
def _private_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep predictions out of the user's cache, and torch on one thread, in subprocesses too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWSIM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def bursty(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a scenario whose bursts make frames wait, so that ``hysteresis`` switches in mid-frame."""
    path = tmp_path_factory.mktemp("scenario") / "bursty.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


@pytest.fixture
def write_scenario(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes the scenario with texts replaced, and returns its path."""

    def write(*changes: tuple[str, str], name: str = "s.yaml") -> str:
        text = SCENARIO
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Keep torch on one thread in this process."""
    import torch

    torch.set_num_threads(1)


Script = Callable[[Observation, np.random.Generator], Decision | None]


@dataclass
class Scripted:
    """A controller that does what a test says.

    Attributes:
        script: Called with each observation.
        start: Bits of all sites at the start, or their widths by name.
        seen: The observations.
    """

    script: Script = lambda observation, generator: None
    start: int | Mapping[str, BitWidths] = 8
    start_hertz: int | None = None
    wakes_on: frozenset[Wake] = frozenset({"layer"})
    tick_picoseconds: int = 1_000_000
    needs_outputs: bool = False
    seen: list[Observation] = field(default_factory=list)

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, None]:
        self.device, self.network = device, network
        widths = network.graph.uniform(self.start) if isinstance(self.start, int) else self.start
        return Decision(widths=widths, frequency_hertz=self.start_hertz, reason="start"), None

    def decide(
        self, observation: Observation, state: None, generator: np.random.Generator
    ) -> tuple[Decision | None, None]:
        self.seen.append(observation)
        return self.script(observation, generator), None


class Log(Observer):
    """Everything that a simulation told, by kind."""

    def __init__(self) -> None:
        self.started: list[FrameStarted] = []
        self.issued: list[LayerIssued] = []
        self.layers: list[LayerExecuted] = []
        self.frames: list[FrameEnded] = []
        self.decisions: list[DecisionTaken] = []
        self.telemetry: list[TelemetrySampled] = []

    def frame_started(self, event: FrameStarted) -> None:
        self.started.append(event)

    def layer_issued(self, event: LayerIssued) -> None:
        self.issued.append(event)

    def layer_executed(self, event: LayerExecuted) -> None:
        self.layers.append(event)

    def frame_ended(self, event: FrameEnded) -> None:
        self.frames.append(event)

    def decision_taken(self, event: DecisionTaken) -> None:
        self.decisions.append(event)

    def telemetry_sampled(self, event: TelemetrySampled) -> None:
        self.telemetry.append(event)

    def of_frame(self, frame: int) -> list[LayerExecuted]:
        """Return the layers of one frame, in the order of issue."""
        return [layer for layer in self.layers if layer.frame == frame]

    plant: Plant
    end: int


@pytest.fixture(scope="session")
def scripted() -> type[Scripted]:
    """The class of scripted controllers."""
    return Scripted


@pytest.fixture(scope="session")
def log_class() -> type[Log]:
    """The class of logs."""
    return Log


@pytest.fixture(scope="session")
def small_plan(bursty: str) -> pipeline.Plan:
    """The small network on the shipped device, one input to a frame."""
    return pipeline.plan(bursty, controller="static", sets=["streams.0.inputs_per_frame=1"])


@pytest.fixture(scope="session")
def graph(small_plan: pipeline.Plan) -> LayerGraph:
    """The small network."""
    return small_plan.streams[0].checkpoint.graph


@pytest.fixture(scope="session")
def nimble() -> ThermalNetwork:
    """The shipped device's nodes with hardly any heat capacity: they follow the air within nanoseconds."""
    return ThermalNetwork(
        nodes=("junction", "board"),
        capacities_joules_per_kelvin=np.array([1e-8, 1e-8]),
        conductances_watts_per_kelvin=np.array([[0.0, 10.0], [10.0, 0.0]]),
        ambient_conductances_watts_per_kelvin=np.array([0.0, 10.0]),
    )


@pytest.fixture(scope="session")
def make_setup(small_plan: pipeline.Plan) -> Callable[..., Setup]:
    """Return a function that sets up a simulation: decisions take no time, the sensor has no noise.

    Changes of a stream's fields are those of all its streams; ``others`` are streams beside the first, by what is
    different about them.
    """
    device = dataclasses.replace(
        small_plan.device,
        decision=DecisionCost(time_picoseconds=0, energy_joules=6e-5, column=0),
        sensor=Sensor(period_picoseconds=10**11),
    )

    def priced(device: Device, stream: StreamSetup) -> StreamSetup:
        costs, inputs = stream.costs, stream.inputs_per_frame
        same_array = device.array == small_plan.device.array
        if same_array and (device.frequencies_hertz, inputs) == (costs.frequencies_hertz, costs.inputs_per_frame):
            return stream
        return dataclasses.replace(stream, costs=device.cost_table(stream.graph, inputs))

    def make(
        controller: Any, *, device_changes: Mapping[str, Any] | None = None,
        others: Sequence[Mapping[str, Any]] = (), **changes: Any,
    ) -> Setup:  # fmt: skip
        stream = StreamSetup(
            name="camera",
            graph=small_plan.streams[0].checkpoint.graph,
            costs=small_plan.streams[0].costs,
            controller=controller,
            arrivals=PeriodicArrivals(period=100_000_000),
            inputs_per_frame=1,
            available_inputs=50,
            deadline_picoseconds=80_000_000,
        )
        of_stream = {name: changes.pop(name) for name in OF_STREAM & changes.keys()}
        setup = Setup(
            device=dataclasses.replace(device, **(device_changes or {})),
            streams=tuple(dataclasses.replace(stream, **(of_stream | other)) for other in (dict[str, Any](), *others)),
            ambient=Ambient.constant(30.0),
            queue_capacity=2,
            drop_expired=True,
            decisions="mid_frame",
            duration_picoseconds=300_000_000,
            telemetry_picoseconds=100_000_000,
            initial_state="ambient",
            seed=1,
        )
        setup = dataclasses.replace(setup, **changes)
        return dataclasses.replace(setup, streams=tuple(priced(setup.device, stream) for stream in setup.streams))

    return make


@pytest.fixture(scope="session")
def buffered(make_setup: Callable[..., Setup], graph: LayerGraph) -> Callable[..., dict[str, Any]]:
    """Return changes that give the device buffers, in which tensors and planes stay."""
    made: dict[tuple[str, str], dict[str, Any]] = {}

    def changes(overlap: Any = "ideal", requantise: Any = "on_drain") -> dict[str, Any]:
        if (overlap, requantise) not in made:
            of_device = {"buffers": BUFFERS, "execution": Execution(overlap=overlap, requantise=requantise)}
            device = make_setup(None, device_changes=of_device).device
            made[overlap, requantise] = {"device_changes": of_device, "costs": device.cost_table(graph, 1)}
        return made[overlap, requantise]

    return changes


@pytest.fixture(scope="session")
def simulate(make_setup: Callable[..., Setup]) -> Callable[..., Log]:
    """Return a function that simulates three frames of 100 us, or what its arguments change."""

    def run(controller: Any, **changes: Any) -> Log:
        log = Log()
        simulator = Simulator(make_setup(controller, **changes), [log])
        log.end = simulator.run()
        log.plant = simulator.plant
        return log

    return run


def _event_log(folder: Path) -> Iterator[str]:
    """Yield what happened, one line each; energies to nine digits, so that machines agree."""
    tables = {name: pq.read_table(folder / f"{name}.parquet").to_pylist() for name in ("frames", "layers", "decisions")}
    for row in tables["decisions"]:
        asked, effect = row["time_picoseconds"], row["effective_picoseconds"]
        yield f"{effect} decided at {asked} for frame {row['frame']} from {row['next_layer'] or '-'}: {row['reason']}"
    for row in tables["layers"]:
        bits = f"w{row['weight_bits']}a{row['activation_bits']}>{row['next_activation_bits']}"
        yield (
            f"{row['start_picoseconds']}-{row['finish_picoseconds']} frame {row['frame']} {row['layer']} {bits}"
            f"{' reload' if row['norm_reload'] else ''} {row['cycles']} cycles {row['dram_bits']} bits "
            f"{row['energy_joules']:.9g} J"
        )
    for row in tables["frames"]:
        yield (
            f"{row['finish_picoseconds']} frame {row['frame']} {row['status']}: arrived {row['arrival_picoseconds']} "
            f"due {row['deadline_picoseconds']} started {row['start_picoseconds']} "
            f"inputs {row['input_indices'][0]}..{row['input_indices'][-1]} {row['energy_joules']:.9g} J"
        )


@pytest.fixture(scope="session")
def against_golden() -> Callable[[Path, str], str]:
    """Return a function that compares all that happened in a run with a golden log, and returns it.

    After a wanted change of the simulation, write the logs anew with ``HWSIM_WRITE_GOLDEN=1`` in the environment of the
    tests that use this fixture, and read the diff.
    """

    def compare(folder: Path, name: str) -> str:
        found, golden = "\n".join(_event_log(folder)) + "\n", Path(__file__).parent / "golden" / f"{name}.txt"
        if os.environ.get("HWSIM_WRITE_GOLDEN"):
            golden.write_text(found, encoding="utf-8")
        assert found == golden.read_text(encoding="utf-8")
        return found

    return compare


@dataclass
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str

    def refused(self, *messages: str, code: int = 2) -> None:
        """Assert that the command failed with a clear error on stderr and nothing on stdout."""
        assert self.code == code, self
        assert self.err.startswith("error: ")
        assert "Traceback" not in self.err
        assert self.out == ""
        for message in messages:
            assert message in self.err


@pytest.fixture
def hwsim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Return a function that runs a command in this process; an error that the command line lets through is raised."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["hwsim", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            cli.main()
        said = capsys.readouterr()
        assert done.value.code is None or isinstance(done.value.code, int)
        return Answer(done.value.code or 0, said.out, said.err)

    return run
