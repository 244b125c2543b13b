"""Means and intervals of several controllers, where they can be worked out or must obey a law."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hwsim.comparison import Comparison, Interval, compare
from hwsim.errors import RecordsError
from hwsim.records.schema import FRAMES

FRAME = dict.fromkeys(FRAMES.names, 0) | {"stream": "camera", "data": "digits"}


@dataclass
class Run:
    """A run in which every input is one frame, given as (index, status, right)."""

    inputs: Sequence[tuple[int, str, bool]]
    seed: int = 0
    others: dict[str, Any] = field(default_factory=dict)
    outputs: bool = True

    @property
    def manifest(self) -> dict[str, Any]:
        return {"seed": self.seed}

    @property
    def summary(self) -> dict[str, Any]:
        done = [right for _, status, right in self.inputs if status != "dropped_queue"]
        on_time = [right and status == "on_time" for _, status, right in self.inputs]
        rates = {"accuracy": np.mean(done), "correct_on_time_rate": np.mean(on_time)}
        known = rates if self.outputs else dict.fromkeys(rates)
        return {"run_id": "r", "controller": "c", **known, **self.others, "wall_seconds": 9.0}

    def table(self, name: str, columns: list[str]) -> pa.Table:
        assert name == "frames"
        rows = [
            FRAME
            | {"status": status, "input_indices": [index]}
            | {"labels": [1] * self.outputs}
            | {"predictions": [int(right)] * (self.outputs and status != "dropped_queue")}
            for index, status, right in self.inputs
        ]
        return pa.Table.from_pylist(rows, schema=FRAMES).select(columns)


def on_time(*right: bool) -> list[tuple[int, str, bool]]:
    return [(index, "on_time", is_right) for index, is_right in enumerate(right)]


def interval_of(metric: str, *runs: Run) -> Interval:
    return compare({"one": runs}, scenario="hot").controllers["one"][metric]


def test_means_are_over_replications() -> None:
    runs = [Run([], seed=seed, others={"energy_joules": joules}) for seed, joules in enumerate((1.0, 2.0, 6.0))]
    for run in runs:
        run.inputs = on_time(True)
    interval = interval_of("energy_joules", *runs)
    assert interval.mean == 3
    assert interval.low is not None
    assert interval.high is not None
    # The mean of three draws is (1+1+1)/3 with probability 1/27 > 2.5 %, likewise (6+6+6)/3.
    assert (interval.low, interval.high) == (1, 6)


def test_with_one_replication_only_what_depends_on_inputs_has_a_width() -> None:
    run = Run(on_time(*[True] * 30, *[False] * 10), others={"energy_joules": 5.0})
    assert interval_of("energy_joules", run) == Interval(mean=5, low=5, high=5)
    accuracy = interval_of("accuracy", run)
    assert accuracy.low is not None
    assert accuracy.high is not None
    # Binomial: 0.75 +- 1.96 sqrt(0.75 * 0.25 / 40) = 0.616 .. 0.884.
    assert (accuracy.low, accuracy.high) == pytest.approx((0.616, 0.884), abs=0.02)


def test_showing_the_same_inputs_again_makes_nothing_more_certain() -> None:
    once, often = Run(on_time(True, False, True, False)), Run(on_time(True, False, True, False) * 50)
    assert interval_of("accuracy", often) == interval_of("accuracy", once)


def test_controllers_share_their_resamples() -> None:
    right = [True, False, True, True, False]
    runs = {"late": [Run([(i, "late", r) for i, r in enumerate(right)])], "timely": [Run(on_time(*right))]}
    late, timely = compare(runs, scenario="hot").controllers.values()
    assert late["accuracy"] == timely["accuracy"]
    assert late["correct_on_time_rate"] == Interval(mean=0, low=0, high=0)
    assert timely["correct_on_time_rate"] == timely["accuracy"]


def test_both_levels_count() -> None:
    """Runs that differ, on inputs that differ, are less certain than either alone."""
    half = [True, False] * 20
    alike = [Run(on_time(*half), seed=seed) for seed in range(4)]
    unlike = [Run(on_time(*[seed % 2 == 0] * 40), seed=seed) for seed in range(4)]
    inputs_only, seeds_only = interval_of("accuracy", *alike), interval_of("accuracy", *unlike)
    assert inputs_only == interval_of("accuracy", alike[0])
    assert (seeds_only.mean, seeds_only.low, seeds_only.high) == (0.5, 0, 1)


def test_a_resample_that_completed_nothing_is_left_out() -> None:
    run = Run([(0, "on_time", True), (1, "dropped_queue", True)])
    assert interval_of("accuracy", run) == Interval(mean=1, low=1, high=1)
    assert interval_of("correct_on_time_rate", run) == Interval(mean=0.5, low=0, high=1)


def test_what_one_run_does_not_have_has_no_mean() -> None:
    silent = Run(on_time(True), outputs=False)
    absent = Interval(mean=None, low=None, high=None)
    assert interval_of("accuracy", silent) == absent
    mixed = compare({"silent": [silent], "full": [Run(on_time(True))]}, scenario="hot").controllers
    assert mixed["silent"]["correct_on_time_rate"] == absent
    assert mixed["full"]["correct_on_time_rate"] == Interval(mean=1, low=1, high=1)


def test_the_files_have_the_promised_form() -> None:
    notes = {"energy_ledgers": {"records": 1.0}, "interrupted": True}  # no metrics: left out
    runs = {"static": [Run(on_time(True, True), others={"latency_p50_seconds": None, **notes})]}
    comparison = compare(runs, scenario="hot")
    content = json.loads(comparison.to_json())
    assert content == {
        "scenario": "hot",
        "replications": 1,
        "controllers": {
            "static": {
                "accuracy": {"mean": 1.0, "low": 1.0, "high": 1.0},
                "correct_on_time_rate": {"mean": 1.0, "low": 1.0, "high": 1.0},
                "latency_p50_seconds": {"mean": None, "low": None, "high": None},
            }
        },
    }
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert rows[0] == {
        "controller": "static",
        "metric": "accuracy",
        "mean": "1.0",
        "low": "1.0",
        "high": "1.0",
    }
    assert rows[-1]["mean"] == ""


def test_results_repeat() -> None:
    def once() -> Comparison:
        return compare({"one": [Run(on_time(True, False), seed=s) for s in range(3)]}, scenario="hot")

    assert once().to_json() == once().to_json()


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({}, "nothing to compare"),
        ({"one": []}, "nothing to compare"),
        ({"a": [Run([], seed=1)], "b": [Run([], seed=2)]}, r"different seeds \(a: \[1\]; b: \[2\]\)"),
        ({"a": [Run([]), Run([])], "b": [Run([])]}, "different seeds"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(runs: dict[str, list[Run]], message: str) -> None:
    with pytest.raises(RecordsError, match=message):
        compare(runs, scenario="hot")


def test_differences_are_paired() -> None:
    """What differs between seeds alike for both cancels: the difference is certain where neither mean is."""
    joules = (1.0, 2.0, 6.0)
    ours = [Run(on_time(True), seed=seed, others={"energy_joules": each - 0.5}) for seed, each in enumerate(joules)]
    theirs = [Run(on_time(True), seed=seed, others={"energy_joules": each}) for seed, each in enumerate(joules)]
    comparison = compare({"theirs": theirs, "ours": ours}, scenario="hot", baseline="theirs")
    assert set(comparison.differences) == {"ours"}
    difference = comparison.differences["ours"]["energy_joules"]
    assert (difference.mean, difference.low, difference.high) == pytest.approx((-0.5, -0.5, -0.5))
    assert json.loads(comparison.to_json())["baseline"] == "theirs"


def test_differences_pair_inputs_too() -> None:
    """One controller errs on one input more, whichever inputs are drawn: never better."""
    right = [True, False] * 20
    ours = Run(on_time(*right))
    theirs = Run(on_time(False, *right[1:]))
    difference = compare({"a": [ours], "b": [theirs]}, scenario="hot", baseline="a").differences["b"]["accuracy"]
    assert difference.mean == pytest.approx(-1 / 40)
    assert difference.high is not None
    assert difference.low is not None
    assert -0.1 < difference.low < difference.high <= 0


def test_what_controllers_trade_is_held_against_a_stated_reference() -> None:
    def run(joules: float, missed: float, *right: bool) -> Run:
        return Run(on_time(*right), others={"energy_per_input_joules": joules, "deadline_miss_rate": missed})

    cheap, dear, worse = run(1.0, 0.0, True, False), run(2.0, 0.0, True, True), run(2.0, 0.5, True, False)
    found = compare({"cheap": [cheap], "dear": [dear], "worse": [worse]}, scenario="hot").pareto
    assert found is not None
    assert found.reference == {"energy_per_input_joules": 2.0, "accuracy": 0.0, "deadline_miss_rate": 1.0}
    assert found.front == ("cheap", "dear")
    assert found.hypervolume.mean == pytest.approx(0.5 * 0.5)  # half the energy saved, half of the answers right
    assert found.contributions["worse"].mean == 0
    assert found.contributions["cheap"].mean == pytest.approx(0.25)
    assert found.hypervolume.low is not None
    assert found.hypervolume.low <= found.hypervolume.mean
