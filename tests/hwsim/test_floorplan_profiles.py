"""Device profiles with a floorplan: their heat is that of HotSpot's block model, and their files are part of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bitmixer.errors import DocumentError
from bitmixer.networks import find_checkpoint
from hwsim import pipeline
from hwsim.config.packaged import directory, find
from hwsim.config.profile import load_profile
from hwsim.config.provenance import count_assumptions, provenance
from hwsim.device import build_device
from hwsim.hotspot.temperatures import temperatures
from hwsim.plant.ambient import Ambient
from hwsim.plant.plant import Plant

NAME = "edge_tpu_module"
BLOCKS = ("sram", "array", "logic", "phy")
FLOORPLAN, CONFIGURATION = directory("profiles") / f"{NAME}.flp", directory("profiles") / f"{NAME}.config"
INTERVAL = 10**10  # picoseconds: the configuration's sampling_intvl of 10 ms
SHORT = [f"profile={NAME}", "duration=300 ms", "outputs=none"]


def own_copy(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the profile and its files into a folder, and change the profile."""
    for file in (FLOORPLAN, CONFIGURATION):
        (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    text = find("profiles", NAME).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / f"{NAME}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_plant_s_temperatures_are_those_that_hwsim_thermal_prints(tmp_path: Path) -> None:
    """Layers of a real network, and idle times between them: each block gets the power of the actions that heat it."""
    device = build_device(load_profile(NAME))
    device = dataclasses.replace(device, leakage=dataclasses.replace(device.leakage, power_watts=0.0))
    costs = device.cost_table(find_checkpoint("resnet8_digits").graph, 400)
    parameters = device.plant_parameters([costs], Ambient.constant(25.0))
    plant = Plant(parameters)
    generator = np.random.default_rng(5)
    rows = np.where(generator.random(150) < 0.3, 0, generator.integers(1, costs.rows, 150))
    found = []
    for number, row in enumerate(rows.tolist(), start=1):
        plant.record(row, INTERVAL)
        plant.advance_to(number * INTERVAL)
        found.append(plant.temperatures_celsius()[:4])
    watts = parameters.energy_rows_joules[rows, :4] / 0.01 + parameters.constant_powers_watts[:4]
    assert np.all(watts.max(axis=0) > watts.min(axis=0))  # every block has work of its own
    trace = [" ".join(BLOCKS), *(" ".join(f"{value:.17g}" for value in line) for line in watts.tolist())]
    (tmp_path / "power.ptrace").write_text("\n".join(trace) + "\n", encoding="utf-8")
    printed = temperatures(FLOORPLAN, CONFIGURATION, tmp_path / "power.ptrace", steady=False, all_nodes=False).to_csv()
    header, *lines = printed.splitlines()
    assert header == ",".join(BLOCKS)
    kelvin = np.array([[float(value) for value in line.split(",")] for line in lines])
    assert np.ptp(kelvin) > 1.0
    np.testing.assert_allclose(np.array(found) + 273.15, kelvin, atol=2e-9, rtol=0)


def test_actions_heat_the_block_that_does_them() -> None:
    profile, device = load_profile(NAME), build_device(load_profile(NAME))
    assert device.thermal_network.nodes[:4] == BLOCKS
    assert len(device.thermal_network.nodes) == 4 * len(BLOCKS) + 12
    assert device.thermal_network.nodes[device.sensor_node] == "array"
    heated = {entry.per: entry.heats for entry in profile.energy.values() if entry.value}
    assert heated == {"array_cycle": "array", "buffer_bit": "sram", "vector_operation": "logic", "dram_bit": "phy"}


def test_every_number_of_the_files_counts_as_one_of_the_profile() -> None:
    rows = {row.path: row for row in provenance(load_profile(NAME))}
    assert rows["thermal.floorplan.array"].value == "1.998 mm2"
    assert rows["thermal.floorplan.array"].range == "x 0.4 to 2.5"
    assert rows["thermal.configuration.k_chip"].source is not None
    assert rows["thermal.configuration.r_convec"].assumption is not None
    assert "thermal.configuration.ambient" not in rows  # the scenario says how warm it is
    of_files = [row for path, row in rows.items() if path.startswith(("thermal.floorplan", "thermal.configuration"))]
    assert len(of_files) == 4 + 16
    assert count_assumptions(load_profile(NAME)) == sum(row.assumption is not None for row in rows.values())


def test_files_lie_beside_the_profile_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"extends: {NAME}\nname: mine\n", encoding="utf-8")
    mine = load_profile(str(tmp_path / "mine.yaml"))
    assert mine.thermal.heatable == BLOCKS
    with pytest.raises(DocumentError, match=r"\.yaml:\d+:\d+: thermal\.floorplan\.path: .*else\.flp: no"):
        load_profile(str(own_copy(tmp_path, (f"path: {NAME}.flp", "path: else.flp"))))


