"""The packaged device profiles: each runs, and draws and computes at full load what is published of it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hwsim import pipeline
from hwsim.config.packaged import packaged_names
from hwsim.config.profile import load_profile
from hwsim.config.provenance import count_assumptions, provenance
from hwsim.cost.full_load import full_load_joules_per_cycle
from hwsim.device import Device, build_device

NAMES = packaged_names("profiles")
SHORT = ["duration=500 ms", "outputs=none", "streams.0.arrivals.bursts.first=100 ms"]


def device(name: str) -> Device:
    return build_device(load_profile(name))


def full_load_watts(built: Device) -> float:
    """Array, leakage at 50 C and constant power at the fastest clock, at the nominal voltage."""
    array = full_load_joules_per_cycle(built.array, built.energy_table) * built.frequencies_hertz[0]
    return array + math.fsum(built.constant_powers_watts) + built.leakage.watts_at(50.0)


def test_every_class_of_device_has_a_profile() -> None:
    assert {"bismo_pynq_z1", "edge_tpu_module", "gap9", "phone", "rk3588_npu", "unpu_65nm", "wearable"} <= {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_each_runs_the_main_scenario(name: str, tmp_path: Path) -> None:
    sets = [*SHORT, f"profile={name}"]
    if load_profile(name).battery is not None:
        sets.append("initial_state_of_charge=0.8")
    summary = pipeline.run(pipeline.plan("thermal_throttle", sets=sets), tmp_path, figures=False)
    assert summary["frames_completed"] > 3
    assert summary["shutdown_seconds"] is None


@pytest.mark.parametrize("name", NAMES)
def test_nothing_remembered_or_quoted_is_given_out_as_published(name: str) -> None:
    profile = load_profile(name)
    rows = provenance(profile)
    assert 0 < count_assumptions(profile) < len(rows)
    for row in rows:
        assert not any(word in (row.source or "") for word in ("remember", "memory", "quote")), row


def test_the_edge_tpu_draws_2_watts_at_4_tops() -> None:
    built = device("edge_tpu_module")
    assert full_load_watts(built) == pytest.approx(2.0, rel=0.02)
    assert 2 * 64 * 64 * built.frequencies_hertz[0] == pytest.approx(4e12, rel=0.03)


def test_the_npu_of_the_rk3588_has_its_6_tops_and_its_table() -> None:
    built = device("rk3588_npu")
    assert 2 * 3 * 1024 * built.frequencies_hertz[0] == pytest.approx(6e12, rel=0.03)
    volts = [point.voltage_volts for point in built.operating_points.points]
    assert volts == [0.85, 0.8, 0.75, 0.7, 0.7, 0.7, 0.7, 0.7]


def test_gap9_draws_a_milliwatt_per_gops() -> None:
    built = device("gap9")
    operations = 2 * 162 * built.frequencies_hertz[0]
    assert full_load_watts(built) / operations == pytest.approx(1e-12, rel=0.1)


def test_glasses_last_as_long_as_their_prototype() -> None:
    """18 frames/s, each 17 ms of the engine (arXiv:2311.01057): 9.3 h on 154 mAh."""
    built = device("wearable")
    assert built.battery is not None
    array = full_load_joules_per_cycle(built.array, built.energy_table) * built.frequencies_hertz[0]
    watts = math.fsum(built.constant_powers_watts) + built.leakage.watts_at(35.0) + 18 * 17e-3 * array
    hours = built.battery.battery.capacity_joules / watts / 3600
    assert 0.8 < hours / 9.3 < 1.25
