"""What a run could have been worth: bounds that know what no controller can, and the distance to them.

A frame is worth the share of its answers that are right if it is on time, nothing otherwise, less a weight on its
energy in parts of that at the most bits: what rules that learn are told (``RewardOptions``), but with true labels. It
is compared with what each rung of a ladder (all uniform widths unless told otherwise) would have answered on the very
same inputs.

- ``best_rung``: one rung for the whole run, chosen in hindsight.
- ``informed``: for each data set that the stream had, the rung that is worth most on average: who knows the world's
  accuracies, but not the luck of single inputs. The regret of a rule that learns is counted against it.
- ``clairvoyant``: for each frame the rung that is worth most on its inputs, within the time that the array has. No rule
  on this ladder can be worth more, luck included.

All three leave heat and waiting out, so they may be beyond what the device can do: they are bounds from above. Two more
count in that time passes and that the device warms and throttles itself (``hwsim.oracle`` has the proof):

- ``informed_on_device``, ``clairvoyant_on_device``: the same knowledge, and the best that the device allows with it.
  ``shortfall`` is what a run lost against the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.attainable import Machine, machine
from hwsim.controllers.actions import Ladder, LadderOptions, build_ladder
from hwsim.controllers.base import NetworkView
from hwsim.errors import RecordsError
from hwsim.layer_statistics import PROBE
from hwsim.loading import loaded_network
from hwsim.metrics import COMPLETED
from hwsim.outputs import Answers, LoadedNetwork, PredictionCache
from hwsim.planning import Plan, plan
from hwsim.records.store import RunFolder
from hwsim.records.streams import StreamTables, streams_of
from hwsim.simulation.control import device_view

FloatArray = NDArray[np.float64]
UNIFORM = LadderOptions()
"""All uniform widths of the network."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Worths:
    """What the n frames of a stream were worth, and could have been.

    Attributes:
        stream: Name of the stream.
        arrivals_seconds: [n].
        realised: [n]; the energy of probes is spread over all frames.
        rungs: [n, K] had the frame been on time at each rung, from the most bits to the fewest.
        data: [n] position of the frame's data set among those that the stream had.
        seconds: [K] time of a frame at the fastest clock.
        available_seconds: Time that the array had.
        deadlines_seconds: [n].
        machine: What the device allows the rungs.
    """

    stream: str
    arrivals_seconds: FloatArray
    realised: FloatArray
    rungs: FloatArray
    data: NDArray[np.intp]
    seconds: FloatArray
    available_seconds: float
    deadlines_seconds: FloatArray
    machine: Machine

    @property
    def best_rung(self) -> FloatArray:
        """[n] The rung that is worth most over the whole run."""
        return np.asarray(self.rungs[:, self.rungs.mean(axis=0).argmax()])

    @property
    def informed(self) -> FloatArray:
        """[n] The rung that is worth most on the frame's data set on average."""
        return np.asarray(self.rungs[np.arange(len(self.rungs)), self._means.argmax(axis=1)[self.data]])

    @property
    def clairvoyant(self) -> float:
        """Mean worth per frame of the best choice for each, within the array's time.

        That is a multiple-choice knapsack; its linear relaxation is solved, which is above the whole-numbered optimum
        by no more than one frame's worth in n (with one budget one frame at the most is split between two rungs: P.
        Sinha and A. Zoltners, "The multiple-choice knapsack problem", Operations Research 27(3), 1979).
        """
        best = self.rungs.max(axis=1)
        if self.seconds[self.rungs.argmax(axis=1)].sum() <= self.available_seconds:
            return float(best.mean())
        return self._within_time()

    @property
    def regret(self) -> FloatArray:
        """[n] Worth lost against ``informed``, summed from the first frame on."""
        return np.cumsum(self.informed - self.realised)

    @cached_property
    def informed_on_device(self) -> float:
        """Bound on the mean worth per frame of who knows each rung's mean worth on each data set.

        It is one of expectations: a run may exceed it by the luck of its inputs.
        """
        return self._on_device(self._means[self.data])

    @cached_property
    def clairvoyant_on_device(self) -> float:
        """Bound on the mean worth per frame of who knows every answer."""
        return self._on_device(self.rungs)

    @property
    def shortfall(self) -> float:
        """Mean worth per frame that was lost against ``informed_on_device``."""
        return self.informed_on_device - float(self.realised.mean())

    @property
    def _means(self) -> FloatArray:
        """[data sets, K]."""
        return np.array([self.rungs[self.data == each].mean(axis=0) for each in range(self.data.max() + 1)])

    def _on_device(self, worth: FloatArray) -> float:
        allowed = float((self.deadlines_seconds - self.arrivals_seconds).max())
        return self.machine.bound(worth, self.deadlines_seconds, allowed)

    def _within_time(self) -> float:
        """Minimise the dual over the price of a second: its minimum is the relaxation's optimum."""
        from scipy.optimize import minimize_scalar

        def dual(price: float) -> float:
            return float(np.max(self.rungs - price * self.seconds, axis=1).sum() + price * self.available_seconds)

        spans = np.ptp(self.rungs, axis=1).max() / np.abs(np.diff(np.sort(self.seconds))).min()
        found = minimize_scalar(dual, bounds=(0.0, float(spans)), method="bounded", options={"xatol": 1e-9 * spans})
        return float(found.fun) / len(self.rungs)


