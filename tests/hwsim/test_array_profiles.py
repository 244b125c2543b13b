"""Array profiles: what their papers publish comes out of model and profile together; prices on the command line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import DocumentError
from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.accelerator import Accelerator, build_accelerator
from hwsim.config.array_profile import ArrayProfile, load_any_profile
from hwsim.config.packaged import find, packaged_names
from hwsim.config.provenance import count_assumptions, provenance
from hwsim.cost.arrays import ARRAYS, LayerShapes
from hwsim.cost.arrays.bitfusion import BUFFER_BIT_JOULES, DRAM_BIT_JOULES, UNIT_CYCLE_JOULES

NAMES = packaged_names("profiles/arrays")


def accelerator(name: str) -> Accelerator:
    profile = load_any_profile(name)
    assert isinstance(profile, ArrayProfile)
    return build_accelerator(profile)


def shapes(channels: int, outputs: int, positions: int) -> LayerShapes:
    """Return one 1 x 1 convolution that fills an array of these sizes."""
    one = {name: np.array([1]) for name in ("kernel_height", "kernel_width", "stride_height", "stride_width", "groups")}
    height = {name: np.array([1]) for name in ("input_height", "output_height")}
    width = {name: np.array([positions]) for name in ("input_width", "output_width")}
    return LayerShapes(
        names=("full",), input_channels=np.array([channels]), output_channels=np.array([outputs]), **one, **height,
        **width, is_dilated=np.array([False]), reads_network_input=np.array([False]), inputs_per_frame=1,
    )  # fmt: skip


def joules_and_seconds_per_mac(name: str, size: LayerShapes, weight: int, activation: int) -> tuple[float, float]:
    device = accelerator(name)
    bits = np.array([weight]), np.array([activation])
    energy = device.energy_table.energy_joules(device.array.action_counts(size, *bits))
    seconds = device.array.compute_cycles(size, *bits) / device.frequencies_hertz[0]
    return float(energy[0] / size.macs[0]), float(seconds[0] / size.macs[0])


UNPU = shapes(channels=144, outputs=64, positions=6)  # fills 12 tables of three inputs, and of four


@pytest.mark.parametrize(("bits", "gops", "tops_per_watt"), [(16, 345.6, 3.08), (1, 7372, 50.6)])
def test_unpu_meets_its_peaks(bits: int, gops: float, tops_per_watt: float) -> None:
    joules, seconds = joules_and_seconds_per_mac("unpu", UNPU, bits, 16)
    assert 2 / seconds / 1e9 == pytest.approx(gops, rel=1e-3)
    assert 2 / joules / 1e12 == pytest.approx(tops_per_watt, rel=2e-3)


def test_unpu_from_16_bits_to_one() -> None:
    wide, narrow = (joules_and_seconds_per_mac("unpu", UNPU, bits, 16) for bits in (16, 1))
    assert wide[0] / narrow[0] == pytest.approx(16.4, rel=0.05)
    assert wide[1] / narrow[1] == pytest.approx(16 * 4 / 3)  # the whole of the 4/3 goes into time


BRAINTTA = shapes(channels=32, outputs=32, positions=4)


@pytest.mark.parametrize(("bits", "gops", "femtojoules"), [(1, 614, 35), (2, 307, 67), (8, 77, 405)])
def test_braintta_meets_its_three_precisions(bits: int, gops: float, femtojoules: float) -> None:
    joules, seconds = joules_and_seconds_per_mac("braintta", BRAINTTA, bits, bits)
    assert 2 / seconds / 1e9 == pytest.approx(gops, rel=3e-3)
    assert joules / 2 == pytest.approx(femtojoules * 1e-15)


def test_braintta_from_8_bits_to_one_and_in_between() -> None:
    per_mac = {bits: joules_and_seconds_per_mac("braintta", BRAINTTA, bits, bits) for bits in range(1, 9)}
    assert per_mac[8][0] / per_mac[1][0] == pytest.approx(11.6, rel=5e-3)
    assert all(per_mac[bits] == per_mac[8] for bits in range(3, 8))
    assert joules_and_seconds_per_mac("braintta", BRAINTTA, 1, 2) == per_mac[2]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"word_bits": 7}, "word_bits = 7: a word must hold an operand of 8 bits"), ({"rows": 0}, "rows = 0")],
)
def test_impossible_braintta(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        ARRAYS["braintta"](**parameters)


def test_braintta_does_no_more_than_8_bits() -> None:
    with pytest.raises(DocumentError, match="layer 'full': 9-bit weights: it does at most 8 bits"):
        joules_and_seconds_per_mac("braintta", BRAINTTA, 9, 8)


@pytest.mark.parametrize(("name", "tops"), [("bismo_8x256x8", 6.5), ("bismo_10x256x10", 15.4)])
def test_bismo_meets_its_peaks(name: str, tops: float) -> None:
    device = accelerator(name)
    size = shapes(channels=device.array.depth, outputs=device.array.rows, positions=device.array.columns)
    assert 2 / joules_and_seconds_per_mac(name, size, 1, 1)[1] / 1e12 == pytest.approx(tops, rel=0.01)


def test_bitfusions_profile_is_what_its_model_has() -> None:
    profile = load_any_profile("bitfusion")
    assert profile.array.build() == ARRAYS["bitfusion"]()
    assert profile.energy["units"].value == pytest.approx(512 * UNIT_CYCLE_JOULES)
    assert profile.energy["dram"].value == DRAM_BIT_JOULES
    reads = [BUFFER_BIT_JOULES[buffer][0] for buffer in ("weight", "activation")]
    assert profile.energy["buffers"].value == pytest.approx(sum(reads) / 2, rel=1e-3)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def total(answer: Any, column: str) -> float:
    return sum(float(row[column]) for row in rows(answer.out))


def test_bitfusion_from_8_to_2_bits_on_a_network(hwsim: Callable[..., Any]) -> None:
    """The first and the last layer stay at 8 bits; its own simulator gives 2.75."""
    wide, narrow = (
        total(hwsim("cost", "--profile", "bitfusion", "--network", "resnet18", "--bits", bits), "energy_joules")
        for bits in (8, 2)
    )
    assert wide / narrow == pytest.approx(2.75, rel=5e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_an_array_has_a_source_or_is_an_assumption(name: str, hwsim: Callable[..., Any]) -> None:
    profile = load_any_profile(name)
    told = provenance(profile)
    assert profile.name == name
    for row in told:
        assert (row.source is None) != (row.assumption is None), row.path
        assert row.range or row.source, row.path
    said = hwsim("validate", name).out
    assert f"valid profile {name}: {len(told)} numbers, {count_assumptions(profile)} of them assumed" in said


@pytest.mark.parametrize("name", NAMES)
def test_networks_are_priced_with_the_profiles_array_and_energy(name: str, hwsim: Callable[..., Any]) -> None:
    answer = hwsim("cost", "--profile", name, "--network", "resnet8_digits", "--bits", 4)
    profile = load_any_profile(name)
    costs = build_accelerator(profile).cost_table(find_checkpoint("resnet8_digits").graph, 1)
    assert total(answer, "compute_cycles") == sum(
        int(costs.compute_cycles[site, costs.width_index(bits), costs.width_index(bits)])
        for site, one in enumerate(costs.graph.layers)
        for bits in [8 if one.pinned else 4]
    )
    if name != "bitfusion":  # which has energies of its own
        pairs = {one.name: BitWidths(8, 8) if one.pinned else BitWidths(4, 4) for one in costs.graph.layers}
        assert total(answer, "energy_joules") == pytest.approx(costs.frame_energy_joules(pairs))


def test_set_overrides_the_profile_and_another_array_is_refused(hwsim: Callable[..., Any]) -> None:
    ask = "cost", "--profile", "unpu", "--network", "resnet8_digits"
    assert total(hwsim(*ask, "--set", "columns=1"), "compute_cycles") > total(hwsim(*ask), "compute_cycles")
    assert hwsim(*ask, "--array", "unpu").out == hwsim(*ask).out
    hwsim(*ask, "--array", "loom").refused("profile unpu is that of an array of kind unpu: leave --array loom out")
    hwsim("cost", "--profile", "unpo", "--network", "resnet8_digits").refused("did you mean 'unpu'?")


def test_energies_of_another_process_are_scaled_and_shown(hwsim: Callable[..., Any]) -> None:
    told = {row.path: row for row in provenance(load_any_profile("bismo_10x256x10"))}
    logic = told["energy.array_logic"]
    assert (logic.value, logic.scaled) == ("0.45 pJ", "0.121 pJ")
    assert told["energy.dram"].scaled == ""
    assert "energy.array_logic: 0.45 pJ, scaled to 0.121 pJ" in hwsim("profiles", "show", "bismo_10x256x10").out
    table = accelerator("bismo_10x256x10").energy_table
    assert table.joules_per_action("binary_mac") == pytest.approx(0.121e-12, rel=1e-3)


def changed(tmp_path: Path, old: str, new: str, *, kind: str = "profiles/arrays", name: str = "stripes") -> Path:
    text = find(kind, name).read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "changed.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{node: 45 nm, voltage: 0.9 V}",
            "{node: 5 nm, voltage: 0.9 V}",
            "scaled_from: a process of 5 nm: the",
        ),
        ("{node: 45 nm, voltage: 0.9 V}", "{node: 45, voltage: 0.9 V}", "scaled_from.node: 45 has no unit"),
        ("{node: 45 nm, voltage: 0.9 V}", "{node: 45.5 nm, voltage: 0.9 V}", "45.5 nm is not a whole number of nm"),
        ("per: dram_bit", "per: binary_mac", "energy: no entry for the action 'dram_bit'"),
        ("clock:", "clok:", "clok: unknown key 'clok': did you mean 'clock'?"),
        ("kind: stripes", "kind: strips", "array.kind: unknown value 'strips': did you mean 'stripes'?"),
    ],
)
def test_wrong_array_profiles_are_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load_any_profile(str(changed(tmp_path, old, new)))
    assert message in str(caught.value)


def test_a_device_scales_too_but_must_say_to_which_process(tmp_path: Path) -> None:
    old = "value: 0.45 pJ\n"
    new = f"{old}    scaled_from: {{node: 45 nm, voltage: 0.9 V}}\n"
    path = changed(tmp_path, old, new, kind="profiles", name="bismo_pynq_z1")
    with pytest.raises(DocumentError, match=r"energy.array_logic.scaled_from: scaled to which process\? Give the"):
        load_any_profile(str(path))
    node = "process_node: {value: 28 nm, source: x}\narray:\n"
    path.write_text(path.read_text(encoding="utf-8").replace("array:\n", node, 1), encoding="utf-8")
    joules = load_any_profile(str(path)).joules()
    assert joules["array_logic"] == pytest.approx(0.45e-12 * 0.5150 / 0.8443, rel=1e-3)  # f(28, 1.0) over f(45, 0.9)
    assert joules["dram_device"] == 42e-12


@pytest.mark.parametrize("kind", ["array_profile", "energy_table"])
def test_schemas(kind: str, hwsim: Callable[..., Any]) -> None:
    assert "properties" in json.loads(hwsim("schema", kind).out)


def test_profiles_of_both_kinds_are_listed(hwsim: Callable[..., Any]) -> None:
    listed = hwsim("profiles").out
    for name in ("bismo_pynq_z1", *NAMES):
        assert f"\n{name}: " in f"\n{listed}"
