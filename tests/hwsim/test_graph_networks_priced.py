"""Graph networks through the cost tables and the simulator, class by class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitmixer.bitwidths import BitWidths
from bitmixer.data.block_model import BlockModel
from bitmixer.graph import LayerGraph
from bitmixer.graphs.capturing import capture_graph_network
from bitmixer.graphs.network import GraphNetworkForm
from bitmixer.graphs.networks import create_graph_network
from bitmixer.graphs.topology import Topology
from hwsim import pipeline
from hwsim.config.profile import load_profile
from hwsim.device import build_device


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


@pytest.mark.parametrize("name", ["gcn", "gat"])
def test_a_device_answers_queries_on_a_graph(name: str, tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_text(captured(1000, 5000, name).to_json(), encoding="utf-8")
    scenario = (Path(__file__).parents[2] / "scenarios" / "graph_node.yaml").read_text(encoding="utf-8")
    (tmp_path / "own.yaml").write_text(
        scenario.replace("network: gcn_cora.json", "network: graph.json"), encoding="utf-8"
    )
    pipeline.run(pipeline.plan(str(tmp_path / "own.yaml"), sets=["duration=1 s"]), tmp_path / "out", figures=False)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["frames_completed"] > 5
    assert summary["accuracy"] is None


def test_lower_bits_of_a_class_change_only_its_sites() -> None:
    graph = captured(1000, 5000)
    changed = {**graph.uniform(8), "layer1.aggregation/degree3": BitWidths(8, 2)}
    assert [name for name, widths in changed.items() if widths != (8, 8)] == ["layer1.aggregation/degree3"]
    assert graph.mean_bits(changed).activation < 8


def test_the_shipped_graph_is_that_of_cora() -> None:
    file = Path(__file__).parents[2] / "scenarios" / "gcn_cora.json"
    graph = LayerGraph.load(file)
    nodes, loops = 2708, 10_556 + 2708  # as in the data set's own description
    assert graph.macs == nodes * (1433 * 16 + 16 * 7) + loops * (16 + 7)


def test_a_controller_that_lowers_bits_keeps_the_deadlines_of_graph_node(tmp_path: Path) -> None:
    missed = {}
    for controller in ("static", "hysteresis"):
        planned = pipeline.plan("graph_node", controller=controller, sets=["duration=2 s"])
        pipeline.run(planned, tmp_path / controller, figures=False)
        summary = json.loads((tmp_path / controller / "summary.json").read_text(encoding="utf-8"))
        missed[controller] = summary["deadline_miss_rate"]
    assert missed["static"] > 0.05 > missed["hysteresis"]
