"""The story that ``scenarios/emergency_one_bit.yaml`` tells in its head, and the rule ``emergency``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bitmixer.networks import find_checkpoint
from hwsim import pipeline
from hwsim.controllers import build_controller
from hwsim.controllers.base import DeviceView, NetworkView, Observation
from hwsim.errors import ConfigurationError
from hwsim.pipeline import Plan
from hwsim.records.store import RunFolder

SECOND = 10**12
DEVICE = DeviceView(
    frequencies_hertz=(200_000_000,),
    trip_celsius=(80.0,),
    maximum_junction_celsius=85.0,
    decision_picoseconds=200_000_000,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], RunFolder]:
    def simulated(controller: str | None) -> RunFolder:
        folder = tmp_path_factory.mktemp("run")
        planned = pipeline.plan("emergency_one_bit", controller=controller, sets=["outputs=none"])
        pipeline.run(planned, folder, figures=False)
        return RunFolder(folder)

    return simulated


def test_at_8_bits_the_cloud_browns_the_device_out(run: Callable[[str | None], RunFolder]) -> None:
    summary = run("static").summary
    assert 60 < summary["battery_life_seconds"] < 160
    assert summary["battery_empty_seconds"] > 20
    assert summary["frames_completed"] < 0.9 * summary["frames_arrived"]


def test_at_one_bit_service_goes_on_and_recovers(run: Callable[[str | None], RunFolder]) -> None:
    folder = run(None)
    summary = folder.summary
    assert (summary["battery_life_seconds"], summary["deadline_miss_rate"]) == (None, 0)
    assert summary["frames_completed"] == summary["frames_arrived"]
    decisions = folder.table("decisions").to_pylist()
    assert [decision["reason"] for decision in decisions] == [
        "start: 8 bit", "charge 48% is low: down to 1 bit", "charge 50% is safe: up to 8 bit",
    ]  # fmt: skip
    down, up = (decision["time_picoseconds"] / SECOND for decision in decisions[1:])
    assert 60 < down < 160 < up
    layers = folder.table("layers", ["layer", "weight_bits", "activation_bits", "start_picoseconds"]).to_pylist()
    inner = [row for row in layers if row["layer"] not in ("stem", "classifier")]
    in_emergency = [row for row in inner if down + 1 < row["start_picoseconds"] / SECOND < up - 1]
    assert {(row["weight_bits"], row["activation_bits"]) for row in in_emergency} == {(1, 1)}
    assert inner[-1]["weight_bits"] == 8


def test_one_bit_errs_more_but_still_serves() -> None:
    metrics = find_checkpoint("resnet8_digits_one_bit").metrics
    assert metrics is not None
    assert 0.9 < metrics["uniform"]["1"] < metrics["uniform"]["8"]


def observed(charge: float | None) -> Observation:
    return Observation(
        time_picoseconds=SECOND, wake="tick", die_celsius=50.0, die_age_picoseconds=0, frequency_hertz=200_000_000,
        throttle_cap_hertz=200_000_000, queued_deadlines_picoseconds=(), frame=None, frame_deadline_picoseconds=None,
        first_uncommitted=0, wanted=(), confidences=(), state_of_charge=charge,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "bits"), [({}, [None, 2, None, None, None, 8]), ({"emergency_bits": 4}, [None, 4, None, None, None, 8])]
)
def test_the_rule_falls_at_low_and_returns_at_safe(
    small_plan: Plan, options: dict[str, float], bits: list[int | None]
) -> None:
    rule = build_controller("emergency", options)
    stream = small_plan.streams[0]
    _, state = rule.init(DEVICE, NetworkView(graph=stream.checkpoint.graph, costs=stream.costs))
    decided: list[int | None] = []
    for charge in (0.21, 0.2, 0.3, None, 0.39, 0.4):
        decision, state = rule.decide(observed(charge), state, np.random.default_rng(0))
        decided.append(None if decision is None else min(widths.weight for widths in decision.widths.values()))
    assert decided == bits


def test_wrong_options_are_refused(small_plan: Plan) -> None:
    with pytest.raises(ConfigurationError, match="safe_charge must exceed low_charge"):
        build_controller("emergency", {"low_charge": 0.5, "safe_charge": 0.5})
    stream = small_plan.streams[0]
    rule = build_controller("emergency", {"emergency_bits": 1})
    network = NetworkView(graph=stream.checkpoint.graph, costs=stream.costs)
    with pytest.raises(ConfigurationError, match="cannot run at 1 bits"):
        rule.init(DEVICE, network)
