"""Executions that take fewer array cycles than their bound, in simulations without a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Decision, Observation
from hwsim.cost.arrays.valued import Loom
from hwsim.errors import InvariantError
from hwsim.ledgers import close_ledgers
from hwsim.plant.plant import Plant
from hwsim.records.recorder import RecordedStream, Recorder
from hwsim.simulation.arrivals import PeriodicArrivals
from hwsim.simulation.events import LayerIssued
from hwsim.simulation.schedule import build_schedule
from hwsim.simulation.setup import Setup, Values
from hwsim.simulation.simulator import Simulator
from hwsim.simulation.valued_rows import ValuedRows

MICROSECOND = 1_000_000
ARRAY = Loom(lanes=8, columns=4, rows=4, tiles=2)


@pytest.fixture(scope="module")
def setup(make_setup: Callable[..., Setup], scripted: Any, graph: LayerGraph) -> Setup:
    """Frames on an array of values, whose bits and clock change at every look, 7.3 us apart."""

    def script(observation: Observation, generator: Any) -> Decision:
        turn = observation.time_picoseconds // 7_300_000
        clock = (200, 50, 125, 125)[turn % 4] * 10**6
        return Decision(widths=graph.uniform((8, 2, 4)[turn % 3]), frequency_hertz=clock, reason="restless")

    return make_setup(
        scripted(script=script, wakes_on=frozenset({"tick"}), tick_picoseconds=7_300_000),
        arrivals=PeriodicArrivals(period=400 * MICROSECOND),
        deadline_picoseconds=10**9,
        duration_picoseconds=2000 * MICROSECOND,
        device_changes={"array": ARRAY},
    )


def share_of_bound(setup: Setup, share: Callable[[], float]) -> Callable[[LayerIssued], int]:
    """Return the cycles of an array that takes such shares of its bound."""
    costs = setup.streams[0].costs

    def cycles(issued: LayerIssued) -> int:
        at = tuple(map(costs.width_index, issued.widths))
        return max(1, int(costs.compute_cycles[issued.position, *at] * share()))

    return cycles


def recorded(setup: Setup, folder: Path, array_cycles: Callable[[LayerIssued], int]) -> Simulator:
    nodes = setup.device.thermal_network.nodes
    recorder = Recorder(
        folder, [RecordedStream(name="camera", graph=setup.streams[0].graph, costs=setup.streams[0].costs)], nodes
    )
    simulator = Simulator(setup, [recorder], [Values(array_cycles=array_cycles)])
    simulator.run()
    recorder.close()
    recorder.write_frames({}, labelled=False)
    return simulator


def test_ledgers_agree_while_bits_clocks_and_cycles_change_and_notice_one_wrong_row(
    setup: Setup, tmp_path: Path
) -> None:
    random = np.random.default_rng(1)
    simulator = recorded(setup, tmp_path, share_of_bound(setup, lambda: float(random.uniform(0.2, 1.0))))
    close_ledgers(tmp_path, setup.device, {"camera": setup.streams[0].costs}, simulator.plant).check()
    path = tmp_path / "layers.parquet"
    table = pq.read_table(path)
    clocks = np.array(table["cycles"]) / (np.array(table["finish_picoseconds"]) - np.array(table["start_picoseconds"]))
    assert len(set((clocks * 1e6).round(2).tolist())) > 3  # some layers ran at two clocks
    cycles = table["array_cycles"].to_pylist()
    cycles[3] -= 1
    place = table.schema.get_field_index("array_cycles")
    changed = table.set_column(place, table.schema.field(place), pa.array(cycles, pa.int64()))
    pq.write_table(changed, path)
    with pytest.raises(InvariantError, match="energy ledgers disagree: records"):
        close_ledgers(tmp_path, setup.device, {"camera": setup.streams[0].costs}, simulator.plant).check()


def test_less_work_is_done_sooner_for_less_energy(setup: Setup, tmp_path: Path) -> None:
    (stream,) = setup.streams
    controller: Any = stream.controller
    idle = dataclasses.replace(controller, wakes_on=frozenset())
    calm = dataclasses.replace(setup, streams=(dataclasses.replace(stream, controller=idle),))
    found = []
    for share in (1.0, 0.6, 0.3):
        folder = tmp_path / str(share)
        folder.mkdir()
        simulator = recorded(calm, folder, share_of_bound(calm, lambda share=share: share))
        frames = pq.read_table(folder / "frames.parquet")
        found.append((frames["finish_picoseconds"][0].as_py(), sum(frames["energy_joules"].to_pylist())))
        close_ledgers(folder, calm.device, {"camera": calm.streams[0].costs}, simulator.plant).check()
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 3
    bounds = pq.read_table(tmp_path / "1.0" / "layers.parquet")
    energies = calm.streams[0].costs.energy_joules.reshape(-1).tolist()
    assert all(energy in energies for energy in bounds["energy_joules"].to_pylist())  # the table's own


@pytest.mark.parametrize("cycles", [0, -5, 10**9])
def test_cycles_beyond_the_bound_break_the_run(setup: Setup, cycles: int) -> None:
    with pytest.raises(InvariantError, match=rf"layer 0 of frame 0 takes {cycles} array cycles: expected 1 to") as told:
        Simulator(setup, [], [Values(array_cycles=lambda issued: cycles)]).run()
    assert told.value.exit_code == 3


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_follow_the_law_of_cycles_and_energy(setup: Setup, data: st.DataObject) -> None:
    """max(cycles, everything else) at each clock; of what shrinks, the share that is left; each pair once."""
    costs, device = setup.streams[0].costs, setup.device
    plant, schedule = (
        Plant(device.plant_parameters([costs], setup.ambient)),
        build_schedule(setup.streams[0].graph, costs),
    )
    asked: list[int] = []
    rows = ValuedRows(costs, device.energy_table, schedule, plant, lambda issued: asked[-1])
    issued = LayerIssued(0, 0, (8, 8), (8, 8))
    known: dict[tuple[int, int], int] = {}
    for _ in range(4):
        row = data.draw(st.integers(0, costs.rows - 1))
        bound = int(np.broadcast_to(costs.compute_cycles[..., None, None], costs.energy_joules.shape).flat[row])
        asked.append(data.draw(st.integers(1, bound)))
        found = rows.row(row, issued)
        assert known.setdefault((row, asked[-1]), found) == found
        assert found == row if asked[-1] == bound else found >= costs.rows
        other = costs.other_cycles.reshape(len(costs.frequencies_hertz), -1)[:, row]
        assert [each[found] for each in schedule.cycles] == [max(asked[-1], cycles) for cycles in other.tolist()]
        assert schedule.array_cycles[found] == asked[-1]
        joules = 0.0
        for action, counts in costs.counts.items():
            shrinks = costs.cycle_counts.get(action, np.zeros_like(counts)).flat[row]
            left = counts.flat[row] - shrinks + shrinks * asked[-1] / bound
            joules += left * device.energy_table.joules_per_action(action)
        assert schedule.energies_joules[found] == pytest.approx(joules, rel=1e-9)


def test_a_plant_takes_rows_while_it_runs(setup: Setup) -> None:
    parameters = setup.device.plant_parameters([setup.streams[0].costs], setup.ambient)
    columns = parameters.energy_rows_joules.shape[1]
    plant, given = Plant(parameters), len(parameters.energy_rows_joules)
    more = range(1, 2 * given)  # more than double
    rows = [plant.add_row(np.full(columns, joules * 1e-6)) for joules in more]
    assert rows == list(range(given, given + len(more)))
    before = parameters.energy_rows_joules.copy()
    plant.record(rows[4], 10**9)
    plant.record(rows[-1], 10**9)
    plant.advance_to(2 * 10**9)
    idle = Plant(parameters)
    idle.record(0, 2 * 10**9)
    idle.advance_to(2 * 10**9)
    added = (5 + len(rows)) * 1e-6 * columns
    assert plant.plant_energy_joules - idle.plant_energy_joules == pytest.approx(added, rel=1e-3)
    assert (parameters.energy_rows_joules == before).all()
    with pytest.raises(InvariantError, match=r"expected 0 J or more in each column"):
        plant.add_row(np.full(columns, -1e-9))
