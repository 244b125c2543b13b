"""Memory of assignments, and the search for those that save most."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import MissingExtraError, SearchError
from bitmixer.graphs.memory import real_storage, storage
from bitmixer.graphs.network import GraphNetworkForm, Schedule
from bitmixer.graphs.networks import GRAPH_NETWORKS, create_graph_network
from bitmixer.graphs.node_graph import NodeGraph
from bitmixer.graphs.selection import STRATEGIES, BitProblem, select_bits
from bitmixer.graphs.sites import choices, chosen
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import judge, train


def made_up(choices_of: int = 12) -> BitProblem:
    """Return a problem whose answer is known: four choices matter, the others tolerate one bit."""
    matters = np.zeros(choices_of)
    matters[:4] = 0.1

    def accuracy(bits: tuple[int, ...]) -> float:
        return 0.8 - float((matters / np.array(bits) ** 2).sum())

    sites = create_graph_network("gcn", GraphNetworkForm(features=3, classes=2)).sites
    return BitProblem(
        choices=choices(sites, "combined")[:choices_of], widths=(1, 2, 4, 8, 16), threshold=0.77, accuracy=accuracy,
        elements=np.array([1, 1, 1, 1] + [50] * (choices_of - 4)),
    )  # fmt: skip


def test_memory_is_counted_by_hand(blocks: NodeGraph, topology: Topology, form: GraphNetworkForm) -> None:
    network = create_graph_network("gat", form)
    stored = real_storage(network, topology)
    values = blocks.nodes * (12 + 64) + (blocks.edges + blocks.nodes) * (8 + 1)
    assert stored.values == values
    assert stored.dense_bits == 32 * values
    assert stored.sparse_bits == stored.dense_bits  # nothing is zero
    low = {site.name: BitWidths(1, 2 if site.degree_class == 0 else 8) for site in network.sites}
    lowest = int((blocks.in_degrees < 4).sum())
    expected = (12 + 64) * (2 * lowest + 8 * (blocks.nodes - lowest)) + (blocks.edges + blocks.nodes) * 9
    assert storage(network, topology, low).dense_bits == expected


def test_sparse_inputs_are_stored_in_the_smaller_form(blocks: NodeGraph, form: GraphNetworkForm) -> None:
    x = torch.zeros_like(blocks.x)
    x[::10, 3] = 1.0
    topology = Topology(dataclasses.replace(blocks, x=x))
    network = create_graph_network("gcn", form)
    stored = real_storage(network, topology)
    assert stored.sparse_input_bits == 150 * (32 + 4) + 1501 * 8  # columns of 4 bits, starts of 8


@pytest.mark.parametrize("name", sorted(GRAPH_NETWORKS))
def test_the_problem_s_savings_are_those_of_memory(name: str, topology: Topology, form: GraphNetworkForm) -> None:
    network = create_graph_network(name, form)
    problem = BitProblem.of(network, topology)
    bits = problem.drawn(np.random.default_rng(1), 1)[0]
    assignment = chosen(network.sites, list(zip(problem.choices, bits.tolist(), strict=True)))
    expected = real_storage(network, topology).dense_bits / storage(network, topology, assignment).dense_bits
    assert problem.savings(bits) == pytest.approx(expected)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_repeats_itself_and_its_best_is_feasible(strategy: str) -> None:
    problem = made_up()
    first, second = (select_bits(problem, strategy, measurements=30, seed=4) for _ in range(2))
    assert first.measurements == second.measurements
    assert len(first.measurements) == 30
    assert first.progress == sorted(first.progress)
    assert first.best is not None
    assert first.best.accuracy >= problem.threshold
    assert first.best.saving == first.progress[-1]


def test_the_learned_model_saves_more_than_random_draws() -> None:
    problem = made_up()
    saved = {
        strategy: [select_bits(problem, strategy, measurements=80, seed=seed).progress[-1] for seed in range(3)]
        for strategy in ("learned", "random")
    }
    assert min(saved["learned"]) > 1.5 * max(saved["random"])


def test_bits_are_selected_for_a_network_without_its_test_nodes(topology: Topology, form: GraphNetworkForm) -> None:
    torch.manual_seed(0)
    network = create_graph_network("gcn", form)
    train(network, topology, Schedule(learning_rate=0.01, weight_decay=5e-4, epochs=60), seed=0)
    real = judge(network, topology)
    problem = BitProblem.of(network, topology, granularity="layer", tolerance=0.02)
    found = select_bits(problem, "learned", measurements=25, seed=0)
    assert found.best is not None
    assert found.best.saving > 4
    assignment = found.assignment(network)
    assert assignment is not None
    network.calibrate(topology, [assignment])
    network.assign(assignment)
    assert judge(network, topology).validation == found.best.accuracy >= real.validation - 0.02


def test_unknown_strategies_and_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = made_up()
    with pytest.raises(SearchError, match="did you mean 'learned'"):
        select_bits(problem, "learnt", measurements=1, seed=0)
    with pytest.raises(SearchError, match="expected 1 or more"):
        select_bits(problem, "random", measurements=0, seed=0)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"bitmixer-hwsim\[search\]"):
        select_bits(problem, "optuna", measurements=1, seed=0)


def test_by_agreement_no_more_accuracy_is_lost_than_answers_change(topology: Topology, form: GraphNetworkForm) -> None:
    torch.manual_seed(1)
    network = create_graph_network("gcn", form)
    train(network, topology, Schedule(learning_rate=0.01, weight_decay=5e-4, epochs=40), seed=0)
    by_accuracy, by_agreement = (
        BitProblem.of(network, topology, tolerance=0.02, judged_by=judge) for judge in ("accuracy", "agreement")
    )
    assert by_agreement.threshold == pytest.approx(0.98)
    chosen_by = float(topology.graph.val_mask.sum() / (~topology.graph.test_mask).sum())
    for bits in (16, 4, 2, 1):
        each = (bits,) * len(by_agreement.choices)
        lost = by_accuracy.threshold + 0.02 - by_accuracy.accuracy(each)
        assert lost * chosen_by <= 1 - by_agreement.accuracy(each) + 1e-9
    scaled = create_graph_network("gcn", dataclasses.replace(form, input_quantizer="node_extremes"))
    ranges = BitProblem.of(scaled, topology)
    every = np.full(len(ranges.choices), 2)
    taken = real_storage(scaled, topology).dense_bits / float(ranges.savings(every))
    two = chosen(scaled.sites, [(choice, 2) for choice in ranges.choices])
    assert taken == pytest.approx(storage(scaled, topology, two).dense_bits)
    with pytest.raises(SearchError, match="did you mean 'agreement'"):
        BitProblem.of(network, topology, judged_by="agrement")  # type: ignore[arg-type]
