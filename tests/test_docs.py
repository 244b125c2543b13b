"""Pages that are generated are what their sources say, and their generators still run."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import torch

from bitmixer import capture
from bitmixer.assignment_file import save_assignment
from bitmixer.bitwidths import BitWidths
from bitmixer.documents import key_of
from bitmixer.networks import find_checkpoint
from bitmixer.networks.checkpoint import NetworkForm, original_of, save_checkpoint, twin_of
from bitmixer.search.command import SearchRequest, run_search
from bitmixer.training.float8_settings import Float8, LossScaling, Rounding
from bitmixer.training.recipe import (
    Augmentation,
    BitSparsity,
    ColumnSparsity,
    ContinuousSparsity,
    Distillation,
    Recipe,
    Stage,
)
from hwsim import pipeline
from hwsim.config.arrivals import Arrivals, Bursts, ModulatingState
from hwsim.config.faults import Fault
from hwsim.config.learning import Learning
from hwsim.config.link import Outages
from hwsim.config.memory_traffic import MemoryTraffic
from hwsim.config.packaged import packaged_names
from hwsim.config.scenario import Environment, Queue, Scenario, Stream
from hwsim.config.time_series import Power, Temperature
from hwsim.records.store import RunFolder

DOCS = Path(__file__).parent.parent / "docs"


def script(path: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(Path(path).stem, DOCS / path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules.setdefault(module.__name__, module)  # dataclasses look up their module
    specification.loader.exec_module(module)
    return module


def test_the_page_on_graphs_at_scale_says_what_its_twin_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = script("results/graph_scale.py")
    monkeypatch.setattr(results, "PAGE", tmp_path / "graph_scale.md")
    results.page()
    kept = (DOCS / "results" / "graph_scale.md").read_text(encoding="utf-8")
    assert results.PAGE.read_text(encoding="utf-8") == kept
    assert kept.count("within the") == 2


def test_the_results_page_says_what_its_twin_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = script("results/thermal_throttle.py")
    monkeypatch.setattr(results, "HERE", tmp_path)
    results.page()
    written = (tmp_path / "thermal_throttle.md").read_text(encoding="utf-8")
    assert written == (DOCS / "results" / "thermal_throttle.md").read_text(encoding="utf-8")


def test_the_bit_mixer_page_says_what_its_twin_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = script("results/bit_mixer.py")
    monkeypatch.setattr(results, "PAGE", tmp_path / "bit-mixer.md")
    monkeypatch.setattr(results, "FIGURE", tmp_path / "arms.svg")
    results.page()
    for written, kept in ((results.PAGE, "results/bit-mixer.md"), (results.FIGURE, "images/bit_mixer_arms.svg")):
        assert written.read_text(encoding="utf-8") == (DOCS / kept).read_text(encoding="utf-8")


def test_the_page_of_devices_says_what_its_twin_holds_and_that_is_what_the_profiles_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = script("results/devices.py")
    monkeypatch.setattr(devices, "PAGE", tmp_path / "devices.md")
    devices.page()
    assert devices.PAGE.read_text(encoding="utf-8") == (DOCS / "results/devices.md").read_text(encoding="utf-8")
    kept = json.loads((DOCS / "results/devices.json").read_text(encoding="utf-8"))
    now = devices.prices()
    outdated = "a profile or a law changed: python docs/results/devices.py measure, then page"
    assert numbers_in({key: kept[key] for key in now}) == pytest.approx(numbers_in(now)), outdated
    measured = {240.0: 27.711, 370.0: 40.356}
    for point in now["gap9"]["points"]:
        assert 1 / 3 < point["microjoules"] / measured[point["megahertz"]] < 3


def numbers_in(value: object, name: str = "") -> dict[str, float]:
    """Return every number within plain data by the way to it."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: number for step, part in parts for key, number in numbers_in(part, f"{name}.{step}").items()}
    return {name: float(value)} if isinstance(value, int | float) else {}


