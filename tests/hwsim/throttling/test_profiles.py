"""Throttling sections of device profiles: each kind becomes its law, and what is wrong is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitmixer.errors import DocumentError
from hwsim.config.packaged import find
from hwsim.config.profile import DeviceProfile, load_profile
from hwsim.device import build_device
from hwsim.plant.throttling import (
    BangBang,
    Divider,
    DividerTrip,
    Gains,
    PollPeriods,
    PowerAllocator,
    StepWise,
    StepWiseTrip,
)

MILLISECOND = 10**9
PERIODS = """
  poll_period: {value: 1 s, source: test}
  passive_poll_period: {value: 20 ms, source: test}
"""
STEP_WISE = f"""
  kind: step_wise{PERIODS}  trips:
    - temperature: {{value: 70 degC, source: test}}
      hysteresis: {{value: 2.5 K, source: test}}
      fastest: {{value: 200 MHz, source: test}}
      slowest: {{value: 62.5 MHz, source: test}}
"""
POWER_ALLOCATOR = f"""
  kind: power_allocator{PERIODS}  switch_on: {{value: 70 degC, source: test}}
  control: {{value: 80 degC, source: test}}
  sustainable_power: {{value: 1.2 W, source: test}}
"""
GAINS = """  gains:
    k_po: {value: 300, source: test}
    k_pu: {value: 200, source: test}
    k_i: {value: 5, source: test}
    k_d: {value: 7, source: test}
    integral_cutoff: {value: 1.5 K, source: test}
"""
DIVIDER = """
  kind: divider
  poll_period: {value: 5 s, source: test}
  trips:
    - {temperature: {value: 85 degC, source: test}, divisor: {value: 2, source: test}}
    - {temperature: {value: 90 degC, source: test}, divisor: {value: 8, source: test}}
