"""A device that is off from its profile: physics and costs have what it is, controllers what they are told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitmixer.documents.source import parse
from bitmixer.errors import BitmixerError
from hwsim import pipeline
from hwsim.records.store import RunFolder, digest
from hwsim.setting_up import simulation_setup
from hwsim.simulation.control import device_view
from hwsim.simulation.simulator import Simulator

OFF = {
    "thermal.links.1.resistance.value": "12.95 K/W",
    "leakage.power.value": "445 mW",
    "memory.dram_efficiency.value": "0.5",
}
ACTUAL = "actual_device={" + ", ".join(f"{path}: {value}" for path, value in OFF.items()) + "}"
TOLD = [f"profile.{path}={value}" for path, value in OFF.items()]


def test_the_plant_has_what_is_there_and_controllers_what_they_are_told(bursty: str) -> None:
    plain, off, told = (pipeline.plan(bursty, sets=sets) for sets in ([], [ACTUAL], TOLD))
    (stream,), (true,), (whole,) = off.streams, plain.streams, told.streams
    assert np.array_equal(stream.told_costs.total_cycles, true.costs.total_cycles)
    assert np.array_equal(stream.costs.total_cycles, whole.costs.total_cycles)
    assert not np.array_equal(stream.costs.total_cycles, stream.told_costs.total_cycles)
    known, ideal = device_view(off.told_device).heat, device_view(plain.device).heat
    assert known is not None
    assert ideal is not None
    assert np.array_equal(known.conductances_watts_per_kelvin, ideal.conductances_watts_per_kelvin)
    assert known.leakage_watts == ideal.leakage_watts
    assert off.device.leakage == told.device.leakage
    assert off.profile == plain.profile


class Curious:
    """Keeps what it is told."""

    wakes_on: frozenset[Any] = frozenset()
    tick_picoseconds = 0
    needs_outputs = False

    def init(self, device: Any, network: Any) -> Any:
        from hwsim.controllers.base import Decision

        self.device, self.network = device, network
        return Decision(widths=network.graph.uniform(8), reason="start"), None

    def decide(self, observation: Any, state: Any, generator: Any) -> Any:
        raise NotImplementedError


def test_in_the_run_itself_no_controller_is_told(bursty: str) -> None:
    planned = pipeline.plan(bursty, sets=[ACTUAL])
    setup = simulation_setup(planned, pipeline.VIRTUAL_INPUTS)
    asked = Curious()
    setup = dataclasses.replace(setup, streams=(dataclasses.replace(setup.streams[0], controller=asked),))
    Simulator(setup, [])
    assert asked.device.heat.leakage_watts == planned.told_device.leakage.power_watts == 0.178
    assert asked.network.costs is planned.streams[0].told_costs


def test_a_static_run_is_that_of_a_device_whose_profile_says_so(bursty: str, tmp_path: Path) -> None:
    for name, sets in (("off", [ACTUAL]), ("told", TOLD)):
        pipeline.run(pipeline.plan(bursty, controller="static", sets=sets), tmp_path / name, figures=False)
    off, told = RunFolder(tmp_path / "off"), RunFolder(tmp_path / "told")
    for table in ("layers", "frames", "telemetry"):
        assert off.table(table).equals(told.table(table))
    assert off.manifest["actual_device"] == {path.removesuffix(".value"): value for path, value in OFF.items()}
    assert told.manifest["actual_device"] == {}
    assert off.summary["run_id"] != told.summary["run_id"]


def test_it_runs_again_from_its_folder_and_says_on_its_page_what_is_off(
    hwsim: Callable[..., Any], bursty: str, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert hwsim("run", bursty, "--out", first, "--quiet", "--set", ACTUAL).code == 0
    assert hwsim("run", first / "scenario.yaml", "--out", second, "--quiet").code == 0
    assert digest(first) == digest(second)
    kept = (first / "profile.yaml").read_text(encoding="utf-8")
    assert parse(kept, "").data["leakage"]["power"]["value"] == "0.178 W"
    page = (first / "report.html").read_text(encoding="utf-8")
    assert "off from its profile" in page
    assert "in truth 12.95 K/W" in page


def test_the_runs_identity_follows_the_values(bursty: str) -> None:
    def run_id(actual: str) -> str:
        return pipeline.plan(bursty, sets=[f"actual_device={{{actual}}}"]).run_id

    assert run_id("leakage.power.value: 0.3 W") == run_id("leakage.power.value: 300 mW")
    assert run_id("leakage.power.value: 0.3 W") != run_id("leakage.power.value: 0.31 W")
    assert run_id("leakage.power.value: 178 mW") == pipeline.plan(bursty).run_id


@pytest.mark.parametrize(
    ("actual", "message"),
    [
        (
            "thermal.links.1.resistence.value: 7 K/W",
            "'thermal.links.1.resistence.value': did you mean 'thermal.links.1.resistance.value'? hwsim profiles show",
        ),
        ("leakage.power: 0.3 W", ":3: actual_device: bismo_pynq_z1 has no number 'leakage.power': did you mean"),
        ("leakage.power.value: 0.5 W", ":24: leakage.power.value: 0.5 W lies outside of [0.1 W, 0.445 W]"),
        ("leakage.power.value: 0.3 K", ":24: leakage.power.value: unit 'K' measures something else"),
        ("operating_points.points.0.frequency.value: 150 MHz", ":1: actual_device: changes operating_points.points"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(actual: str, message: str, write_scenario: Callable[..., str]) -> None:
    path = write_scenario(("duration:", f"actual_device:\n  {actual}\nduration:"))
    with pytest.raises(BitmixerError) as error:
        pipeline.plan(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("controller", "sets", "least", "most"),
    [
        ("mpc:rungs=[4,3,2]:energy_weight=0", [], 0.5, 1.0),
        ("mpc:rungs=[4,3,2]:energy_weight=0", ["actual_device={}"], 0.0, 0.01),
        ("ids:rungs=[4,3,2]:energy_weight=0", ["outputs=lazy"], 0.0, 0.01),
    ],
    ids=["mpc trusts the profile", "mpc, and the profile is right", "ids learns"],
)
def test_who_trusts_the_profile_of_an_unknown_device_misses_deadlines_and_who_learns_does_not(
    controller: str, sets: list[str], least: float, most: float, tmp_path: Path
) -> None:
    planned = pipeline.plan("unknown_device", controller=controller, sets=["outputs=none", "duration=15 s", *sets])
    assert least <= pipeline.run(planned, tmp_path / "run", figures=False)["deadline_miss_rate"] <= most