def test_the_bsq_page_says_what_its_twin_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = script("results/bsq.py")
    monkeypatch.setattr(results, "PAGE", tmp_path / "bsq.md")
    monkeypatch.setattr(results, "FIGURE", tmp_path / "trade_off.svg")
    monkeypatch.setattr(results.bsq_hardware_page, "FIGURE", tmp_path / "hardware.svg")
    monkeypatch.setattr(results.bsq_columns_page, "FIGURE", tmp_path / "columns.svg")
    results.page()
    pages = {
        results.PAGE: "results/bsq.md",
        results.FIGURE: "images/bsq_trade_off.svg",
        results.bsq_hardware_page.FIGURE: "images/bsq_hardware.svg",
        results.bsq_columns_page.FIGURE: "images/bsq_columns.svg",
    }
    for written, kept in pages.items():
        assert written.exists() == (DOCS / kept).exists()  # nothing is drawn of what is not run
        assert not written.exists() or written.read_text(encoding="utf-8") == (DOCS / kept).read_text(encoding="utf-8")


def test_a_search_s_uniform_points_are_not_points_of_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "network" / "search-9.0"
    shutil.copytree(find_checkpoint("resnet8_digits").path, tmp_path / "network")
    request = SearchRequest(
        checkpoint=find_checkpoint("resnet8_digits"), data="digits", budget="average_weight_bits<=5",
        method="greedy", images=64, random_assignments=0, seed=1, costs=None, pareto=False, folder=folder,
    )  # fmt: skip
    run_search(request)
    (point,) = script("results/bsq.py")._points("BSQ 0.1", 5.0, folder / "search.json", run=False)
    assert point["method"] == "greedy"
    assert 0 < point["stored_bits_per_weight"] < 8


def test_who_earns_what_of_bsq_on_hardware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    priced, found = script("results/bsq_hardware.py").priced, {}
    for bits, quantizer in ((8, "symmetric"), (4, "symmetric"), (4, "lsq")):
        form = NetworkForm(
            architecture="resnet8", width=8, input_channels=1, classes=10, bits=(8,), residual_bits=8, norm="shared",
            quantizer=quantizer,
        )  # fmt: skip
        torch.manual_seed(0)
        original = original_of(form)
        scheme = {site.name: BitWidths(bits, 4) for site in twin_of(original, form).sites}
        form = dataclasses.replace(form, scheme=scheme)
        network = twin_of(original, form).eval()
        network.calibrate_activations(torch.rand(2, 1, 8, 8))
        network.calibrate_weights()
        folder = tmp_path / f"{quantizer}{bits}"
        graph = capture(network, torch.zeros(1, 1, 8, 8), name="fixed")
        found[quantizer, bits] = priced(save_checkpoint(folder, network, graph, form, None, name="fixed", recipe=None))
    serial, wave = "bit-serial, groups of 8", "bitwave, groups of 8"
    eight, four, lsq = found.values()
    assert eight[serial]["cycles"] * 3 == four[serial]["cycles"] * 7  # planes of magnitude
    assert lsq[serial]["cycles"] * 3 == four[serial]["cycles"] * 4  # two's complement has one more
    assert all(costs[wave]["cycles"] < costs[serial]["cycles"] for costs in found.values())
    # the classifier's steps start one cycle apart, whatever the bits
    assert eight["loom"]["cycles"] == pytest.approx(2 * four["loom"]["cycles"], rel=1e-3)
    assert eight["stripes"]["cycles"] == four["stripes"]["cycles"]
    assert four[serial]["joules"] < eight[serial]["joules"]


def test_every_arm_of_bsq_sees_the_same_images(tmp_path: Path) -> None:
    arms = script("results/bsq_arms.py")
    recipes = [arm.recipe for arm in arms.arms(tmp_path) if arm.recipe is not None]
    assert len(recipes) == 9
    assert {arms.epochs_of(recipe) for recipe in recipes} == {26}
    shared = ("seed", "data", "width", "batch_size", "augmentation", "weight_decay", "precision", "float_stages")
    assert all(len({str(getattr(recipe, key)) for recipe in recipes}) == 1 for key in shared)


def test_the_figure_of_throttling_shows_the_laws_as_they_are(tmp_path: Path) -> None:
    written = script("examples/throttling.py").main(tmp_path / "throttling.svg")
    assert written.read_text(encoding="utf-8") == (DOCS / "images" / "throttling.svg").read_text(encoding="utf-8")