def worths(folder: Path, *, energy_weight: float = 0.02, ladder: LadderOptions = UNIFORM) -> list[Worths]:
    """Return what the frames of each stream of a run were worth.

    Args:
        folder: A run folder, with outputs.
        energy_weight: What all energy of a frame at the most bits is worth, in parts of a right answer.
        ladder: What could have been chosen.

    Raises:
        RecordsError: The run has no outputs or no frames.
        ConfigurationError: The scenario or profile in the folder is not valid any more.
    """
    run = RunFolder(folder)
    if run.summary["accuracy"] is None:
        raise RecordsError(f"{folder}: the run has no outputs (outputs: none), so nothing is known to be right")
    planned = plan(str(folder / "scenario.yaml"), controller="static")
    return [
        _stream_worths(run, stream, planned, at, energy_weight, ladder) for at, stream in enumerate(streams_of(run))
    ]


def _stream_worths(
    run: RunFolder, stream: StreamTables, planned: Plan, at: int, energy_weight: float, choices: LadderOptions
) -> Worths:
    costs = planned.streams[at].costs
    checkpoint = find_checkpoint(stream.manifest["network_path"])
    ladder = build_ladder(choices, device_view(planned.device), NetworkView(graph=checkpoint.graph, costs=costs))
    columns = [
        "status",
        "data",
        "arrival_picoseconds",
        "deadline_picoseconds",
        "input_indices",
        "predictions",
        "labels",
        "energy_joules",
    ]
    rows = stream.table("frames", columns).to_pylist()
    if not rows:
        raise RecordsError(f"{run.path}: no frames of {stream.name}: give the scenario a longer duration")
    names = list(dict.fromkeys(row["data"] for row in rows))
    tables = [_Rungs(loaded_network(checkpoint, name), ladder) for name in names]
    data = np.array([names.index(row["data"]) for row in rows])
    price = energy_weight / float(ladder.joules[0])
    accuracies = np.empty((len(rows), len(ladder)))
    for at_data, table in enumerate(tables):
        own = data == at_data
        accuracies[own] = table.accuracies([rows[row]["input_indices"] for row in np.flatnonzero(own)])
    for table in tables:
        table.keep()
    layers = stream.table("layers", ["purpose", "energy_joules"])
    probes = layers.filter(pc.equal(layers["purpose"], PROBE))["energy_joules"]
    shared = price * float(pc.sum(probes).as_py() or 0.0) / len(rows)
    deadlines = np.array([row["deadline_picoseconds"] for row in rows]) / 1e12
    return Worths(
        stream=stream.name,
        arrivals_seconds=np.array([row["arrival_picoseconds"] for row in rows]) / 1e12,
        realised=np.array([_realised(row, price) - shared for row in rows]),
        rungs=accuracies - price * ladder.joules,
        data=data,
        seconds=ladder.seconds[:, 0],
        available_seconds=float(run.summary["simulated_seconds"]),
        deadlines_seconds=deadlines,
        machine=machine(planned, at, ladder, price_per_joule=price, end_seconds=float(deadlines.max())),
    )


def _realised(row: dict[str, object], price: float) -> float:
    answers, labels, joules = row["predictions"], row["labels"], row["energy_joules"]
    assert isinstance(answers, list)
    assert isinstance(labels, list)
    assert isinstance(joules, float)
    right = np.mean(np.equal(answers, labels)) if row["status"] == COMPLETED[0] else 0.0
    return float(right) - price * joules


class _Rungs:
    """What each rung answers on one data set."""

    def __init__(self, loaded: LoadedNetwork, ladder: Ladder) -> None:
        self._labels = loaded.labels
        self._answers = Answers(loaded, PredictionCache(loaded))
        self._widths = [tuple(tuple(each) for each in assignment.values()) for assignment in ladder.assignments]

    def accuracies(self, frames: list[list[int]]) -> FloatArray:
        """Return [frames, K] the share of right answers on the inputs of each frame, which has one at least."""
        inputs = np.concatenate(frames)
        known, place = np.unique(inputs, return_inverse=True)
        labels = self._labels[known]
        right = np.stack([self._answers.of(widths, known) == labels for widths in self._widths])  # type: ignore[arg-type]
        counts = np.array([len(each) for each in frames])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        return np.asarray(np.add.reduceat(right[:, place].astype(np.float64), starts, axis=1).T / counts[:, None])

    def keep(self) -> None:
        """Write to disk what was computed."""
        self._answers.keep()
