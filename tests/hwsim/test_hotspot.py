"""HotSpot's input files: its own temperatures and matrices, laws of heat, and files that are wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from typer.testing import CliRunner

from hwsim.cli import app
from hwsim.errors import ConfigurationError
from hwsim.hotspot.block_model import thermal_network
from hwsim.hotspot.configuration import load_configuration
from hwsim.hotspot.floorplan import Block, Floorplan, load_floorplan
from hwsim.hotspot.power_trace import load_power_trace
from hwsim.hotspot.temperatures import temperatures
from hwsim.plant.thermal import ThermalNetwork

ROOT = Path(__file__).resolve().parents[2]
CASES = Path(os.environ.get("HWSIM_REFERENCE") or ROOT.parent / "shared" / "reference") / "hotspot"
needs_cases = pytest.mark.skipif(
    not CASES.is_dir(), reason=f"no cases in {CASES}: HWSIM_REFERENCE names the folder that has 'hotspot'"
)

CONFIGURATION = """\
# package
-t_chip 0.0002
-k_chip 120
-p_chip 1.7e6
-t_interface 3e-5
-k_interface 3
-p_interface 4e6
-s_spreader 0.02
-t_spreader 0.001
-k_spreader 380
-p_spreader 3.5e6
-s_sink 0.05
-t_sink 0.004
-k_sink 230
-p_sink 2.4e6
-r_convec 2.5
-c_convec 30
-ambient 300
-init_temp 310   # a warm start
-sampling_intvl 0.02
-model_type block
-grid_rows 64
"""
FLOORPLAN = "left\t0.004\t0.006\t0\t0\nright\t0.002\t0.006\t0.004\t0\n"
POWER = "right left\n1 2\n0 3\n4 0\n"


class Case:
    """Three files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.floorplan, self.config = folder / "chip.flp", folder / "hotspot.config"
        self.power = folder / "power.ptrace"

    def network(self) -> ThermalNetwork:
        return thermal_network(load_floorplan(self.floorplan), load_configuration(self.config))

    def temperatures(self, *, steady: bool = False, all_nodes: bool = False) -> tuple[list[str], NDArray[np.float64]]:
        text = temperatures(self.floorplan, self.config, self.power, steady=steady, all_nodes=all_nodes).to_csv()
        header, *rows = text.splitlines()
        return header.split(","), np.array([[float(value) for value in row.split(",")] for row in rows])


@pytest.fixture
def case(tmp_path: Path) -> Case:
    found = Case(tmp_path)
    found.floorplan.write_text(FLOORPLAN)
    found.config.write_text(CONFIGURATION)
    found.power.write_text(POWER)
    return found


# HotSpot's own results.


@needs_cases
@pytest.mark.parametrize("name", ["two_blocks", "npu6"])
def test_transients_are_those_of_hotspot(name: str) -> None:
    blocks, found = Case(CASES / name).temperatures()
    header, *rows = (CASES / name / "transient.txt").read_text().splitlines()
    assert blocks == header.split()
    expected = np.array([[float(value) for value in row.split()] for row in rows if row.strip()])
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5  # asked: 1e-4; HotSpot's own integration errs by 4.5e-6


@needs_cases
@pytest.mark.parametrize("name", ["two_blocks", "npu6"])
def test_steady_states_are_those_of_hotspot(name: str) -> None:
    nodes, found = Case(CASES / name).temperatures(steady=True, all_nodes=True)
    lines = [line.split() for line in (CASES / name / "steady.txt").read_text().splitlines() if line.strip()]
    assert nodes == [node for node, _ in lines]
    assert np.abs(found[0] - np.array([float(kelvin) for _, kelvin in lines])).max() <= 2e-9  # asked: 1e-6


@needs_cases
@pytest.mark.parametrize("name", ["two_blocks", "npu6"])
def test_matrices_are_those_of_hotspot(name: str) -> None:
    network = Case(CASES / name).network()
    lines = (CASES / name / "rc_matrices.txt").read_text().splitlines()
    numbers = {key: [np.array(line.split()[1:], float) for line in lines if line.split()[:1] == [key]] for key in "AB"}
    np.testing.assert_allclose(network.capacities_joules_per_kelvin, numbers["A"][0], rtol=1e-14)
    matrix = (
        np.diag(network.conductances_watts_per_kelvin.sum(axis=1) + network.ambient_conductances_watts_per_kelvin)
        - network.conductances_watts_per_kelvin
    )
    np.testing.assert_allclose(matrix, np.array(numbers["B"]), rtol=1e-13, atol=1e-15)


# Laws.