def test_the_page_of_validation_says_what_the_twins_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    validation = script("results/validation.py")
    monkeypatch.setattr(validation, "PAGE", tmp_path / "validation.md")
    validation.page()
    written = (tmp_path / "validation.md").read_text(encoding="utf-8")
    outdated = "a twin changed: python docs/results/validation.py page"
    assert written == (DOCS / "results/validation.md").read_text(encoding="utf-8"), outdated


def test_the_figure_of_the_data_flow_is_as_its_script_draws_it(tmp_path: Path) -> None:
    written = script("examples/data_flow.py").main(tmp_path / "data_flow.svg")
    assert written.read_text(encoding="utf-8") == (DOCS / "images" / "data_flow.svg").read_text(encoding="utf-8")


def test_every_arm_sees_the_same_images_from_the_same_float_network() -> None:
    arms = script("results/bit_mixer_arms.py").arms()
    assert len(arms) == 12  # those of the comparison, and one that trains the lowest width more
    assert len({sum(stage.epochs for stage in recipe.stages) for recipe in arms.values()}) == 1
    shared = ("seed", "data", "width", "batch_size", "augmentation", "weight_decay", "precision", "float_stages")
    assert all(len({str(getattr(recipe, key)) for recipe in arms.values()}) == 1 for key in shared)
    assert len({recipe.name for recipe in arms.values()}) == len(arms)


def test_the_walk_through_a_frame_follows_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    sets = ["duration=12 s", "streams.0.arrivals.bursts.first=1 s", "streams.0.arrivals.bursts.every=2 s"]
    pipeline.run(pipeline.plan("thermal_throttle", sets=sets), tmp_path / "run", figures=False)
    run, walk = RunFolder(tmp_path / "run"), script("examples/mid_frame.py")
    decision = walk.chosen_decision(run)
    page = walk.walk(run, decision)
    assert f"Frame {decision['frame']} of `thermal_throttle`" in page
    first = next(line for line in page.splitlines() if "first layer that it binds" in line)
    assert f"`{decision['next_layer']}`" in first
    weight, activation = json.loads(decision["assignment"])[decision["next_layer"]]
    assert f"w{weight}a{activation}" in first
    assert page.count("| `stages.") == 20


def test_the_page_on_search_follows_the_files_of_searches(tmp_path: Path) -> None:
    graph = find_checkpoint("resnet20_mnist5k").graph
    assignment = {
        layer.name: list(widths) for layer, widths in zip(graph.layers, graph.uniform(3).values(), strict=True)
    }
    save_assignment(tmp_path / "exact.json", graph.uniform(3))
    row = {"method": "exact", "file": "exact.json", "cost": 2.75, "loss": 0.1234, "accuracy": 0.875}
    values = {"mean": 0.25, "std": 0.125, "min": 0.0625, "max": 0.5, "count": 7}
    found = {
        "network": "resnet20_mnist5k", "data": "mnist5k+noise0.8@7", "inputs": 1500, "search": {"images": 321},
        "budget": {"limit": 3.0}, "found": [{**row, "assignment": assignment}],
        "random": dict.fromkeys(("cost", "loss", "accuracy"), values),
    }  # fmt: skip
    (tmp_path / "search.json").write_text(json.dumps(found), encoding="utf-8")
    page = script("examples/search.py").page(tmp_path, tmp_path)
    assert "| exact | 2.75 | 0.1234 | 87.50 % |" in page
    assert "| random, mean of 7 | 0.25 | 0.2500 ± 0.1250 | 25.00 ± 12.50 % |" in page
    assert "searched on 321 training images" in page
    cycles, joules = re.findall(r"Uniform 3 bits take ([\d,]+) cycles and ([\d.]+) mJ", page)[0]
    assert f"{cycles} cycles and {joules} mJ, where the table" in page  # the assignment is uniform too


def test_the_figure_of_value_dependent_cycles_is_drawn_from_images(tmp_path: Path) -> None:
    counted = script("examples/value_cycles.py").main(tmp_path / "cycles.svg", images=5)
    assert (tmp_path / "cycles.svg").is_file()
    differing = {name: len(set(cycles.tolist())) > 1 for name, cycles in counted["digits"].items()}
    assert differing == {"Bit-Pragmatic": True, "Loom": True, "BitWave": False, "BitVert": False}