"""


def profile_with(tmp_path: Path, section: str) -> DeviceProfile:
    text = find("profiles", "bismo_pynq_z1").read_text(encoding="utf-8")
    start, end = text.index("throttling:\n") + len("throttling:"), text.index("\nsensors:\n")
    path = tmp_path / "device.yaml"
    path.write_text(f"{text[:start]}{section}{text[end:]}", encoding="utf-8")
    return load_profile(str(path))


def test_the_shipped_device_keeps_its_trips() -> None:
    law = build_device(load_profile("bismo_pynq_z1")).throttling
    assert isinstance(law, BangBang)
    assert [(mark.temperature_celsius, mark.frequency_cap_hertz) for mark in law.marks] == [
        (80.0, 100_000_000), (85.0, 50_000_000),
    ]  # fmt: skip
    assert law.poll_picoseconds == 100 * MILLISECOND


def test_a_range_of_clocks_becomes_a_range_of_cooling_states(tmp_path: Path) -> None:
    law = build_device(profile_with(tmp_path, STEP_WISE)).throttling
    trip = StepWiseTrip(temperature_millicelsius=70_000, hysteresis_millicelsius=2500, lower=0, upper=3)
    assert isinstance(law, StepWise)
    assert law.trips == (trip,)
    assert law.periods == PollPeriods(idle_picoseconds=1000 * MILLISECOND, passive_picoseconds=20 * MILLISECOND)


def test_powers_are_the_profile_s_own(tmp_path: Path) -> None:
    """0.75 pJ x 16384 binary multiply-accumulates x clock at 1 V: 2.4576 W at 200 MHz."""
    law = build_device(profile_with(tmp_path, POWER_ALLOCATOR)).throttling
    assert isinstance(law, PowerAllocator)
    assert law.powers_milliwatts == (2458, 1536, 1229, 768, 614, 307)
    assert (law.switch_on_millicelsius, law.control_millicelsius, law.sustainable_milliwatts) == (70_000, 80_000, 1200)
    assert law.gains == Gains(k_po=122, k_pu=245, k_i=24)


def test_powers_follow_the_square_of_the_voltage(tmp_path: Path) -> None:
    profile = profile_with(tmp_path, POWER_ALLOCATOR)
    points = profile.operating_points
    halved = [
        point.model_copy(update={"voltage_volts": point.voltage_volts.model_copy(update={"value": 0.5})})
        for point in points.points
    ]
    slow = profile.model_copy(update={"operating_points": points.model_copy(update={"points": tuple(halved)})})
    law = build_device(slow).throttling
    assert isinstance(law, PowerAllocator)
    assert law.powers_milliwatts[0] == 614


def test_gains_can_be_given(tmp_path: Path) -> None:
    law = build_device(profile_with(tmp_path, POWER_ALLOCATOR + GAINS)).throttling
    assert isinstance(law, PowerAllocator)
    assert law.gains == Gains(k_po=300, k_pu=200, k_i=5, k_d=7, integral_cutoff_millikelvin=1500)


def test_a_divider(tmp_path: Path) -> None:
    law = build_device(profile_with(tmp_path, DIVIDER)).throttling
    assert law == Divider(
        trips=(
            DividerTrip(temperature_millicelsius=85_000, divisor=2),
            DividerTrip(temperature_millicelsius=90_000, divisor=8),
        ),
        fastest_hertz=200_000_000,
        poll_picoseconds=5000 * MILLISECOND,
    )


@pytest.mark.parametrize(
    ("section", "old", "new", "message"),
    [
        (DIVIDER, "kind: divider", "kind: dividr", "throttling.kind: unknown value 'dividr': did you mean 'divider'"),
        (DIVIDER, "  kind: divider\n", "", "throttling.kind: missing"),
        (DIVIDER, "value: 8,", "value: 3,", "throttling.trips.1.divisor: 200 MHz over 3 is no operating point"),
        (DIVIDER, "value: 8,", "value: 1,", "throttling.trips.1.divisor: 1 after 2: a hotter trip cannot divide"),
        (DIVIDER, "90 degC", "85 degC", "throttling.trips.1.temperature: 85 degC after 85 degC: sort the trips"),
        (STEP_WISE, "value: 62.5 MHz", "value: 60 MHz", "throttling.trips.0.slowest: 60 MHz is no operating point"),
        (STEP_WISE, "value: 200 MHz", "value: 199 MHz", "throttling.trips.0.fastest: 199 MHz is no operating point"),
        (STEP_WISE, "value: 200 MHz", "value: 50 MHz", "throttling.trips.0.slowest: 62.5 MHz is faster than 50 MHz"),
        (STEP_WISE, "value: 20 ms", "value: 0 ms", "throttling.passive_poll_period.value: 0 ms is out of bounds"),
        (POWER_ALLOCATOR, "70 degC", "80 degC", "throttling.switch_on: 80 degC is not below the control temperature"),
        (POWER_ALLOCATOR, "20 ms", "20 us", "throttling.passive_poll_period: 20 us is below 1 ms"),
        (POWER_ALLOCATOR + GAINS, "k_d:", "kd:", "throttling.gains.kd: unknown key 'kd': did you mean 'k_d'"),
    ],
)  # fmt: skip
def test_wrong_sections_are_explained(tmp_path: Path, section: str, old: str, new: str, message: str) -> None:
    assert section.count(old) == 1
    with pytest.raises(DocumentError) as caught:
        profile_with(tmp_path, section.replace(old, new))
    (line,) = str(caught.value).splitlines()
    assert message in line


def test_a_restart_that_would_be_too_hot_is_explained(tmp_path: Path) -> None:
    text = find("profiles", "bismo_pynq_z1").read_text(encoding="utf-8")
    again = "  restart: {temperature: {value: 125 degC, source: t}, boot_time: {value: 1 s, source: t}}\n"
    path = tmp_path / "device.yaml"
    path.write_text(text + again, encoding="utf-8")
    with pytest.raises(DocumentError, match=r"limits\.restart\.temperature: 125 degC is not below the shutdown"):
        load_profile(str(path))
    path.write_text(text + again.replace("125 degC", "60 degC"), encoding="utf-8")
    restart = build_device(load_profile(str(path))).shutdown.restart
    assert restart is not None
    assert (restart.temperature_celsius, restart.boot_picoseconds) == (60.0, 10**12)


def test_a_change_of_point_may_cost_energy(tmp_path: Path) -> None:
    text = find("profiles", "bismo_pynq_z1").read_text(encoding="utf-8")
    path = tmp_path / "device.yaml"
    old = "    value: 0 J\n"
    assert text.count(old) == 1
    path.write_text(text.replace(old, "    value: 0.5 uJ\n"), encoding="utf-8")
    assert build_device(load_profile(str(path))).transition.energy_joules == 5e-7
    old = "    heats: junction\n  points:\n"
    assert text.count(old) == 1
    path.write_text(text.replace(old, old.replace("junction", "juncton")), encoding="utf-8")
    with pytest.raises(DocumentError, match=r"operating_points\.transition_energy\.heats: unknown node 'juncton'"):
        load_profile(str(path))
