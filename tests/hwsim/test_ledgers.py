"""Three ledgers of energy agree on every kind of run, and notice a single changed row."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Decision, Observation
from hwsim.errors import InvariantError
from hwsim.ledgers import Ledgers, close_ledgers
from hwsim.pipeline import Plan
from hwsim.plant.ambient import Ambient
from hwsim.plant.operating_points import OperatingPoint, OperatingPoints
from hwsim.plant.sensors import Sensor
from hwsim.plant.shutdown import Restart, Shutdown
from hwsim.plant.time_series import PiecewiseLinear
from hwsim.records import recorder as recorder_module
from hwsim.records.recorder import RecordedStream, Recorder
from hwsim.simulation.arrivals import PeriodicArrivals
from hwsim.simulation.setup import Setup
from hwsim.simulation.simulator import Simulator

MICROSECOND = 1_000_000
SECOND = 10**12
VOLTAGES = OperatingPoints(
    points=(
        OperatingPoint(frequency_hertz=200_000_000, voltage_volts=1.0),
        OperatingPoint(frequency_hertz=125_000_000, voltage_volts=0.9),
        OperatingPoint(frequency_hertz=50_000_000, voltage_volts=0.7),
    )
)


@dataclass
class Recorded:
    """A simulation whose tables are on disk."""

    folder: Path
    setup: Setup
    simulator: Simulator

    def ledgers(self) -> Ledgers:
        return close_ledgers(
            self.folder, self.setup.device, {"camera": self.setup.streams[0].costs}, self.simulator.plant
        )


@pytest.fixture
def recorded(make_setup: Callable[..., Setup], tmp_path: Path) -> Callable[..., Recorded]:
    def run(controller: Any, **changes: Any) -> Recorded:
        setup = make_setup(controller, **changes)
        recorder = Recorder(
            tmp_path,
            [RecordedStream(name="camera", graph=setup.streams[0].graph, costs=setup.streams[0].costs)],
            setup.device.thermal_network.nodes,
        )
        simulator = Simulator(setup, [recorder])
        simulator.run()
        recorder.close()
        recorder.write_frames({}, labelled=False)
        return Recorded(tmp_path, setup, simulator)

    return run


@pytest.fixture
def restless(scripted: Any, graph: LayerGraph) -> Any:
    """A controller that changes bits and clock at every look, 7.3 us apart."""

    def script(observation: Observation, generator: Any) -> Decision:
        turn = observation.time_picoseconds // 7_300_000
        clock = (200, 50, 125, 125)[turn % 4] * 10**6
        return Decision(widths=graph.uniform((8, 2, 4)[turn % 3]), frequency_hertz=clock, reason="restless")

    return scripted(script=script, wakes_on=frozenset({"tick"}), tick_picoseconds=7_300_000)


def test_they_agree_when_nothing_changes(recorded: Any, scripted: Any) -> None:
    ledgers = recorded(scripted(wakes_on=frozenset())).ledgers()
    assert ledgers.records_joules == pytest.approx(ledgers.plant_joules, rel=1e-9, abs=0)
    assert ledgers.heat_joules == pytest.approx(ledgers.plant_joules, rel=1e-9, abs=0)
    ledgers.check()


@pytest.mark.parametrize("rows_in_memory", [7, 1 << 15])
def test_they_agree_with_decisions_and_clocks_and_voltages_that_change_in_mid_layer(
    recorded: Any, restless: Any, rows_in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "ROWS_IN_MEMORY", rows_in_memory)
    run = recorded(
        restless, arrivals=PeriodicArrivals(period=40 * MICROSECOND), device_changes={"operating_points": VOLTAGES}
    )
    run.ledgers().check()
    scales = pq.read_table(run.folder / "layers.parquet")["dynamic_energy_scale"].to_pylist()
    assert any(0.5 < scale < 1.0 for scale in scales)


def test_they_agree_while_the_air_warms_and_the_device_throttles(recorded: Any, restless: Any) -> None:
    run = recorded(
        replace(restless, tick_picoseconds=SECOND // 3),
        arrivals=PeriodicArrivals(period=SECOND),
        duration_picoseconds=40 * SECOND,
        telemetry_picoseconds=SECOND,
        ambient=Ambient(series=PiecewiseLinear(points=((0, 70.0), (5 * SECOND, 75.0), (30 * SECOND, 140.0)))),
        initial_state="steady_idle",
    )
    run.ledgers().check()
    caps = pq.read_table(run.folder / "telemetry.parquet")["throttle_cap_hertz"].to_pylist()
    assert min(caps) < 200_000_000


def test_changes_of_the_clock_are_paid_for(recorded: Any, restless: Any, small_plan: Plan) -> None:
    energy = 3e-6
    free, paid = (
        recorded(
            restless, arrivals=PeriodicArrivals(period=40 * MICROSECOND), device_changes={"transition": transition}
        )
        for transition in (
            small_plan.device.transition,
            replace(small_plan.device.transition, energy_joules=energy),
        )
    )
    paid.ledgers().check()
    changes = sum(pq.read_table(paid.folder / "telemetry.parquet")["clock_changes"].to_pylist())
    assert changes > 20
    assert paid.ledgers().plant_joules - free.ledgers().plant_joules == pytest.approx(changes * energy, rel=1e-4)
    dearer = replace(paid.setup.device.transition, energy_joules=3.001e-6)
    paid.setup = replace(paid.setup, device=replace(paid.setup.device, transition=dearer))
    with pytest.raises(InvariantError, match="records"):
        paid.ledgers().check()


def test_they_agree_when_the_device_switches_itself_off_and_on_amid_its_work(
    recorded: Any, restless: Any, nimble: Any
) -> None:
    air = ((0, 30.0), (150, 30.0), (151, 90.0), (200, 90.0), (201, 30.0))
    run = recorded(
        restless,
        arrivals=PeriodicArrivals(period=40 * MICROSECOND),
        inputs_per_frame=4,
        ambient=Ambient(series=PiecewiseLinear(points=tuple((time * MICROSECOND, celsius) for time, celsius in air))),
        device_changes={
            "sensor": Sensor(period_picoseconds=7 * MICROSECOND),
            "operating_points": VOLTAGES,
            "thermal_network": nimble,
            "shutdown": Shutdown(
                temperature_celsius=60.0, restart=Restart(temperature_celsius=40.0, boot_picoseconds=20 * MICROSECOND)
            ),
        },
    )
    run.ledgers().check()
    states = pq.read_table(run.folder / "telemetry.parquet")["power_state"].to_pylist()
    assert {"on", "booting", "shut_down"} == set(states)
    statuses = pq.read_table(run.folder / "frames.parquet")["status"].to_pylist()
    assert {"aborted", "dropped_queue"} <= set(statuses)


def rewritten(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    path = folder / "layers.parquet"
    table = pq.read_table(path)
    pq.write_table(change(table).cast(table.schema), path)


def with_row(table: pa.Table, row: int, column: str, value: Any) -> pa.Table:
    values = table[column].to_pylist()
    assert values[row] != value
    values[row] = value
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: with_row(table, 3, "weight_bits", 4),
        lambda table: with_row(table, 3, "activation_bits", 2),
        lambda table: with_row(table, 3, "next_activation_bits", 4),
        lambda table: with_row(table, 13, "norm_reload", True),
        lambda table: with_row(table, 3, "dynamic_energy_scale", 0.999),
        lambda table: table.filter(pc.not_equal(pa.array(range(len(table))), 5)),
        lambda table: pa.concat_tables([table, table.slice(5, 1)]),
    ],
    ids=["weight bits", "activation bits", "drain bits", "norm reload", "voltage", "row lost", "row twice"],
)
def test_a_single_changed_row_breaks_them(recorded: Any, scripted: Any, change: Any) -> None:
    run = recorded(scripted())
    run.ledgers().check()
    rewritten(run.folder, change)
    with pytest.raises(InvariantError, match="energy ledgers disagree: records") as caught:
        run.ledgers().check()
    assert caught.value.exit_code == 3


def test_a_decision_that_was_not_paid_for_breaks_them(recorded: Any, scripted: Any, small_plan: Plan) -> None:
    run = recorded(scripted())
    dearer = replace(small_plan.device.decision, energy_joules=6.001e-5)
    run.setup = replace(run.setup, device=replace(run.setup.device, decision=dearer))
    with pytest.raises(InvariantError, match="records"):
        run.ledgers().check()


@pytest.mark.parametrize(
    ("records", "heat", "blamed"),
    [(2.0 + 3e-9, 2.0, "records"), (2.0, 2.0 - 3e-9, "heat"), (math.nan, 2.0, "records"), (2.0, math.nan, "heat")],
)
def test_the_ledger_that_differs_is_named(records: float, heat: float, blamed: str) -> None:
    with pytest.raises(InvariantError, match=f"disagree: {blamed}"):
        Ledgers(records_joules=records, plant_joules=2.0, heat_joules=heat).check()


def test_rounding_is_tolerated() -> None:
    Ledgers(records_joules=2.0 + 1e-9, plant_joules=2.0, heat_joules=2.0 - 1e-9).check()
