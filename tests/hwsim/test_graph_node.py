"""A device that answers queries of a graph's nodes: real predictions, steered class by class, priced class by class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from bitmixer.bitwidths import BitWidths
from bitmixer.data.block_model import BlockModel
from bitmixer.data.node_graphs import load_node_graph
from bitmixer.data_folder import current_data_root
from bitmixer.graph import LayerGraph
from bitmixer.graphs.capturing import capture_graph_network
from bitmixer.graphs.checkpoint import load_graph_network, save_graph_network
from bitmixer.graphs.network import GraphNetworkForm, Schedule
from bitmixer.graphs.networks import create_graph_network
from bitmixer.graphs.on_device import device_metrics, train_for_device
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import train
from bitmixer.networks.checkpoint import find_checkpoint
from hwsim import pipeline
from hwsim.config.profile import load_profile
from hwsim.controllers import build_controller
from hwsim.controllers.actions import LadderOptions, build_ladder
from hwsim.controllers.base import NetworkView, Observation
from hwsim.controllers.rung_times import RungTimes
from hwsim.device import build_device
from hwsim.errors import ConfigurationError
from hwsim.replay import replay
from hwsim.simulation.control import device_view

DATA = "blocks:nodes=900,edges=4500,classes=3,features=24,noise=1.0,seed=5"
WIDTHS = (1, 2, 4, 8)
HAS_CORA = (current_data_root() / "planetoid" / "cora.npz").is_file()
CLASSES = [f"degree{each}" for each in range(4)]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """Folder of a small GAT that was trained to run at any width of any operand."""
    graph = load_node_graph(DATA)
    topology = Topology(graph)
    torch.manual_seed(0)
    form = GraphNetworkForm(features=graph.features, classes=graph.classes, widths=WIDTHS)
    small = create_graph_network("gat", form)
    train(small, topology, Schedule(learning_rate=0.02, weight_decay=5e-4, epochs=40), seed=0)
    train_for_device(small, topology, WIDTHS, seed=0, epochs=30)
    metrics = device_metrics(small, topology, WIDTHS, data=DATA, seed=0)
    folder = tmp_path_factory.mktemp("network") / "small"
    return save_graph_network(folder, small, topology, name="small", metrics=metrics).path


@pytest.fixture
def scenario(network: Path, tmp_path: Path) -> str:
    """The shipped scenario with the small network, whose passes are so much shorter, and twenty times as often."""
    text = (Path(__file__).parents[2] / "scenarios" / "graph_node.yaml").read_text(encoding="utf-8")
    for old, new in (
        ("network: gat_cora", f"network: {network}"),
        ("data: cora", f'data: "{DATA}"'),
        ("deadline: 50 ms", "deadline: 2 ms"),
        ("period: 30 ms, jitter: 1 ms", "period: 1.2 ms, jitter: 100 us"),
        ("duration: 4 s", "duration: 60 ms"),
        ("mean_on: 200 ms", "mean_on: 5 ms"),
        ("mean_off: 200 ms", "mean_off: 5 ms"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file = tmp_path / "small.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


SENSING = "profile.sensors.memory_bandwidth.period.value=1 ms"


def run(scenario: str, folder: Path, *sets: str, controller: str | None = None) -> dict[str, Any]:
    planned = pipeline.plan(scenario, controller=controller, sets=[SENSING, *sets])
    return pipeline.run(planned, folder, figures=False)


def test_predictions_come_from_the_network_under_the_bits_of_every_degree_class(
    scenario: str, network: Path, tmp_path: Path
) -> None:
    summary = run(scenario, tmp_path / "run")
    assert summary["accuracy"] > 0.7
    assert summary["mid_frame_switches"] > 0
    graph = load_node_graph(DATA)
    judges, topology = graph.test_mask.nonzero().squeeze(1), Topology(graph)
    frames = pq.read_table(tmp_path / "run" / "frames.parquet").to_pylist()
    layers = pq.read_table(tmp_path / "run" / "layers.parquet").to_pylist()
    loaded, mixed = load_graph_network(network), 0
    for frame in [each for each in frames if each["predictions"]][:12]:
        ran = {
            row["layer"]: BitWidths(row["weight_bits"], row["activation_bits"])
            for row in layers if row["frame"] == frame["frame"]
        }  # fmt: skip
        mixed += len(set(ran.values())) > 1
        loaded.assign(ran)
        with torch.no_grad():
            logits = loaded(topology)[judges[frame["input_indices"]]]
        assert logits.argmax(dim=1).tolist() == frame["predictions"]
        assert graph.y[judges[frame["input_indices"]]].tolist() == frame["labels"]
    assert mixed > 0
    replayed = replay(tmp_path / "run")
    assert (replayed.frames, replayed.differing) == (summary["frames_completed"], ())


def test_features_and_attention_of_a_degree_class_change_apart(scenario: str, tmp_path: Path) -> None:
    run(scenario, tmp_path / "run")
    rows = pq.read_table(tmp_path / "run" / "layers.parquet").to_pylist()
    seen: dict[tuple[str, str], set[tuple[int, int]]] = {}
    for row in rows:
        product, each = row["layer"].split("/")
        seen.setdefault((product, each), set()).add((row["weight_bits"], row["activation_bits"]))
    moving = [key for key, widths in seen.items() if len(widths) > 1]
    assert {each for _, each in moving} == set(CLASSES)
    assert any(weight != activation for widths in seen.values() for weight, activation in widths)
    by_frame: dict[int, dict[str, set[int]]] = {}
    for row in rows:
        product, each = row["layer"].split("/")
        if product == "layer1.aggregation":
            by_frame.setdefault(row["frame"], {}).setdefault(each, set()).add(row["weight_bits"])
    assert any(len({next(iter(bits)) for bits in classes.values()}) > 1 for classes in by_frame.values())


def test_outputs_in_step_are_those_computed_afterwards(scenario: str, tmp_path: Path) -> None:
    lazy, in_step = (
        run(scenario, tmp_path / kind, "duration=20 ms", f"outputs={kind}") for kind in ("lazy", "in_step")
    )
    assert lazy["accuracy"] == in_step["accuracy"]
    gated = run(scenario, tmp_path / "gated", "duration=20 ms", "outputs=in_step", controller="confidence_gated")
    assert gated["accuracy"] > 0.6


def test_one_pass_answers_any_number_of_queries(scenario: str, tmp_path: Path) -> None:
    few, many = (
        run(scenario, tmp_path / str(queries), f"streams.0.inputs_per_frame={queries}", controller="static")
        for queries in (1, 16)
    )
    assert few["energy_joules"] == many["energy_joules"]
    assert many["inputs_completed"] == 16 * few["inputs_completed"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("streams.0.data=blocks:nodes=900", "without edges"),
        ("streams.0.data=blocks:nodes=900,edgs=3", "did you mean 'edges'"),
        ("streams.0.data=coral", "did you mean 'cora'"),
        ("streams.0.data=cora", r"shape \(2708, 1433\); small takes \(900, 24\)"),
        ("streams.0.data=cora+noise0.4@7", "corruptions are of images"),
        ("streams.0.data=digits", "has inputs of shape"),
    ],
)
def test_data_that_does_not_fit_is_refused(scenario: str, change: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        pipeline.plan(scenario, sets=[change])


def test_what_follows_values_or_learns_in_the_field_is_refused(scenario: str, tmp_path: Path) -> None:
    file = Path(scenario)
    learning = "learning: {stream: queries, bits: 8, inputs: 8, period: 10 ms}\n"
    with_values = file.read_text(encoding="utf-8").replace("bismo_pynq_z1_buffered", "bismo_pynq_z1")
    (tmp_path / "learning.yaml").write_text(with_values + learning, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="graph network"):
        pipeline.plan(str(tmp_path / "learning.yaml"))
    (tmp_path / "values.yaml").write_text(with_values, encoding="utf-8")
    parameters = {"lanes": 16, "columns": 4, "rows": 4, "tiles": 1, "reach": 4}
    array = ", ".join(f"{name}: {{value: {value}, source: x}}" for name, value in parameters.items())
    with pytest.raises(ConfigurationError, match="not followed through a graph network"):
        pipeline.plan(str(tmp_path / "values.yaml"), sets=[f"profile.array={{kind: pragmatic, {array}}}"])


def test_every_event_of_the_shipped_scenario_is_as_before(
    tmp_path: Path, against_golden: Callable[[Path, str], str]
) -> None:
    planned = pipeline.plan("graph_node", sets=["outputs=none", "duration=400 ms", "seed=8"])
    pipeline.run(planned, tmp_path / "run", figures=False)
    found = against_golden(tmp_path / "run", "graph_node")
    assert "of the bandwidth free" in found


@pytest.mark.skipif(not HAS_CORA, reason="BITMIXER_DATA holds no Cora")
def test_the_shipped_network_is_that_of_cora_and_answers_as_it_says() -> None:
    checkpoint = find_checkpoint("gat_cora")
    assert checkpoint.metrics is not None
    graph = load_node_graph("cora")
    topology, network = Topology(graph), load_graph_network(checkpoint)
    assert capture_graph_network(network, topology, name="gat_cora") == checkpoint.graph
    measured = device_metrics(network, topology, WIDTHS, data="cora", seed=0)
    for bits, accuracy in measured["uniform"].items():
        assert accuracy == pytest.approx(checkpoint.metrics["uniform"][bits], abs=0.003)
        assert accuracy > 0.76


@pytest.mark.skipif(not HAS_CORA, reason="BITMIXER_DATA holds no Cora")
def test_a_controller_that_lowers_bits_keeps_deadlines_and_answers_of_the_shipped_scenario(tmp_path: Path) -> None:
    found = {}
    for controller in ("static", "bandwidth_greedy"):
        planned = pipeline.plan("graph_node", controller=controller)
        found[controller] = pipeline.run(planned, tmp_path / controller, figures=False)
    assert found["static"]["deadline_miss_rate"] > 2 * found["bandwidth_greedy"]["deadline_miss_rate"]
    assert found["bandwidth_greedy"]["correct_on_time_rate"] > found["static"]["correct_on_time_rate"]
    assert found["bandwidth_greedy"]["accuracy"] > found["static"]["accuracy"] - 0.03


def test_lower_bits_of_a_class_change_only_its_sites() -> None:
    graph = find_checkpoint("gat_cora").graph
    changed = {**graph.uniform(8), "layer1.aggregation/degree3": BitWidths(8, 2)}
    assert [name for name, widths in changed.items() if widths != (8, 8)] == ["layer1.aggregation/degree3"]
    assert graph.mean_bits(changed).activation < 8


def test_the_rule_takes_the_most_bits_that_the_free_bandwidth_allows() -> None:
    device = build_device(load_profile("bismo_pynq_z1_buffered"))
    graph = find_checkpoint("gat_cora").graph
    network = NetworkView(graph=graph, costs=device.cost_table(graph, 16))
    options = {"rungs": [8, 4, 2, 1], "steps": 31, "operands": "apart"}
    ladder = build_ladder(LadderOptions(**options), device_view(device), network)
    times = RungTimes.of(ladder, network)
    rule = build_controller("bandwidth_greedy", options)
    _, state = rule.init(device_view(device), network)
    fastest = device.frequencies_hertz[0]
    for share in (1.0, 0.4, 0.15):
        for due in (5, 20, 40, 80):
            observation = Observation(
                time_picoseconds=0, wake="frame", die_celsius=40.0, die_age_picoseconds=0, frequency_hertz=fastest,
                throttle_cap_hertz=fastest, queued_deadlines_picoseconds=(), frame=0,
                frame_deadline_picoseconds=due * 10**9, first_uncommitted=0, wanted=(), confidences=(),
                free_bandwidth_share=share,
            )  # fmt: skip
            _, state = rule.decide(observation, state, np.random.default_rng(0))
            fits = 1.1 * times.remaining(0, share) <= due / 1000
            assert state == (int(fits.argmax()) if fits.any() else len(ladder) - 1)
    whole = times.remaining(0, 1.0)
    assert whole == pytest.approx(ladder.seconds[:, 0])
    assert np.all(times.remaining(0, 0.15) >= whole)
    assert np.all(times.remaining(0, 1.0, first=3) < whole)


def captured(nodes: int, edges: int, name: str = "gcn") -> LayerGraph:
    blocks = BlockModel(nodes=nodes, edges=edges, seed=5).generate()
    network = create_graph_network(name, GraphNetworkForm(features=blocks.features, classes=blocks.classes))
    return capture_graph_network(network, Topology(blocks), name="blocks")


def test_fewer_bits_for_high_degrees_save_traffic_by_edges_not_nodes() -> None:
    graph = captured(2000, 12_000)
    table = build_device(load_profile("bismo_pynq_z1")).cost_table(graph, 1)
    eight, two = (table.width_index(bits) for bits in (8, 2))
    for layer in graph.layers:
        at = graph.index[layer.name]
        read = table.dram_read_bits[at, eight]
        assert read[eight, eight, 0] - read[two, eight, 0] == 6 * layer.input_elements
        assert table.compute_cycles[at, two, two] < table.compute_cycles[at, eight, eight]


def test_the_manifest_names_the_graph(scenario: str, tmp_path: Path) -> None:
    run(scenario, tmp_path / "run", "duration=5 ms")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["data"], manifest["inputs_per_frame"]) == (DATA, 16)
