"""Device profiles: the packaged one against its derivations, and contradictions that must not pass."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bitmixer.errors import DocumentError
from hwsim.config.packaged import find, packaged_names
from hwsim.config.profile import DeviceProfile, load_profile
from hwsim.config.provenance import count_assumptions, provenance

NAME = "bismo_pynq_z1"


@pytest.fixture(scope="module")
def profile() -> DeviceProfile:
    return load_profile(NAME)


def complaint(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    text = find("profiles", NAME).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "device.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        load_profile(str(path))
    return [line.replace(f"{path}:", "").split(": ", 1)[1] for line in str(caught.value).splitlines()]


def test_every_number_has_a_source_or_is_an_assumption_within_its_range(profile: DeviceProfile) -> None:
    rows = provenance(profile)
    assert len(rows) > 40
    assert len({row.path for row in rows}) == len(rows)
    for row in rows:
        assert (row.source is None) != (row.assumption is None), row.path
        assert row.range or row.source, row.path
    assert count_assumptions(profile) == sum(row.assumption is not None for row in rows)


def test_provenance_shows_what_the_file_says(profile: DeviceProfile) -> None:
    rows = {row.path: row for row in provenance(profile)}
    slow = rows["thermal.links.1.resistance"]
    assert (slow.value, slow.range, slow.source) == ("9.75 K/W", "[6.25 K/W, 12.95 K/W]", None)
    assert rows["memory.dram_peak_bandwidth"].value == "2.1 GB/s"


def test_the_full_array_draws_its_assumed_energy_per_mac(profile: DeviceProfile) -> None:
    rows, depth, columns = profile.array.rows.value, profile.array.depth.value, profile.array.columns.value
    per_cycle = {
        "binary_mac": rows * depth * columns,
        "buffer_bit": (rows + columns) * depth,
        "array_cycle": 1,
    }
    energy = sum(per_cycle.get(entry.per, 0) * entry.value for entry in profile.energy.values())
    assert energy / per_cycle["binary_mac"] == pytest.approx(0.75e-12, rel=1e-12)


def test_the_thermal_network_has_the_assumed_resistance_and_poles(profile: DeviceProfile) -> None:
    resistances = [link.resistance_kelvin_per_watt.value for link in profile.thermal.links]
    assert sum(resistances) == pytest.approx(15.0)
    inner, outer = (1 / resistance for resistance in resistances)
    conductances = np.array([[inner, -inner], [-inner, inner + outer]])
    capacities = np.array([node.value for node in profile.thermal.nodes.values()])
    time_constants = np.sort(1 / np.linalg.eigvals(conductances / capacities[:, None]).real)
    assert time_constants == pytest.approx([3.0, 300.0], rel=0.05)


def test_idle_power_is_that_of_the_chip_and_of_the_board(profile: DeviceProfile) -> None:
    leakage = profile.leakage.power_watts.value
    assert profile.power["chip_idle"].value + leakage == pytest.approx(1.1)
    assert sum(power.value for power in profile.power.values()) + leakage == pytest.approx(2.2)
    slope = math.log(0.178 / 0.113) / (52.6 - 28.1)
    assert profile.leakage.slope_per_kelvin.value == pytest.approx(slope, rel=0.01)


def test_clocks_divide_the_pll_and_time_exactly(profile: DeviceProfile) -> None:
    for point in profile.operating_points.points:
        assert 10**9 % point.frequency_hertz.value == 0
        assert 10**12 % point.frequency_hertz.value == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "range: [0.622 W, 1.122 W]",
            "",
            "power.chip_idle: an assumption without a range: add range: [low, high] around",
        ),
        (
            "range: [0.622 W, 1.122 W]",
            "range: [0.622 W, 1.122 W]\n    source: x",
            "power.chip_idle.assumption: a number is either published or assumed",
        ),
        (
            "range: [0.622 W, 1.122 W]",
            "range: [1 W, 2 W]",
            "power.chip_idle.value: 0.922 W lies outside of [1 W, 2 W]",
        ),
        (
            "range: [0.622 W, 1.122 W]",
            "range: [2 W, 0 W]",
            "power.chip_idle.range: [2 W, 0 W] runs backwards",
        ),
        (
            "heats: board",
            "heats: bord",
            "energy.dram_device.heats: unknown node 'bord': did you mean 'board'?",
        ),
        (
            "per: dram_bit",
            "per: dram_bits",
            "energy.dram_interface.per: unknown value 'dram_bits': did you mean 'dram_bit'?",
        ),
        ("per: vector_operation", "per: dram_bit", "energy: no entry for the action 'vector_operation'"),
        ("kind: bismo", "kind: bisno", "array.kind: unknown value 'bisno': did you mean 'bismo'?"),
        ("value: 2.1 GB/s", "value: 0 GB/s", "memory.dram_peak_bandwidth.value: 0 GB/s is out of bounds"),
        ("value: 0.75\n", "value: 1.01\n", "memory.dram_efficiency.value: 1.01 is out of bounds"),
        ("value: 9.75 K/W", "value: 0 K/W", "thermal.links.1.resistance.value: 0 K/W is out of bounds"),
        ("value: 42 pJ", "value: -42 pJ", "energy.dram_device.value: -42 pJ is out of bounds"),
        (
            "value: 42 pJ",
            "value: 42 pW",
            "energy.dram_device.value: unit 'pW' measures something else: expected an energy",
        ),
        (
            "[board, ambient]",
            "[board, ambeint]",
            "thermal.links.1.between.1: unknown node 'ambeint': did you mean 'ambient'?",
        ),
        ("sensor_node: junction", "sensor_node: ambient", "thermal.sensor_node: unknown node 'ambient'"),
        (
            "value: 100 MHz, source",
            "value: 150 MHz, source",
            "operating_points.points.2.frequency: 150 MHz after 125 MHz breaks the descending order",
        ),
        (
            "value: 100 MHz, source",
            "value: 125 MHz, source",
            "operating_points.points.2.frequency: 125 MHz is given twice",
        ),
        (
            "value: 50 MHz\n        assumption",
            "value: 40 MHz\n        assumption",
            "throttling.trips.1.frequency_cap: 40 MHz is no operating point: choose one of 200 MHz, 125 MHz",
        ),
        (
            "resume: {value: 75 degC",
            "resume: {value: 80 degC",
            "throttling.trips.0.resume: 80 degC is not below the trip",
        ),
        ("schema_version: 1", "schema_version: 2", "schema_version: expected 1; got 2"),
    ],
)
def test_wrong_profiles_are_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    (line,) = complaint(tmp_path, (old, new))
    assert line.startswith(message)


@pytest.mark.parametrize("given", ["9.75 K/W", "{value: 9.75 K/W}"])
def test_a_number_without_a_source_is_shown_both_forms(tmp_path: Path, given: str) -> None:
    text = find("profiles", NAME).read_text(encoding="utf-8")
    start = text.index("    - between: [board, ambient]")
    end = text.index("  sensor_node:")
    (line,) = complaint(tmp_path, (text[start:end], f"    - {{between: [board, ambient], resistance: {given}}}\n"))
    assert line == (
        "thermal.links.1.resistance: a number without a source: "
        'write {value: 9.75 K/W, source: "where it was published"} '
        'or {value: 9.75 K/W, assumption: "why", range: [low, high]}'
    )


def test_nodes_that_cannot_lose_their_heat_are_named(tmp_path: Path) -> None:
    text = find("profiles", NAME).read_text(encoding="utf-8")
    start, end = text.index("    - between: [junction, board]"), text.index("    - between: [board, ambient]")
    (line,) = complaint(tmp_path, (text[start:end], ""))
    assert line.startswith("thermal.nodes.junction: node 'junction' has no way to 'ambient'")


def test_unknown_profiles_name_the_nearest() -> None:
    assert NAME in packaged_names("profiles")
    with pytest.raises(DocumentError, match=f"no packaged profile 'bismo_pynk': did you mean '{NAME}'"):
        find("profiles", "bismo_pynk")
    with pytest.raises(DocumentError, match=r"nowhere/x\.yaml: no such file"):
        find("profiles", "nowhere/x.yaml")
