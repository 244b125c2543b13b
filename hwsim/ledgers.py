"""Three ledgers of the energy of a run, four with a battery, from separate state, that must agree.

1. Records: action counts, re-summed from the written layer rows, times the energy table; plus the decisions,
   changes of clock, constant power, other loads and leakage that telemetry holds; less what idle states save, plus
   what they cost.
2. Plant: power times time.
3. Heat: stored in the nodes, gone to ambient (an analytic integral of temperatures), and what warmed no node.
4. Battery: charge gone from its wells, and what was harvested, less what charging lost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hwsim.cost import CostTable
from hwsim.device import Device
from hwsim.errors import InvariantError
from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.plant.plant import Plant
from hwsim.plant.shutdown import POWERED
from hwsim.records.schema import MOVING, idle_columns
from hwsim.simulation.schedule import build_schedule

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgers:
    """Energy of the whole device over a run, in joules, by each ledger; ``battery_joules`` is ``None`` on the mains."""

    records_joules: float
    plant_joules: float
    heat_joules: float
    battery_joules: float | None = None
    battery_rounding_joules: float = 0.0
    """Of the charge held, which outweighs the energy of a short run from a large battery."""

    def as_dict(self) -> dict[str, float]:
        """Return the ledgers as JSON holds them."""
        given = asdict(self)
        del given["battery_rounding_joules"]
        return {name: joules for name, joules in given.items() if joules is not None}

    def check(self) -> None:
        """Check that they agree.

        Raises:
            InvariantError: Two differ by more than 1e-9 of the plant's.
        """
        for name, joules in self.as_dict().items():
            rounding = self.battery_rounding_joules if name == "battery_joules" else 0.0
            if not abs(joules - self.plant_joules) <= TOLERANCE * self.plant_joules + rounding:
                raise InvariantError(
                    f"energy ledgers disagree: {name.removesuffix('_joules')} {joules!r} J, plant "
                    f"{self.plant_joules!r} J; this is a fault of the simulator, please report the scenario"
                )


def close_ledgers(folder: Path, device: Device, costs: Mapping[str, CostTable], plant: Plant) -> Ledgers:
    """Return the ledgers of a finished run whose tables are written.

    Args:
        folder: The run's folder.
        device: The device.
        costs: Stream -> cost table of its network.
        plant: The device's physics at the end.
    """
    dynamic = [_dynamic_joules(folder, stream, table, device) for stream, table in costs.items()]
    return Ledgers(
        records_joules=math.fsum(
            (*dynamic, _moved_joules(folder, device), _other_joules(folder, device), _idle_joules(folder, device))
        ),
        plant_joules=plant.plant_energy_joules,
        heat_joules=math.fsum((plant.heat_stored_joules, plant.heat_to_ambient_joules, plant.elsewhere_joules)),
        battery_joules=None if plant.supply is None else plant.supply.delivered_joules,
        battery_rounding_joules=0.0 if plant.supply is None else plant.supply.rounding_joules,
    )


def _dynamic_joules(folder: Path, stream: str, costs: CostTable, device: Device) -> float:
    """Return counts times table, over every layer row of a stream; less what values let the array skip."""
    schedule = build_schedule(costs.graph, costs)
    executions, array_cycles = np.zeros(costs.rows), np.zeros(costs.rows)
    names = {layer.name: position for position, layer in enumerate(costs.graph.layers)}
    columns = [
        "layer", "weight_bits", "activation_bits", "next_activation_bits", "norm_reload", "planes_fetched",
        "dynamic_energy_scale", "array_cycles",
    ]  # fmt: skip
    for whole in pq.ParquetFile(folder / "layers.parquet").iter_batches(columns=[*columns, "stream", "purpose"]):
        executed = pc.invert(pc.is_in(whole.column("purpose"), value_set=pa.array(MOVING)))
        batch = whole.filter(pc.and_(executed, pc.equal(whole.column("stream"), stream)))
        layer = batch.column("layer").dictionary_encode()
        positions = np.array([names[name] for name in layer.dictionary.to_pylist()], np.int64)[layer.indices.to_numpy()]
        keys = np.stack([
            positions,
            *(batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64) for name in columns[1:6]),
        ])  # fmt: skip
        sizes = tuple((keys.max(axis=1, initial=0) + 1).tolist())
        codes, which = np.unique(np.ravel_multi_index(tuple(keys), sizes), return_inverse=True)
        distinct = np.stack(np.unravel_index(codes, sizes))
        scales = batch.column("dynamic_energy_scale").to_numpy()
        weights = np.bincount(which.reshape(-1), weights=scales)
        worked = np.bincount(which.reshape(-1), weights=scales * batch.column("array_cycles").to_numpy())
        for (position, weight, activation, following, reload, fetched), times, cycles in zip(
            distinct.T.tolist(), weights, worked, strict=True
        ):
            missing = fetched - schedule.planes.streamed[position][weight]
            row = schedule.row(
                position, (weight, activation), following, norm_reload=bool(reload), missing_planes=missing
            )
            executions[row] += times
            array_cycles[row] += cycles
    skipped = executions - array_cycles / np.maximum(schedule.array_cycles, 1)  # some work is the vector unit's alone
    totals = {action: float(counts.reshape(-1) @ executions) for action, counts in costs.counts.items()}
    for action, counts in costs.cycle_counts.items():
        totals[action] -= float(counts.reshape(-1) @ skipped)
    return math.fsum(total * device.energy_table.joules_per_action(action) for action, total in totals.items())


def _moved_joules(folder: Path, device: Device) -> float:
    """Return the energy of the tensors that left the chip with preempted frames, and returned."""
    columns = ["dram_bits", "dynamic_energy_scale"]
    moved = pq.read_table(folder / "layers.parquet", columns=columns, filters=pc.field("purpose").isin(MOVING))
    bits = moved["dram_bits"].to_numpy() * moved["dynamic_energy_scale"].to_numpy()
    return math.fsum(bits) * device.energy_table.joules_per_action("dram_bit")


def _other_joules(folder: Path, device: Device) -> float:
    """Return constant power, leakage, other loads, decisions and changes of the operating point over the run."""
    columns = ["time_picoseconds", "leakage_watts", "co_running_watts", "decisions", "clock_changes", "power_state"]
    telemetry = pq.read_table(folder / "telemetry.parquet", columns=columns)
    periods = np.diff(telemetry["time_picoseconds"].to_numpy())
    seconds = periods / PICOSECONDS_PER_SECOND
    leaked, others = (
        math.fsum(telemetry[name].to_numpy()[1:] * seconds) for name in ("leakage_watts", "co_running_watts")
    )
    powered = pc.is_in(telemetry["power_state"], value_set=pa.array(POWERED)).to_numpy()[:-1]
    constant = math.fsum(device.constant_powers_watts) * (int(periods[powered].sum()) / PICOSECONDS_PER_SECOND)
    decided = int(telemetry["decisions"].to_numpy().sum()) * device.decision.energy_joules
    changed = int(telemetry["clock_changes"].to_numpy().sum()) * device.transition.energy_joules
    return math.fsum((constant, leaked, others, decided, changed))


def _idle_joules(folder: Path, device: Device) -> float:
    """Return the transitions of idle states, less the constant power that was not drawn in them."""
    parts = []
    for state in device.idle_states:
        columns = idle_columns(state.name)
        telemetry = pq.read_table(folder / "telemetry.parquet", columns=["time_picoseconds", *columns])
        time, share, entries, exits = (telemetry[name].to_numpy() for name in ("time_picoseconds", *columns))
        seconds = math.fsum(share[1:] * (np.diff(time) / PICOSECONDS_PER_SECOND))
        saved_watts = math.fsum(device.constant_powers_watts) - math.fsum(state.constant_powers_watts)
        parts += [
            int(entries.sum()) * state.entry.energy_joules, int(exits.sum()) * state.exit.energy_joules,
            -saved_watts * seconds,
        ]  # fmt: skip
    return math.fsum(parts)