def test_what_the_files_say_is_part_of_a_run_and_copied_into_it(tmp_path: Path) -> None:
    path = own_copy(tmp_path)
    sets = [f"profile={path}", *SHORT[1:]]
    packaged = pipeline.plan("thermal_throttle", sets=SHORT).run_id
    assert pipeline.plan("thermal_throttle", sets=sets).run_id == packaged
    configuration = tmp_path / CONFIGURATION.name
    text = configuration.read_text(encoding="utf-8")
    configuration.write_text(text.replace("298.15", "300") + "# a remark\n", encoding="utf-8")
    planned = pipeline.plan("thermal_throttle", sets=sets)
    assert planned.run_id == packaged  # ambient comes from the scenario
    configuration.write_text(text.replace("-r_convec     18.0", "-r_convec     17.0"), encoding="utf-8")
    changed = pipeline.plan("thermal_throttle", sets=sets)
    assert changed.run_id != packaged
    pipeline.run(changed, tmp_path / "run", figures=False)
    again = load_profile(str(tmp_path / "run" / "profile.yaml"))
    assert again.thermal.configuration is not None
    assert again.thermal.configuration.settings.r_convec == 17.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("heats: phy", "heats: pyh", r"energy\.pcie\.heats: unknown node 'pyh': did you mean 'phy'"),
        ("sensor_node: array", "sensor_node: hsp_array", r"thermal\.sensor_node: unknown node 'hsp_array'"),
        ("  sensor_node:", "  nodes: {die: {value: 1 J/K, source: x}}\n  sensor_node:", "its own network: remove"),
        ("      k_chip: &", "      k_chap: &", r"published\.k_chap: no number 'k_chap': did you mean 'k_chip'"),
        ("    range: [0.4, 2.5]\n", "", r"thermal\.floorplan: numbers without a source \(sram, array, logic, phy\)"),
        ("    range: [0.4, 2.5]\n", "    range: [2, 4]\n", r"floorplan\.range: \[2\.0, 4\.0\] are no factors around 1"),
    ],
)
def test_wrong_floorplans_are_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        load_profile(str(own_copy(tmp_path, (old, new))))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sram ", "ambient ", "'ambient' is a reserved name: call the block differently"),
        ("0.0020  0.00365", "0.0020  0.365", "blocks leave .* empty, and heat does not cross a gap"),
        ("0.0018  0.00111", "0.0018  wide", r"edge_tpu_module\.flp:4:\d+: height of 'array' is 'wide'"),
    ],
)
def test_wrong_files_are_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = own_copy(tmp_path)
    plan = tmp_path / FLOORPLAN.name
    text = plan.read_text(encoding="utf-8")
    assert old in text
    plan.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DocumentError, match=message):
        load_profile(str(path))


def test_half_a_floorplan_is_refused(tmp_path: Path) -> None:
    text = own_copy(tmp_path).read_text(encoding="utf-8")
    start, end = text.index("  configuration:\n"), text.index("  sensor_node:")
    with pytest.raises(DocumentError, match=r"thermal\.configuration: missing: expected \{path: FILE"):
        load_profile(str(own_copy(tmp_path, (text[start:end], ""))))