def test_the_figure_of_shared_bandwidth_is_drawn_from_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    summaries = script("examples/bandwidth.py").main(tmp_path / "bandwidth.svg", "1 s")
    assert (tmp_path / "bandwidth.svg").is_file()
    misses = [summary["deadline_miss_rate"] for summary in summaries.values()]
    assert misses[0] > 0.05 > max(misses[1:])


def test_every_key_of_a_recipe_is_explained() -> None:
    page = (DOCS / "recipes.md").read_text(encoding="utf-8")
    sections = (
        Recipe,
        Stage,
        Distillation,
        Augmentation,
        BitSparsity,
        ContinuousSparsity,
        ColumnSparsity,
        Float8,
        Rounding,
        LossScaling,
    )
    for section in sections:
        assert [key for key in section.model_fields if f"`{key}`" not in page] == []


def test_every_key_of_a_scenario_is_explained() -> None:
    page = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    kinds = [get_args(get_args(union)[0]) for union in (Arrivals, Temperature, Power, MemoryTraffic, Outages, Fault)]
    sections = [
        Scenario,
        Stream,
        Queue,
        Environment,
        Learning,
        Bursts,
        ModulatingState,
        *(each for kind in kinds for each in kind),
    ]
    fields = {field for section in sections for field in section.model_fields}
    assert {"rate_hertz", "cool_down_picoseconds", "mean_time_to_repair_picoseconds", "amplitude"} <= fields
    unexplained = {key_of(field) for field in fields} - set(re.findall(r"\w+", page))
    assert unexplained == set()


def test_every_packaged_scenario_is_on_the_page_of_scenarios() -> None:
    page = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    assert [name for name in packaged_names("scenarios") if f"| `{name}` |" not in page] == []


def test_readme_s_files_are_there() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", readme)
    assert len(links) >= 5
    assert [link for link in links if not (DOCS.parent / link).exists()] == []


def test_the_page_on_memory_says_what_its_figure_shows(tmp_path: Path) -> None:
    curves = script("examples/memory.py").main(tmp_path / "traffic.svg")
    assert (tmp_path / "traffic.svg").stat().st_size > 1000
    page = (DOCS / "memory.md").read_text(encoding="utf-8")
    assert f"only images and logits move: {curves['8'][-1]:.2f} MB" in page
    assert curves["8"][-2] == curves["8"][-1] == curves["2"][-1]
    assert all(steady <= cold for steady, cold in zip(curves["4"], curves["4, first frame"], strict=True))


def test_the_figure_of_the_battery_is_drawn_from_runs(tmp_path: Path) -> None:
    for controller in ("static", "static:bits=2"):
        planned = pipeline.plan("brown_out", controller=controller, sets=["outputs=none", "duration=200 ms"])
        pipeline.run(planned, tmp_path / controller, figures=False)
    figure = script("examples/battery.py").draw([RunFolder(folder) for folder in sorted(tmp_path.iterdir())])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["static, 8 bits", "static, 2 bits"]


def test_the_page_on_information_says_what_was_played(tmp_path: Path) -> None:
    bandit = script("examples/information_directed.py")
    results = json.loads(bandit.RESULTS.read_text(encoding="utf-8"))
    page = (DOCS / "information_directed.md").read_text(encoding="utf-8")
    assert bandit.table(results) in page
    written = bandit.draw(results, tmp_path / "information_directed.svg")
    assert written.read_text(encoding="utf-8") == bandit.FIGURE.read_text(encoding="utf-8")


def test_the_page_of_binary_networks_says_what_its_twin_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = script("results/bcnn.py")
    monkeypatch.setattr(results, "PAGE", tmp_path / "bcnn.md")
    results.page()
    assert results.PAGE.read_text(encoding="utf-8") == (DOCS / "results" / "bcnn.md").read_text(encoding="utf-8")


def test_every_arm_of_binary_networks_sees_the_same_images() -> None:
    arms = script("results/bcnn.py").arms()
    assert len({sum(stage.epochs for stage in recipe.stages) for recipe in arms.values()}) == 1
    shared = (
        "seed",
        "data",
        "width",
        "batch_size",
        "augmentation",
        "weight_decay",
        "precision",
        "float_stages",
        "bits",
    )
    assert all(len({str(getattr(recipe, key)) for recipe in arms.values()}) == 1 for key in shared)
    assert len({recipe.name for recipe in arms.values()}) == len(arms)


