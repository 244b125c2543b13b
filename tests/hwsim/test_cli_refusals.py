"""Every kind of bad input is answered with one clear error: where it stands, what was expected, what is nearest."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.config.packaged import find

Command = Callable[..., Any]

VALUES = "cost", "--network", "resnet8_digits", "--data", "digits"
BITWAVE = (*VALUES, "--array", "bitwave", "--set", "group=8", "--set", "rows=4", "--set", "columns=4")


def test_a_command_line_that_is_none(hwsim: Command) -> None:
    for arguments in (("runn",), ("run",), ("run", "x", "--seed", "-1"), ("cost", "--inputs", "0")):
        answer = hwsim(*arguments)
        assert answer.code == 2
        assert "Traceback" not in answer.err
        assert answer.err


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (("queue:", "quue:"), ("s.yaml:8:1: quue: ", "did you mean 'queue'")),
        (("capacity: 3", "capacity: many"), ("s.yaml:8:19: queue.capacity: ", "'many'")),
        (("deadline: 4 ms", "deadline: 4"), ("s.yaml:14:15: streams.0.deadline: ", "ms")),
        (("deadline: 4 ms", "deadline: 4 mJ"), ("s.yaml:14:15: streams.0.deadline: ",)),
        (("temperature: 30 degC", "temperature: .nan"), ("s.yaml:21:42: environment.ambient.temperature: nan is not",)),
        (("temperature: 30 degC", "temperature: [1"), ("s.yaml:", "not valid YAML")),
        (("profile: bismo_pynq_z1", "profile: bismo_pynq"), ("s.yaml:3:10: profile: ", "did you mean 'bismo_pynq_z1'")),
        (("profile: bismo_pynq_z1", "profile: mine.yaml"), ("s.yaml:3:10: profile: ", "mine.yaml: no such file")),
        (("network: resnet8_digits", "network: resnet8_digit"), ("s.yaml:11:14: ", "did you mean 'resnet8_digits'")),
        (("data: digits+noise0.3@1", "data: digits+frost0.3@1"), ("s.yaml:12:11: ", "unknown corruption 'frost'")),
        (("data: digits+noise0.3@1", "data: mnist"), ("s.yaml:12:11: ", "unknown set 'mnist': did you mean 'mnist5k'")),
        (("name: hysteresis", "name: hysteresi"), ("s.yaml:22:13: ", "did you mean 'hysteresis'")),
        (("period_milliseconds", "period_millisecond"), ("s.yaml:22:13: ", "did you mean 'period_milliseconds'")),
        (("period_milliseconds: 1", "rungs: [8, 5]"), ("s.yaml:22:13: ", "cannot run at 5 bits; its layers allow")),
    ],
)  # fmt: skip
def test_a_scenario_that_is_wrong(
    hwsim: Command, write_scenario: Callable[..., str], tmp_path: Path, change: tuple[str, str], messages: Any
) -> None:
    path = write_scenario(change)
    for command in (("validate", path), ("run", path, "--out", tmp_path / "run")):
        hwsim(*command).refused(*messages)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "column", "message"),
    [
        (
            ('value: 0.75\n    source: "UG585 1.15, DDR Efficiency:', 'value: 0.75 #"'),
            5,
            "memory.dram_efficiency: a number without a source",
        ),
        (("value: 2.1 GB/s", "value: 0 GB/s"), 12, "memory.dram_peak_bandwidth.value: 0 GB/s is out of bounds"),
        (("value: 2.1 GB/s", "value: .nan"), 12, "memory.dram_peak_bandwidth.value: nan is not a finite number"),
        (("value: 2.1 GB/s", "value: 2.1 GB"), 12, "memory.dram_peak_bandwidth.value: "),
        (("value: 0.75\n", "value: 1.75\n"), 12, "memory.dram_efficiency.value: 1.75 is out of bounds"),
        (("dram_efficiency:", "dram_eficiency:"), 3, "unknown key 'dram_eficiency': did you mean 'dram_efficiency'"),
        (("sensor_node: junction", "sensor_node: junktion"), 16, "did you mean 'junction'"),
    ],
    ids=["no source", "no bandwidth", "nan", "wrong unit", "more than all", "unknown key", "unknown node"],
)
def test_a_profile_that_is_wrong(
    hwsim: Command,
    write_scenario: Callable[..., str],
    tmp_path: Path,
    change: tuple[str, str],
    column: int,
    message: str,
) -> None:
    text = find("profiles", "bismo_pynq_z1").read_text(encoding="utf-8")
    before, found, after = text.partition(change[0])
    assert found
    assert change[0] not in after
    (tmp_path / "p.yaml").write_text(before + change[1] + after, encoding="utf-8")
    place = f"{tmp_path / 'p.yaml'}:{before.count(chr(10)) + 1}:{column}: "
    scenario = write_scenario(("profile: bismo_pynq_z1", "profile: p.yaml"))
    hwsim("validate", tmp_path / "p.yaml").refused(place, message)
    hwsim("run", scenario, "--out", tmp_path / "run").refused(place, message)


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--set", "queue.capacity"], ["--set queue.capacity: expected PATH=VALUE"]),
        (["--set", "queue.capasity=3"], ["--set queue.capasity", "did you mean 'capacity'"]),
        (["--set", "queue.capacity=x"], ["--set queue.capacity: queue.capacity: "]),
        (["--set", "queue.capacity=["], ["--set queue.capacity", "not valid YAML"]),
        (["--set", "streams.3.data=digits"], ["--set streams.3.data: streams is a list of 1"]),
        (["--set", "profile.memory.dram_efficiency.value=2"], ["memory.dram_efficiency.value: "]),
        (["--set", "profile.memory.dram_peak_bandwidth.value=0 GB/s"], ["dram_peak_bandwidth.value: "]),
        (["--controller", "histeresis"], ["--controller histeresis: unknown controller", "did you mean 'hysteresis'"]),
        (["--controller", "static:bits=5"], ["--controller static:bits=5: ", "cannot run at 5 bits"]),
        (["--controller", "static:bits"], ["expected NAME:option=value, got 'bits'"]),
    ],
)
def test_options_that_are_wrong(
    hwsim: Command, bursty: str, tmp_path: Path, arguments: list[str], messages: list[str]
) -> None:
    hwsim("run", bursty, "--out", tmp_path / "run", *arguments).refused(*messages)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["run", "nowhere/s.yaml"], ["nowhere/s.yaml: no such file", "there is no directory nowhere"]),
        (["run", "thermal_throtle"], ["no packaged scenario 'thermal_throtle': did you mean 'thermal_throttle'"]),
        (["validate", "thermal_throtle"], ["did you mean 'thermal_throttle'"]),
        (["replay", "nowhere"], ["nowhere: no such run folder"]),
        (["digest", "."], ["no complete run; missing: manifest.json"]),
        (["schema", "scenarios"], ["unknown document 'scenarios': did you mean 'scenario'"]),
        (["cost"], ["give either --layers FILE.csv or --network NAME"]),
        (["cost", "--network", "resnet18", "--bits", "2", "--all-widths"], ["--bits and --all-widths exclude"]),
        (["cost", "--layers", "l.csv", "--bits", "2"], ["--bits goes with --network"]),
        (["cost", "--network", "resnet18", "--assignment", "nowhere.json"], ["nowhere.json: no such file"]),
        (["cost", "--network", "resnet8_digit"], ["did you mean 'resnet8_digits'"]),
        (["cost", "--network", "resnet8_digits", "--bits", "5"], ["cannot run at w5a5: it allows w2a2, w4a4, w8a8"]),
        (["cost", "--network", "resnet8_digits", "--array", "bizmo"], ["did you mean 'bismo'"]),
        (["cost", "--network", "resnet8_digits", "--set", "rows=²"], ["--set rows=²: expected PARAMETER=WHOLE NUMBER"]),
        (["cost", "--network", "resnet8_digits", "--set", "rows=0"], ["rows"]),
        (["cost", "--network", "resnet8_digits", "--set", "rws=4"], ["rws", "did you mean 'rows'"]),
        (["cost", "--layers", "nowhere.csv"], ["nowhere.csv"]),
        ([*VALUES], ["say which array skips work", "bitvert, bitwave, loom_values, "]),
        ([*VALUES, "--array", "bismo"], ["array bismo takes the same cycles whatever the values", "pragmatic"]),
        ([*VALUES, "--array", "pragmatik"], ["did you mean 'pragmatic'"]),
        ([*VALUES, "--array", "pragmatic", "--set", "lanes=8"], ["array pragmatic: missing columns, rows, tiles"]),
        ([*BITWAVE, "--bits", "2", "--all-widths"], ["--bits and --all-widths exclude"]),
        ([*BITWAVE, "--all-widths"], ["--data: values flow under one assignment"]),
        ([*BITWAVE, "--inputs", "360"], ["--inputs 360: the test split of digits has 359 inputs"]),
        ([*BITWAVE, "--data", "digit"], ["unknown set 'digit': did you mean 'digits'"]),
        ([*BITWAVE, "--network", "resnet18"], ["digits", "resnet18"]),
        ([*VALUES, "--array", "pragmatic", "--data", "digit"], ["unknown set 'digit': did you mean 'digits'"]),
        (["cost", "--network", "resnet8_digits", "--bits", "-4"], ["--bits -4: expected a whole number from 1"]),
        (["cost", "--network", "resnet8_digits", "--bits", "0"], ["--bits 0: expected a whole number from 1"]),
        (
            ["cost", "--network", "resnet18", "--array", "bitfusion", "--set",
             "profile.memory.dram_efficiency.value=0.6"],
            ["array bitfusion has its own memory and energies: leave --set profile.PATH out"],
        ),
        (["cost", "--network", "resnet8_digits", "--profile", ""], ["a profile without a name"]),
        (["cost", "--network", "resnet8_digits", "--profile", "cacti_45nm_hp"], ["is an energy table, not a profile"]),
        (["profiles", "show", "cacti_45nm_hp"], ["cacti_45nm_hp is an energy table, not a profile"]),
        (["profiles", "show", str(find("profiles/energy", "dram"))], ["dram.yaml: an energy table, not a profile"]),
        (["cost", "--network", "resnet8_digits", "--profile", "mine.yaml"], ["its folder has no .yaml or .yml file"]),
        (
            ["cost", "--network", "resnet8_digits", "--profile", "unpu", "--set", "profile.energy.dram.value=8 mJ",
             "--set", "profile.energy.dram.range=[1 pJ, 9 mJ]"],
            ["energy.dram.value: 8 mJ for one dram_bit: no more than 1e-09 J is plausible"],
        ),
        ([*BITWAVE, "--layers", "layers.csv"], ["--data goes with --network, and not with --layers"]),
        (["cost", "--layers", "l.csv", "--data", "digits"], ["--data goes with --network"]),
    ],
)  # fmt: skip
def test_names_that_are_wrong(
    hwsim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], messages: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    hwsim(*arguments).refused(*messages)


def test_a_folder_that_is_no_run(hwsim: Command, bursty: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    hwsim("run", bursty, "--out", tmp_path).refused("holds files that are no run")
    hwsim("run", bursty, "--out", tmp_path / "mine.txt" / "deeper").refused("cannot be made")


def truncated(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def with_nan(folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "weights.safetensors")
    name = next(key for key, tensor in tensors.items() if tensor.dtype == np.float32 and tensor.size > 1)
    tensors[name] = np.full_like(tensors[name], np.nan)
    save_file(tensors, folder / "weights.safetensors")
    _sign(folder)


def of_another_shape(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "weights.safetensors")
    tensors.pop(min(tensors))
    save_file(tensors, folder / "weights.safetensors")
    _sign(folder)


def _sign(folder: Path) -> None:
    content = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    content["weights_sha256"] = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "checkpoint.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "weights.safetensors: truncated or changed"),
        (with_nan, "holds NaN or infinity"),
        (of_another_shape, "weights of another network"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "weights.safetensors: missing"),
        (lambda folder: (folder / "graph.json").write_text("{", encoding="utf-8"), "graph.json:1:"),
        (lambda folder: (folder / "checkpoint.json").write_text("[]", encoding="utf-8"), "checkpoint.json: not a"),
    ],
    ids=["truncated", "nan", "other", "missing", "graph", "description"],
)
def test_a_checkpoint_that_is_damaged(
    hwsim: Command, write_scenario: Callable[..., str], tmp_path: Path, one_thread: None, damage: Any, message: str
) -> None:
    shutil.copytree(find_checkpoint("resnet8_digits").path, tmp_path / "network")
    scenario = write_scenario(("network: resnet8_digits", "network: network"), ("outputs: none", "outputs: lazy"))
    assert hwsim("validate", scenario).code == 0
    damage(tmp_path / "network")
    hwsim("run", scenario, "--out", tmp_path / "run").refused(message)


def test_a_controller_that_misbehaves_ends_the_run_with_3(
    hwsim: Command, bursty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitmixer.bitwidths import BitWidths
    from hwsim.controllers.base import Decision
    from hwsim.controllers.hysteresis import Hysteresis

    wrong = Decision(widths={"stages.0.0.conv1": BitWidths(7, 7)}, reason="")
    monkeypatch.setattr(Hysteresis, "decide", lambda self, observation, state, generator: (wrong, state))
    answer = hwsim("run", bursty, "--out", tmp_path / "run")
    answer.refused("controller Hysteresis: site 'stages.0.0.conv1' cannot run at w7a7", code=3)


def test_data_of_another_shape_than_the_network_takes(hwsim: Command, write_scenario: Callable[..., str]) -> None:
    scenario = write_scenario(("data: digits+noise0.3@1", "data: mnist5k"))
    for command in ("run", "validate"):
        hwsim(command, scenario).refused("s.yaml:12:11: ", "shape (1, 28, 28)", "takes (1, 8, 8): choose digits")