def test_the_transient_solves_the_equation(case: Case) -> None:
    network = case.network()
    _, found = case.temperatures(all_nodes=True)
    trace = load_power_trace(case.power, load_floorplan(case.floorplan).blocks)
    between = network.conductances_watts_per_kelvin
    matrix = np.diag(between.sum(axis=1) + network.ambient_conductances_watts_per_kelvin) - between
    rise = np.full(len(network.nodes), 10.0)
    for watts, expected in zip(trace, found, strict=True):
        power = np.concatenate([watts, np.zeros(len(network.nodes) - 2)])

        def slope(_: float, x: NDArray[np.float64], power: NDArray[np.float64] = power) -> NDArray[np.float64]:
            return np.asarray((power - matrix @ x) / network.capacities_joules_per_kelvin)

        rise = solve_ivp(slope, (0, 0.02), rise, method="LSODA", rtol=1e-10, atol=1e-10).y[:, -1]
        np.testing.assert_allclose(rise + 300.0, expected, atol=2e-7)


def test_heat_that_enters_leaves_through_the_sink(case: Case) -> None:
    network = case.network()
    powers = np.zeros(len(network.nodes))
    powers[:2] = 1.0, 2.5
    leaving = network.steady(powers) * network.ambient_conductances_watts_per_kelvin
    assert leaving.sum() == pytest.approx(3.5, rel=1e-12)
    cold = {name for name, watts in zip(network.nodes, leaving, strict=True) if watts == 0.0}
    rims = {f"inode_{side}" for side in range(4)}
    assert cold == {"left", "right", "iface_left", "iface_right", "hsp_left", "hsp_right", *rims}


def test_a_trace_with_columns_in_another_order_is_the_same_trace(case: Case) -> None:
    _, found = case.temperatures()
    case.power.write_text("left right\n2 1\n3 0\n0 4\n")
    assert np.array_equal(case.temperatures()[1], found)


def test_a_chip_may_lie_anywhere(case: Case) -> None:
    _, found = case.temperatures()
    case.floorplan.write_text("left 0.004 0.006 -0.01 0.5\nright 0.002 0.006 -0.006 0.5\n")
    np.testing.assert_allclose(case.temperatures()[1], found, atol=2e-9)


def test_a_mirrored_chip_has_mirrored_temperatures(case: Case) -> None:
    """East and west differ in nothing but names; nor do north and south, nor the axes of a square package."""
    _, found = case.temperatures()
    case.floorplan.write_text("left 0.004 0.006 0.002 0\nright 0.002 0.006 0 0\n")
    np.testing.assert_allclose(case.temperatures()[1], found, atol=2e-9)
    case.floorplan.write_text("left 0.006 0.004 0 0.002\nright 0.006 0.002 0 0\n")
    np.testing.assert_allclose(case.temperatures()[1], found, atol=2e-9)