def test_the_page_of_eight_bit_floats_says_what_its_twin_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, page = script("results/fp8.py"), sys.modules["fp8_page"]
    monkeypatch.setattr(page, "PAGE", tmp_path / "fp8.md")
    monkeypatch.setattr(page, "FIGURE", tmp_path / "fp8.svg")
    page.write(json.loads(results.TWIN.read_text(encoding="utf-8")))
    for written, kept in (("fp8.md", "results/fp8.md"), ("fp8.svg", "images/fp8.svg")):
        assert (tmp_path / written).read_text(encoding="utf-8") == (DOCS / kept).read_text(encoding="utf-8")


def test_every_arm_of_eight_bit_floats_sees_the_same_images() -> None:
    arms = script("results/fp8_arms.py").arms()
    assert len({arm.folder for arm in arms}) == len(arms) == 16
    for seed in (1, 2, 3):
        same = {(arm.recipe.batch_size, str(arm.recipe.augmentation), str(arm.recipe.float_stages))
                for arm in arms if arm.recipe.seed == seed}  # fmt: skip
        assert len(same) == 1
    assert [arm.recipe.float8 is None for arm in arms] == [True, False] * 3 + [False] * 10


def test_the_page_of_learning_says_what_its_twin_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = script("results/field_adaptation.py")
    monkeypatch.setattr(results, "PAGE", tmp_path / "field_adaptation.md")
    monkeypatch.setattr(results, "FIGURE", tmp_path / "field_adaptation.svg")
    results.page(json.loads(results.TWIN.read_text(encoding="utf-8")))
    for name, folder in (("field_adaptation.md", "results"), ("field_adaptation.svg", "images")):
        assert (tmp_path / name).read_text(encoding="utf-8") == (DOCS / folder / name).read_text(encoding="utf-8")


def test_the_page_of_controllers_says_what_its_twin_holds(tmp_path: Path) -> None:
    twin = json.loads((DOCS / "results" / "controllers.json").read_text(encoding="utf-8"))
    page = script("results/controllers_page.py")
    page.draw(twin["drifting_light"], tmp_path / "regret.svg")
    assert (tmp_path / "regret.svg").read_bytes() == (DOCS / "images" / "controllers_regret.svg").read_bytes()
    assert page.written(twin) == (DOCS / "results" / "controllers.md").read_text(encoding="utf-8")


def test_the_page_of_graph_networks_says_what_its_twins_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, other = script("results/sgquant.py"), sys.modules["sgquant_choices"]
    monkeypatch.setattr(sys.modules["sgquant_page"], "PAGE", tmp_path / "sgquant.md")
    monkeypatch.setattr(other, "FIGURE", tmp_path / "sgquant_selection.svg")
    monkeypatch.setattr(sys.modules["sgquant_figure"], "FIGURE", tmp_path / "sgquant_targets.svg")
    results.page()
    for written, kept in (
        ("sgquant.md", "results/sgquant.md"),
        ("sgquant_selection.svg", "images/sgquant_selection.svg"),
        ("sgquant_targets.svg", "images/sgquant_targets.svg"),
    ):
        assert (tmp_path / written).exists() == (DOCS / kept).exists()  # nothing is drawn of what is not run
        if (DOCS / kept).exists():
            assert (tmp_path / written).read_text(encoding="utf-8") == (DOCS / kept).read_text(encoding="utf-8")


def test_bits_of_graph_networks_are_chosen_without_test_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    script("results/sgquant.py")
    procedure, runs = sys.modules["sgquant_procedure"], sys.modules["sgquant_runs"]
    found, written = runs.read(), []
    for pair in found["pairs"].values():
        for rows in (pair["float"], *pair["arms"].values()):
            assert all("test" not in row for seed, row in rows.items() if int(seed) in runs.CHOICE_SEEDS)
    monkeypatch.setattr(procedure, "write", written.append)
    procedure.choose(found | {"chosen": {}})
    assert written[0]["chosen"] == found["chosen"]
    for (name, data), taken in zip(runs.PAIRS, found["chosen"].values(), strict=True):
        pair = found["pairs"][f"{name} {data}"]
        assert set(taken) == set(procedure.targets_of(name, data))
        for target, arms in taken.items():
            assert procedure.saving_of(pair, arms["safest"]) >= procedure.TARGETS[target][0]
