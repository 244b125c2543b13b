"""Networks in ONNX files, priced and simulated: what the command line makes of them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="needs the extra 'onnx'")

import onnx

import bitmixer
from bitmixer.networks import find_checkpoint

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
ROOT = Path(__file__).parent.parent.parent
Command = Callable[..., Any]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Return the shipped digits network as QONNX at 4 bits."""
    network = bitmixer.load_network("resnet8_digits")
    bitmixer.export_qonnx(network, network.uniform(4), tmp_path / "digits.onnx")
    return tmp_path / "digits.onnx"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_plain_network_is_priced_at_any_width(hwsim: Command) -> None:
    file = LIGHT / "light_squeezenet.onnx"
    eight, two = (rows(hwsim("cost", "--network", file, "--bits", bits).out) for bits in (8, 2))
    assert len(eight) == len(two) == 26
    assert (two[5]["weight_bits"], two[5]["activation_bits"]) == ("2", "2")
    assert int(eight[5]["compute_cycles"]) == 16 * int(two[5]["compute_cycles"])
    assert two[0] != two[5]
    assert two[0]["weight_bits"] == "8"  # the first layer is pinned


def test_an_exported_network_costs_what_the_original_does(hwsim: Command, exported: Path) -> None:
    """At its highest bits; below, a frozen network stores no plane that it does not use, and fetches no carry."""
    original = rows(hwsim("cost", "--network", "resnet8_digits", "--bits", 4).out)
    frozen = rows(hwsim("cost", "--network", exported).out)
    assert [row["compute_cycles"] for row in frozen] == [row["compute_cycles"] for row in original]
    for layer, row, other in zip(find_checkpoint("resnet8_digits").graph.layers, frozen, original, strict=True):
        carry = 0 if layer.pinned else layer.weights
        assert int(row["dram_bits"]) == int(other["dram_bits"]) - carry
    assert rows(hwsim("cost", "--network", exported, "--bits", 4).out) == frozen
    hwsim("cost", "--network", exported, "--bits", 8).refused("digits is pinned throughout and cannot run at 8 bits")


def test_a_scenario_runs_on_an_onnx_network_without_outputs(
    hwsim: Command, write_scenario: Callable[..., Path], exported: Path, tmp_path: Path
) -> None:
    network = bitmixer.load_network("resnet8_digits")
    bitmixer.export_qonnx(network, network.uniform(8), exported)
    scenario = write_scenario(("network: resnet8_digits", "network: digits.onnx"))
    original = write_scenario(name="original.yaml")
    for name, of in (("onnx", scenario), ("original", original)):
        done = hwsim("run", of, "--controller", "static", "--out", tmp_path / name, "--quiet")
        assert (done.code, done.err) == (0, "")
    read, expected = (
        json.loads((tmp_path / name / "summary.json").read_text(encoding="utf-8")) for name in ("onnx", "original")
    )
    assert read["energy_joules"] == expected["energy_joules"]
    assert read["inputs_completed"] == expected["inputs_completed"] > 0
    assert read["accuracy"] is None


def test_outputs_need_weights_that_are_a_checkpoint_s(
    hwsim: Command, write_scenario: Callable[..., Path], exported: Path, tmp_path: Path
) -> None:
    scenario = write_scenario(("network: resnet8_digits", "network: digits.onnx"), ("outputs: none", "outputs: lazy"))
    hwsim("run", scenario, "--out", tmp_path / "x").refused("digits is a geometry without trained weights")


def test_onnx_networks_that_cannot_be_read_are_refused(
    hwsim: Command, write_scenario: Callable[..., Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    hwsim("cost", "--network", broken).refused("broken.onnx: not an ONNX file")
    hwsim("cost", "--network", tmp_path / "missing.onnx").refused("missing.onnx: no such file")
    scenario = write_scenario(("network: resnet8_digits", "network: broken.onnx"))
    hwsim("run", scenario, "--out", tmp_path / "x").refused("streams.0.network: ", "broken.onnx: not an ONNX file")


def test_a_checkpoint_of_an_onnx_file_is_known_by_its_content(exported: Path) -> None:
    first = find_checkpoint(exported)
    assert first.reference == str(exported.resolve())
    before = first.sha256
    bitmixer.export_qonnx(network := bitmixer.load_network("resnet8_digits"), network.uniform(2), exported)
    assert find_checkpoint(exported).sha256 != before


def test_without_the_extra_the_error_names_it(exported: Path) -> None:
    code = (
        "import sys\nfrom importlib import util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'onnx' else find(name, *rest)\n"
        f"sys.argv = ['hwsim', 'cost', '--network', {str(exported)!r}]\n"
        "from hwsim.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: reading and writing ONNX needs the extra 'onnx': pip install")
