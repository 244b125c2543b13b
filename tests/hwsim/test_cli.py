"""The command line: what each command prints, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bitmixer.assignment_file import save_assignment
from bitmixer.networks import find_checkpoint
from hwsim import cli
from hwsim.cost.arrays.valued import Pragmatic, network_cycles
from hwsim.outputs import LoadedNetwork
from hwsim.records.store import RunFolder

ROOT = Path(cli.__file__).parent.parent
Command = Callable[..., Any]
LAYER_TABLE = """\
layer,input_channels,output_channels,kernel_height,kernel_width,stride,padding,input_height,input_width,\
output_height,output_width,macs,activation_bits,weight_bits
conv,16,16,3,3,1,1,8,8,8,8,147456,4,2
"""


def test_run_replay_and_digest(hwsim: Command, bursty: str, tmp_path: Path, one_thread: None) -> None:
    out = tmp_path / "run"
    ran = hwsim("run", bursty, "--out", out, "--set", "outputs=lazy", "--seed", 5, "--controller", "hysteresis")
    assert ran.code == 0
    assert "hysteresis" in ran.out
    assert str(out) in ran.out.replace("\n", "")
    assert RunFolder(out).manifest["seed"] == 5
    assert {path.name for path in out.iterdir()} == {
        "manifest.json", "summary.json", "frames.parquet", "layers.parquet", "telemetry.parquet",
        "decisions.parquet", "observations.parquet", "layers.csv", "graph.json", "scenario.yaml", "profile.yaml",
        "figures", "timeline.pftrace", "report.html",
    }  # fmt: skip

    held = hwsim("replay", out)
    assert held.code == 0
    assert held.out.startswith("Predictions hold: 3200 inputs in 32 frames")
    one = json.loads(hwsim("replay", out, "--frame", 2, "--json").out)
    assert (one["frames"], one["inputs"], one["differing"]) == (1, 100, [])
    hwsim("replay", out, "--frame", 999).refused("no frame 999")

    hashed = hwsim("digest", out)
    assert len(hashed.out.strip()) == 64
    frames = pq.read_table(out / "frames.parquet")
    rows = frames.to_pylist()
    rows[4]["predictions"][0] = (rows[4]["predictions"][0] + 1) % 10
    pq.write_table(pa.Table.from_pylist(rows, schema=frames.schema), out / "frames.parquet")
    hwsim("replay", out).refused("predictions of 1 of 32 frames do not hold: 4", code=3)
    assert hwsim("digest", out).out != hashed.out


def test_run_says_as_much_as_was_asked(hwsim: Command, bursty: str, tmp_path: Path) -> None:
    quiet = hwsim("run", bursty, "--out", tmp_path / "a", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    summary = json.loads(hwsim("run", bursty, "--out", tmp_path / "b", "--json").out)
    assert summary["frames_arrived"] == 32
    assert summary["accuracy"] is None


def test_a_run_without_a_folder_goes_to_one_named_after_it(
    hwsim: Command, bursty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hwsim("run", bursty, "--controller", "static:bits=4", "--quiet").code == 0
    assert (tmp_path / "runs" / "bursty-static-bits=4-s3" / "summary.json").is_file()


def test_compare(hwsim: Command, bursty: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # A comma in brackets belongs to a list.
    names = "static,hysteresis:rungs=[8, 4]:period_milliseconds=1"
    answer = hwsim("compare", bursty, "--controllers", names, "--replications", 1, "--out", out, "--json")
    assert answer.code == 0
    comparison = json.loads(answer.out)
    assert comparison == json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert list(comparison["controllers"]) == ["static", "hysteresis:rungs=[8, 4]:period_milliseconds=1"]
    energies = [each["energy_joules"]["mean"] for each in comparison["controllers"].values()]
    assert energies[1] < energies[0]
    table = hwsim("compare", bursty, "--controllers", names, "--replications", 1, "--out", out)
    assert "static" in table.out
    hwsim("compare", bursty, "--controllers", " , ").refused("controllers none: give each once")


def test_validate_says_what_it_read_and_goes_on_after_an_error(hwsim: Command, bursty: str) -> None:
    answer = hwsim("validate", bursty, "no_such", "bismo_pynq_z1")
    assert answer.code == 2
    scenario, profile = answer.out.splitlines()
    assert "valid scenario bursty: resnet8_digits on bismo_pynq_z1" in scenario
    assert "valid profile bismo_pynq_z1" in profile
    assert answer.err.startswith("error: no packaged scenario or profile 'no_such'")
    assert hwsim("validate", bursty).code == 0


def test_profiles_lists_and_shows_where_numbers_come_from(hwsim: Command) -> None:
    assert hwsim("profiles").out.startswith("bismo_pynq_z1: ")
    shown = hwsim("profiles", "show", "bismo_pynq_z1")
    assert "memory.dram_efficiency" in shown.out
    assert "UG585" in shown.out
    hwsim("profiles", "show", "bismo_pynq").refused("did you mean 'bismo_pynq_z1'")


def test_controllers_lists_options(hwsim: Command) -> None:
    said = hwsim("controllers").out
    assert "static: one width, or one per layer, for the whole run" in said
    assert "    hold_milliseconds [2000]" in said


def test_cost_of_a_network(hwsim: Command) -> None:
    rows = {bits: priced(hwsim("cost", "--network", "resnet8_digits", "--bits", bits)) for bits in (2, 8)}
    stem, second = rows[8][:2]
    # 8x8 positions, 8 x 8 planes, 8 of 8 columns, 9 of 256 products deep, on 8 rows of positions
    assert (stem["layer"], stem["compute_cycles"]) == ("stem", "512")
    assert [row["weight_bits"] for row in rows[2]] == ["8", *["2"] * 8, "8"]
    assert int(second["compute_cycles"]) == 16 * int(rows[2][1]["compute_cycles"])
    for row in rows[8]:
        assert int(row["memory_stall_cycles"]) == int(row["total_cycles"]) - int(row["compute_cycles"]) >= 0
    assert sum(float(row["energy_joules"]) for row in rows[2]) < sum(float(row["energy_joules"]) for row in rows[8])
    assert int(priced(hwsim("cost", "--network", "resnet8_digits", "--inputs", 3))[0]["compute_cycles"]) == 3 * 512


def priced(answer: Any) -> list[dict[str, str]]:
    assert answer.code == 0, answer
    return list(csv.DictReader(io.StringIO(answer.out)))


def test_cost_of_all_widths_is_that_of_each_uniform_width(hwsim: Command) -> None:
    every = priced(hwsim("cost", "--network", "resnet8_digits", "--all-widths", "--inputs", 5))
    assert len(every) == 8 * 3 + 2
    for bits in (2, 4, 8):
        rows = priced(hwsim("cost", "--network", "resnet8_digits", "--bits", bits, "--inputs", 5))
        assert [row for row in rows[1:] if row not in every] == []  # the stem's results drain at its consumer's bits
    assert {(row["layer"], row["weight_bits"]) for row in every} == {
        (layer.name, str(widths.weight))
        for layer in find_checkpoint("resnet8_digits").graph.layers
        for widths in layer.allowed
    }


def test_cycles_of_values_are_counted_input_by_input(hwsim: Command, one_thread: None) -> None:
    grid = [f"--set={name}={size}" for name, size in (("lanes", 8), ("columns", 4), ("rows", 4), ("tiles", 2))]
    asked = ["cost", "--network", "resnet8_digits", "--array", "pragmatic", *grid, "--bits", 4]
    rows = priced(hwsim(*asked, "--data", "digits", "--inputs", 60))
    loaded = LoadedNetwork(find_checkpoint("resnet8_digits"), "digits")
    array = Pragmatic(lanes=8, columns=4, rows=4, tiles=2)
    widths = list(loaded.graph.uniform(4).values())
    cycles = network_cycles(array, loaded.graph, loaded.operands(widths, np.arange(60)))
    assert [row["layer"] for row in rows] == list(loaded.graph.index)
    for column, expected in (("min", cycles.min(1)), ("mean", cycles.mean(1)), ("max", cycles.max(1))):
        assert [float(row[f"{column}_cycles"]) for row in rows] == expected.tolist()
    bounds = [row["bound_cycles"] for row in rows]
    assert bounds == [row["compute_cycles"] for row in priced(hwsim(*asked))]  # priced without data: its bound
    assert all(float(row["min_cycles"]) < float(row["max_cycles"]) <= int(row["bound_cycles"]) for row in rows)


def test_a_profile_gives_the_parameters_of_an_array_that_skips_work(hwsim: Command, one_thread: None) -> None:
    values = "cost", "--network", "resnet8_digits", "--data", "digits", "--inputs", "3"
    sizes = "lanes=16", "columns=16", "rows=16", "tiles=16"
    given = hwsim(*values, "--array", "pragmatic", *(word for size in sizes for word in ("--set", size)))
    assert hwsim(*values, "--profile", "pragmatic").out == given.out
    smaller = hwsim(*values, "--profile", "pragmatic", "--set", "columns=4")
    assert smaller.code == 0
    assert smaller.out != given.out


def test_a_found_assignment_is_priced_and_runs(
    hwsim: Command, write_scenario: Callable[..., str], tmp_path: Path
) -> None:
    graph = find_checkpoint("resnet8_digits").graph
    mixed = {layer.name: layer.allowed[position % len(layer.allowed)] for position, layer in enumerate(graph.layers)}
    file = save_assignment(tmp_path / "found.json", mixed)
    rows = priced(hwsim("cost", "--network", "resnet8_digits", "--assignment", file, "--inputs", 100))
    assert [(row["layer"], row["weight_bits"]) for row in rows] == [(s, str(w.weight)) for s, w in mixed.items()]

    scenario = write_scenario(("{name: hysteresis, options: {period_milliseconds: 1, calm_milliseconds: 5}}",
                               "{name: static, options: {assignment: found.json}}"))  # fmt: skip
    assert hwsim("run", scenario, "--quiet", "--out", tmp_path / "run").code == 0
    run = RunFolder(tmp_path / "run")
    ran = {row["layer"]: (row["weight_bits"], row["activation_bits"]) for row in run.table("layers").to_pylist()}
    assert ran == mixed
    assert run.summary["controller"] == 'static:assignment="found.json"'
    frame = [row for row in run.table("layers").to_pylist() if row["frame"] == 1]
    assert sum(row["cycles"] for row in frame) == sum(int(row["total_cycles"]) for row in rows)

    named = hwsim("run", scenario, "--controller", f"static:assignment={file}", "--quiet", "--out", tmp_path / "named")
    assert named.code == 0
    assert RunFolder(tmp_path / "named").summary["run_id"] == run.summary["run_id"]  # the content, not the name
    laddered = hwsim(
        "run", scenario, "--controller", f"hysteresis:rungs=[{file}, 2]", "--quiet", "--out", tmp_path / "laddered"
    )
    assert laddered.code == 0
    first = RunFolder(tmp_path / "laddered").table("layers").to_pylist()[: len(mixed)]
    assert {row["layer"]: (row["weight_bits"], row["activation_bits"]) for row in first} == mixed

    save_assignment(file, graph.uniform(4))
    assert hwsim("run", scenario, "--quiet", "--out", tmp_path / "other").code == 0
    assert RunFolder(tmp_path / "other").summary["run_id"] != run.summary["run_id"]
    file.write_text('{"stem": [8, 8],\n "stages.0.0.conv3": [8, 8]}', encoding="utf-8")
    hwsim("run", scenario, "--out", tmp_path / "x").refused(
        "s.yaml:22:13: controller: ", "found.json:2:2: site 'stages.0.0.conv3' is not in this network: did you mean"
    )
    hwsim("cost", "--network", "resnet8_digits", "--assignment", file).refused(
        "found.json:2:2: site 'stages.0.0.conv3'"
    )


def test_cost_of_a_layer_table_on_an_array_of_another_size(hwsim: Command, tmp_path: Path) -> None:
    table = tmp_path / "layers.csv"
    table.write_text(LAYER_TABLE, encoding="utf-8")
    (row,) = priced(hwsim("cost", "--layers", table))
    (narrow,) = priced(hwsim("cost", "--layers", table, "--set", "rows=4"))
    assert int(narrow["compute_cycles"]) == 2 * int(row["compute_cycles"])


def test_total_adds_a_last_row(hwsim: Command) -> None:
    plain = hwsim("cost", "--network", "resnet8_digits", "--bits", 4).out
    with_total = hwsim("cost", "--network", "resnet8_digits", "--bits", 4, "--total").out
    assert with_total.startswith(plain)
    rows, (total,) = list(csv.DictReader(io.StringIO(plain))), list(csv.DictReader(io.StringIO(with_total)))[-1:]
    assert (total["layer"], total["weight_bits"], total["activation_bits"]) == ("total", "", "")
    for column in ("compute_cycles", "total_cycles", "memory_stall_cycles", "dram_bits"):
        assert int(total[column]) == sum(int(row[column]) for row in rows)
    assert float(total["energy_joules"]) == pytest.approx(sum(float(row["energy_joules"]) for row in rows), rel=1e-12)
    refused = hwsim("cost", "--network", "resnet8_digits", "--all-widths", "--total")
    assert refused.code == 2
    assert "--total sums the layers of one assignment" in refused.err
    scheduled = hwsim("cost", "--network", "resnet8_digits", "--array", "bitfusion", "--total").out
    assert list(csv.DictReader(io.StringIO(scheduled)))[-1]["layer"] == "total"


def test_utilisation_seconds_and_energy_by_action_are_told(hwsim: Command) -> None:
    ask = "cost", "--network", "resnet8_digits", "--bits", 4
    told = json.loads(hwsim(*ask, "--json", "--total").out)
    assert told["layers"][0]["layer"] == "stem"
    graph = find_checkpoint("resnet8_digits").graph
    for row in told["layers"]:
        peak = 8 * 256 * 8 / (row["weight_bits"] * row["activation_bits"])  # binary products of 8 x 8 units, 256 deep
        assert row["utilisation"] == pytest.approx(graph[row["layer"]].macs / (peak * row["compute_cycles"]))
        assert row["seconds"] == row["total_cycles"] / 200e6
        assert sum(row["energy_joules_by_action"].values()) == pytest.approx(row["energy_joules"], rel=1e-12)
    whole = told["total"]
    assert whole["seconds"] == pytest.approx(whole["total_cycles"] / 200e6)
    assert sum(whole["energy_joules_by_action"].values()) == pytest.approx(whole["energy_joules"], rel=1e-12)
    done = sum(row["utilisation"] * row["compute_cycles"] for row in told["layers"])
    assert whole["utilisation"] == pytest.approx(done / whole["compute_cycles"])
    assert "total" not in json.loads(hwsim(*ask, "--json").out)


def test_one_number_of_a_profile_is_changed(hwsim: Command) -> None:
    ask = "cost", "--network", "resnet8_digits", "--profile", "unpu", "--bits", 4, "--json", "--total"
    plain = json.loads(hwsim(*ask).out)["total"]
    changed = json.loads(hwsim(*ask, "--set", "profile.clock.value=100 MHz").out)["total"]
    assert changed["compute_cycles"] == plain["compute_cycles"]
    assert changed["seconds"] > plain["seconds"]
    dear = json.loads(hwsim(*ask, "--set", "profile.energy.dram={value: 30 pJ, per: dram_bit, source: mine}").out)
    parts = dear["total"]["energy_joules_by_action"]
    assert parts["dram_bit"] == pytest.approx(30e-12 * plain["dram_bits"])
    hwsim(*ask, "--set", "profile.clok.value=1 GHz").refused("clok", "did you mean 'clock'")
    hwsim(*ask, "--set", "profile.clock").refused("expected PATH=VALUE")


def test_the_total_of_values_is_that_of_whole_inputs(hwsim: Command, one_thread: None) -> None:
    ask = "cost", "--network", "resnet8_digits", "--data", "digits", "--inputs", "5", "--profile", "pragmatic"
    *rows, total = priced(hwsim(*ask, "--total"))
    assert total["layer"] == "total"
    assert float(total["mean_cycles"]) == pytest.approx(sum(float(row["mean_cycles"]) for row in rows))
    assert int(total["bound_cycles"]) == sum(int(row["bound_cycles"]) for row in rows)
    least, most = (sum(int(row[f"{which}_cycles"]) for row in rows) for which in ("min", "max"))
    assert least < int(total["min_cycles"]) < int(total["max_cycles"]) < most


@pytest.mark.parametrize("kind", ["scenario", "profile", "recipe"])
def test_schema_is_json(hwsim: Command, kind: str) -> None:
    assert json.loads(hwsim("schema", kind).out)["properties"]["schema_version"]["const"] == 1


def test_the_module_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hwsim", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for name in ("run", "replay", "compare", "validate", "profiles", "controllers", "cost", "schema", "digest"):
        assert f" {name} " in done.stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "hwsim", "replay", "nowhere"], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert (wrong.returncode, wrong.stdout, "Traceback" in wrong.stderr) == (2, "", False)


def test_control_c_keeps_what_was_finished_and_ends_with_130(bursty: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    # Where tests run in the background, their children ignore SIGINT unless told otherwise.
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nfrom hwsim.cli import main\nmain()"
    arguments = ["run", bursty, "--out", str(out), "--set", "duration=10000 s", "--quiet"]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        patience = time.monotonic() + 30
        while not (out / "layers.parquet").exists() and time.monotonic() < patience:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert said == f"interrupted: the frames finished so far are in {out}\n"
    summary = RunFolder(out).summary
    assert summary["interrupted"] is True
    assert summary["frames_completed"] > 0
    assert len(pq.read_table(out / "frames.parquet")) == summary["frames_arrived"]


def test_a_captured_graph_can_be_priced_and_simulated(
    hwsim: Command, write_scenario: Callable[..., str], tmp_path: Path
) -> None:
    graph = tmp_path / "mine.json"
    graph.write_bytes((ROOT / "bitmixer/networks/checkpoints/resnet8_digits/graph.json").read_bytes())
    assert hwsim("cost", "--network", graph).out == hwsim("cost", "--network", "resnet8_digits").out
    scenario = write_scenario(("network: resnet8_digits", "network: mine.json"))
    assert hwsim("run", scenario, "--quiet", "--out", tmp_path / "run").code == 0
    assert RunFolder(tmp_path / "run").manifest["network_path"] == str(graph)
    with_outputs = hwsim("run", scenario, "--set", "outputs=lazy", "--out", tmp_path / "other")
    with_outputs.refused("geometry without trained weights: set outputs: none")
    graph.write_text("{}", encoding="utf-8")
    hwsim("cost", "--network", graph).refused("mine.json: format_version None, expected 2")


def test_a_changed_run_leaves_its_baseline_alone(
    hwsim: Command, bursty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hwsim("run", bursty, "--quiet")
    for capacity in (1, 2):
        hwsim("run", bursty, "--quiet", "--set", f"queue.capacity={capacity}")
    folders = [RunFolder(path) for path in (tmp_path / "runs").iterdir()]
    capacities = sorted(folder.manifest["scenario"]["queue"]["capacity"] for folder in folders)
    assert capacities == [1, 2, 3]


def test_a_recipe_is_validated_as_a_recipe(hwsim: Command, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    text = (ROOT / "recipes/resnet8_digits.yaml").read_text(encoding="utf-8")
    recipe.write_text(text, encoding="utf-8")
    assert "valid recipe resnet8_digits" in hwsim("validate", recipe).out
    recipe.write_text(text.replace("architecture: resnet8", "architecture: resnet9"), encoding="utf-8")
    hwsim("validate", recipe).refused("recipe.yaml:5:15: architecture: ", "did you mean 'resnet8'")


def test_time_above_the_rating_is_told(hwsim: Command, bursty: str, tmp_path: Path) -> None:
    hot = hwsim("run", bursty, "--set", "environment.ambient.temperature=100 degC", "--out", tmp_path / "hot")
    assert "above its rating" in " ".join(hot.out.split())
    cool = hwsim("run", bursty, "--out", tmp_path / "cool")
    assert "above its rating" not in " ".join(cool.out.split())


def test_a_limit_that_is_crossed_is_exit_code_1(hwsim: Command, bursty: str, tmp_path: Path) -> None:
    out = ("--quiet", "--out", tmp_path / "run")
    kept = hwsim("run", bursty, *out, "--fail-on", "deadline_miss_rate>0.99", "--fail-on", "frames_arrived<1")
    assert (kept.code, kept.err) == (0, "")
    crossed = hwsim("run", bursty, *out, "--fail-on", "peak_die_temperature_celsius > 20")
    assert crossed.code == 1
    assert crossed.err.startswith("limit crossed: peak_die_temperature_celsius > 20 (")
    no_value = hwsim("run", bursty, *out, "--fail-on", "accuracy<0.5")
    assert no_value.code == 1
    hwsim("run", bursty, *out, "--fail-on", "acuracy<0.5").refused("unknown metric: did you mean 'accuracy'")
    for wrong in ("accuracy", "accuracy<nan", "accuracy=1"):
        hwsim("run", bursty, *out, "--fail-on", wrong).refused("expected METRIC>NUMBER or METRIC<NUMBER")