@given(
    powers=st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), min_size=1, max_size=6),
    interval=st.floats(1e-6, 100.0),
    start=st.floats(0, 50),
)
@settings(max_examples=50, deadline=None)
def test_marching_equals_one_segment_after_the_other(
    powers: list[tuple[float, float]], interval: float, start: float
) -> None:
    network = ThermalNetwork(
        nodes=("die", "board"),
        capacities_joules_per_kelvin=np.array([0.6, 31.0]),
        conductances_watts_per_kelvin=np.array([[0.0, 0.19], [0.19, 0.0]]),
        ambient_conductances_watts_per_kelvin=np.array([0.0, 0.1]),
    )
    watts = np.array(powers)
    rise = np.full(2, start)
    marched = network.march(rise, interval, watts)
    for expected, row in zip(marched, watts, strict=True):
        rise, _ = network.advance(rise, np.array([interval]), row[None])
        np.testing.assert_allclose(expected, rise, rtol=1e-9, atol=1e-9)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.lists(st.integers(1, 5), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_blocks_of_a_grid_share_whole_edges(widths: list[int], heights: list[int]) -> None:
    millimetre = 1e-3
    lefts, bottoms = np.cumsum([0, *widths]), np.cumsum([0, *heights])
    blocks = tuple(
        Block(
            name=f"{i}-{j}",
            width=w * millimetre,
            height=h * millimetre,
            left=lefts[i] * millimetre,
            bottom=bottoms[j] * millimetre,
        )
        for i, w in enumerate(widths)
        for j, h in enumerate(heights)
    )
    beside, above = Floorplan(blocks=blocks).shared_edges()
    assert beside.sum() == pytest.approx(2 * (len(widths) - 1) * sum(heights) * millimetre)
    assert above.sum() == pytest.approx(2 * (len(heights) - 1) * sum(widths) * millimetre)


# The command.


def test_the_command_prints_a_row_per_interval(case: Case) -> None:
    options = ["--floorplan", str(case.floorplan), "--config", str(case.config), "--power", str(case.power)]
    printed = CliRunner().invoke(app, ["thermal", *options]).stdout.splitlines()
    assert printed[0] == "left,right"
    assert len(printed) == 4
    assert all(re.fullmatch(r"\d+\.\d{9},\d+\.\d{9}", row) for row in printed[1:])
    steady = CliRunner().invoke(app, ["thermal", *options, "--steady", "--all-nodes"]).stdout.splitlines()
    assert steady[0].split(",")[:4] == ["left", "right", "iface_left", "iface_right"]
    assert len(steady) == 2
    assert len(steady[1].split(",")) == 4 * 2 + 12


WRONG = [
    ("flp", FLOORPLAN.replace("0.006\t0\t0", "0.006\t0"), r"chip.flp:1:1: 4 words: expected name, width, height"),
    ("flp", FLOORPLAN.replace("0.002", "2mm"), r"chip.flp:2:7: width of 'right' is '2mm': expected a number"),
    (
        "flp",
        FLOORPLAN.replace("0.002", "-1"),
        r"chip.flp:2:7: width of 'right' is -1: expected a finite .* above 0",
    ),
    ("flp", FLOORPLAN.replace("right", "left"), r"chip.flp:2:1: block 'left' is already on line 1"),
    ("flp", FLOORPLAN.replace("0.004\t0\n", "0.003\t0\n"), r"chip.flp:2:1: block 'right' covers a part of 'left'"),
    ("flp", FLOORPLAN + "left rihgt 3\n", r"chip.flp:3:6: no block 'rihgt'"),
    ("flp", FLOORPLAN.replace("\t0\n", "\t0\t1e6\t0.01\n"), r"7 words: .*materials of single blocks are for the grid"),
    ("flp", "# nothing\n", r"chip.flp: no blocks: expected lines of name, width"),
    ("flp", FLOORPLAN.replace("0.00", ""), r"does not lie within the spreader .*check that the floorplan is in metres"),
    (
        "flp",
        FLOORPLAN.replace("right\t0.002\t0.006", "right\t0.002\t0.003"),
        r"chip.flp: blocks leave 6 mm\^2 of a die",
    ),
    ("config", CONFIGURATION.replace("-ambient 300", "-ambient 45"), r"18:10: -ambient 45 is in kelvin.* write 318.15"),
    ("config", CONFIGURATION.replace("-init_temp 310", "-init_temp 60"), r"-init_temp 60 is in kelvin.* write 333.15"),
    ("config", CONFIGURATION.replace("-t_chip", "-t_chop"), r"hotspot.config:2:1: unknown setting -t_chop: .*t_chip"),
    ("config", CONFIGURATION.replace("-t_chip 0.0002\n", ""), r"hotspot.config: missing -t_chip: add a line"),
    ("config", CONFIGURATION + "-t_chip 1\n", r"hotspot.config:23:1: -t_chip is already on line 2"),
    ("config", CONFIGURATION.replace("block", "grid"), r":21:13: -model_type grid: expected block; the grid model"),
    (
        "config",
        CONFIGURATION.replace("-k_sink 230", "-k_sink 0"),
        r":14:9: -k_sink is 0: expected .* above",
    ),
    ("config", CONFIGURATION.replace("-k_sink 230", "-k_sink"), r":14:1: expected '-name value' on a line"),
    ("config", CONFIGURATION.replace("0.02\n-t_sp", "0.05\n-t_sp"), r"-s_spreader 0.05 is not smaller than -s_sink"),
    (
        "ptrace",
        POWER.replace("right left", "right letf"),
        r"ptrace:1:7: the floorplan has no block 'letf': .*left",
    ),
    ("ptrace", "left\n1\n", r"power.ptrace:1:1: no column for block 'right'"),
    ("ptrace", "left right left\n1 1 1\n", r"power.ptrace:1:12: block 'left' has two columns"),
    ("ptrace", POWER.replace("0 3", "0"), r"power.ptrace:3:1: 1 values: expected 2"),
    ("ptrace", POWER.replace("0 3", "0 -3"), r"power.ptrace:3:3: power of 'left' is -3: expected a finite number of 0"),
    ("ptrace", POWER.replace("0 3", "0 nan"), r"power.ptrace:3:3: power of 'left' is nan"),
    (
        "ptrace",
        POWER.replace("0 3", "0 3000"),
        r"ptrace:3:3: power of 'left' is 3000 W on 24 mm\^2: more than 100 W/mm",
    ),
    ("ptrace", "left right\n", r"power.ptrace: no interval"),
    ("ptrace", "", r"power.ptrace: empty"),
]


@pytest.mark.parametrize(("kind", "text", "message"), WRONG)
def test_a_wrong_file_is_named_with_its_place(case: Case, kind: str, text: str, message: str) -> None:
    file = {"flp": case.floorplan, "config": case.config, "ptrace": case.power}[kind]
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        case.temperatures()


def test_an_unreadable_file_is_named(case: Case) -> None:
    case.config.unlink()
    with pytest.raises(ConfigurationError, match=r"hotspot\.config: No such file"):
        case.temperatures()
    case.config.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"hotspot\.config: not a text file"):
        case.temperatures()
