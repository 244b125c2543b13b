"""Energies at other processes: the published coefficients, the rule between nodes, and the ends of the range."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.errors import DocumentError
from hwsim.config.energy_tables import load_energy_table
from hwsim.config.packaged import packaged_names
from hwsim.cost.technology import COEFFICIENTS, at_capacity, scale
from hwsim.errors import ConfigurationError

NODES = st.sampled_from(sorted(COEFFICIENTS))
VOLTS = st.floats(0.7, 1.2)


def factor(node: int, volts: float) -> float:
    return scale(1.0, from_node=45, from_voltage=0.9, to_node=node, to_voltage=volts).joules


@pytest.mark.parametrize(
    ("node", "volts", "expected"),  # worked out by hand from the published coefficients
    [
        (65, 1.0, 1.578), (32, 0.9, 0.641), (28, 0.8, 0.421), (20, 0.9, 0.238), (16, 0.8, 0.142), (16, 0.7, 0.105),
        (14, 0.8, 0.114), (10, 0.75, 0.083), (7, 0.7, 0.0566), (7, 0.75, 0.0665),
    ],
)  # fmt: skip
def test_factors_against_45_nm(node: int, volts: float, expected: float) -> None:
    assert factor(node, volts) == pytest.approx(expected, rel=0.006)


def test_the_law_falls_short_of_a_7_nm_multiplier_within_its_stated_range() -> None:
    scaled = scale(0.2e-12, from_node=45, from_voltage=0.9, to_node=7, to_voltage=0.75)
    assert 5 < 0.07e-12 / scaled.joules < 6
    assert scaled.low < scaled.joules < 0.07e-12 < scaled.high
    assert scaled.high / scaled.joules == pytest.approx(45 / 7)


@given(NODES, VOLTS, NODES, VOLTS, NODES, VOLTS)
def test_scaling_goes_by_steps_and_back(a: int, u: float, b: int, v: float, c: int, w: float) -> None:
    there = scale(1e-12, from_node=a, from_voltage=u, to_node=b, to_voltage=v).joules
    on = scale(there, from_node=b, from_voltage=v, to_node=c, to_voltage=w).joules
    direct = scale(1e-12, from_node=a, from_voltage=u, to_node=c, to_voltage=w).joules
    assert on == pytest.approx(direct, rel=1e-9)
    assert scale(1e-12, from_node=a, from_voltage=u, to_node=a, to_voltage=u).joules == pytest.approx(1e-12)


@given(st.integers(7, 130), VOLTS, st.floats(0.01, 0.3))
def test_less_voltage_is_never_more_energy(node: int, volts: float, more: float) -> None:
    assert factor(node, volts) < factor(node, volts + more)


@given(st.integers(21, 31), st.floats(0.6, 1.2))
def test_between_two_nodes_the_law_is_linear(node: int, volts: float) -> None:
    share = (node - 20) / 12
    assert factor(node, volts) == pytest.approx((1 - share) * factor(20, volts) + share * factor(32, volts))


@pytest.mark.parametrize("joules", [-1e-12, float("nan"), float("inf")])
def test_only_an_energy_is_scaled(joules: float) -> None:
    with pytest.raises(ConfigurationError, match="cannot be scaled: expected a finite number, 0 or more"):
        scale(joules, from_node=45, from_voltage=0.9, to_node=32, to_voltage=0.9)


@pytest.mark.parametrize(
    ("node", "volts", "message"),
    [
        (5, 0.7, "a process of 5 nm: the scaling law goes from 7 to 130 nm"),
        (180, 1.0, "a process of 180 nm"),
        (65, 0.5, r"0\.5 V at 65 nm: the scaling law holds from 0\.586 to 1\.5 V"),
        (45, 1.6, r"1\.6 V at 45 nm"),
    ],
)
def test_nothing_is_scaled_beyond_the_law(node: int, volts: float, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        factor(node, volts)
    with pytest.raises(ConfigurationError, match=message):
        scale(1.0, from_node=node, from_voltage=volts, to_node=45, to_voltage=0.9)


def test_every_packaged_table_is_valid() -> None:
    tables = {name: load_energy_table(name) for name in packaged_names("profiles/energy")}
    assert {"horowitz_45nm", "cacti_45nm_hp", "bitfusion_45nm", "unpu_65nm", "braintta_22nm", "dram"} <= set(tables)
    for name, table in tables.items():
        assert table.name == name
        for entry in table.entries.values():
            assert (entry.assumption is not None) == (table.trust in ("secondary", "memory"))
    assert tables["dram"].entries["lpddr4"].value == pytest.approx(8e-12)


def test_an_unread_number_cannot_be_given_out_as_published(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    entry = "{what: x, value: 1 pJ, source: y}"
    path.write_text(f"schema_version: 1\nname: t\ntrust: memory\nentries:\n  a: {entry}\n")
    with pytest.raises(DocumentError, match=r":5:\d+: entries.a: trust is memory: write assumption"):
        load_energy_table(str(path))


@pytest.mark.parametrize("name", ["cacti_45nm_hp", "cacti_45nm_lop", "cacti_22nm_hp", "cacti_22nm_lop"])
def test_memories_are_met_at_their_sizes_and_between(name: str) -> None:
    table = load_energy_table(name)
    for what in ("one bit read", "one bit written"):
        curve = table.curve(what)
        assert len(curve) == 7
        for size, joules in curve.items():
            assert table.joules_at(what, size) == joules
        between = table.joules_at(what, 65536)  # the geometric mean of 32 and 128 KiB
        assert between == pytest.approx((curve[32768] * curve[131072]) ** 0.5)


def test_a_cacti_run_left_out_is_foretold_by_its_neighbours() -> None:
    curve = load_energy_table("cacti_45nm_hp").curve("one bit read")
    rest = {size: joules for size, joules in curve.items() if size != 131072}
    assert at_capacity(rest, 131072) == pytest.approx(curve[131072], rel=0.05)


def test_horowitz_caches_cost_about_twice_cactis_memories() -> None:
    quoted = load_energy_table("horowitz_45nm").curve("64 bits read from a cache")
    cacti = load_energy_table("cacti_45nm_hp")
    ratios = [joules / 64 / cacti.joules_at("one bit read", size) for size, joules in sorted(quoted.items())]
    assert ratios == pytest.approx([2.32, 2.37, 1.92], rel=0.01)


def test_memories_beyond_the_table_and_unknown_curves_are_named() -> None:
    table = load_energy_table("cacti_45nm_hp")
    with pytest.raises(ConfigurationError, match="a memory of 1024 bytes: the table goes from 2048 to 4194304 bytes"):
        table.joules_at("one bit read", 1024)
    with pytest.raises(ConfigurationError, match="no curve 'one bit reed': did you mean 'one bit read'"):
        table.curve("one bit reed")
