"""Pages that are generated are what their sources say, and their generators still run."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from bitmixer.assignment_file import save_assignment
from bitmixer.documents import key_of
from bitmixer.networks import find_checkpoint
from bitmixer.training.recipe import Augmentation, Distillation, Recipe, Stage
from hwsim import pipeline
from hwsim.config.arrivals import Arrivals, Bursts, ModulatingState
from hwsim.config.faults import Fault
from hwsim.config.link import Outages
from hwsim.config.memory_traffic import MemoryTraffic
from hwsim.config.packaged import packaged_names
from hwsim.config.scenario import Environment, Queue, Scenario, Stream
from hwsim.config.time_series import Ambient, Harvest
from hwsim.records.store import RunFolder

DOCS = Path(__file__).parent.parent / "docs"


def script(path: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(Path(path).stem, DOCS / path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


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


def test_the_figure_of_throttling_shows_the_laws_as_they_are(tmp_path: Path) -> None:
    written = script("examples/throttling.py").main(tmp_path / "throttling.svg")
    assert written.read_text(encoding="utf-8") == (DOCS / "images" / "throttling.svg").read_text(encoding="utf-8")


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


def test_a_network_of_one_s_own_goes_all_the_way(tmp_path: Path) -> None:
    found = script("examples/own_network.py").main(tmp_path)
    assert found["all layers at 8 bits"] > 0.6  # chance is 0.1
    assert found["loaded again"] == found["body at 2 bits, all else at 8"]


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
    for section in (Recipe, Stage, Distillation, Augmentation):
        assert [key for key in section.model_fields if f"`{key}`" not in page] == []


def test_every_key_of_a_scenario_is_explained() -> None:
    page = (DOCS / "scenarios.md").read_text(encoding="utf-8")
    kinds = [get_args(get_args(union)[0]) for union in (Arrivals, Ambient, Harvest, MemoryTraffic, Outages, Fault)]
    sections = [
        Scenario,
        Stream,
        Queue,
        Environment,
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
