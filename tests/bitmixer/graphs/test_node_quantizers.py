"""Ranges by both rules, codes per degree class, and products of codes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import DataError, QuantizerError
from bitmixer.graphs.learned_bits import learn_bits
from bitmixer.graphs.memory import storage
from bitmixer.graphs.network import GraphNetworkForm
from bitmixer.graphs.networks import create_graph_network
from bitmixer.graphs.node_graph import NodeGraph
from bitmixer.graphs.quantizers import REAL, Owners, node_quantizer
from bitmixer.graphs.quantizers.a2q import A2QQuantizer
from bitmixer.graphs.quantizers.degree_quant import DegreeQuantizer
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import judge, train

WIDTHS = (1, 2, 4, 8)


def owners_of(classes: list[int], measured: list[bool] | None = None, node: list[int] | None = None) -> Owners:
    return Owners(
        node=None if node is None else torch.tensor(node),
        degree_class=torch.tensor(classes),
        measured=torch.tensor(measured or [True] * len(classes)),
        rank=torch.linspace(0, 1, len(classes)),
    )


VALUES = torch.tensor([[0.0, 1.0], [0.5, 3.0], [-1.0, 5.0], [1.0, 2.0]])


@pytest.mark.parametrize(
    ("rule", "lower", "upper"),
    [("extremes", [0.0, -1.0], [3.0, 5.0]), ("mean_extremes", [0.25, 0.0], [2.0, 3.5])],
)
def test_each_rule_measures_each_class(rule: str, lower: list[float], upper: list[float]) -> None:
    quantizer = node_quantizer(rule, WIDTHS, 2)
    quantizer.bits = (1, 1)
    rounded = quantizer(VALUES, owners_of([0, 0, 1, 1]))
    for each in range(2):
        inside = rounded[2 * each : 2 * each + 2]
        assert set(inside.reshape(-1).tolist()) <= {lower[each], upper[each]}
    assert float(rounded[0, 0]) == lower[0]


@pytest.mark.parametrize("rule", ["extremes", "least_error", "mean_extremes"])
def test_codes_of_every_width_come_back_to_one_scale(rule: str) -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(200, 6, generator=generator)
    owners = owners_of([each % 3 for each in range(200)])
    quantizer = node_quantizer(rule, WIDTHS, 3)
    errors = []
    for bits in WIDTHS:
        quantizer.bits = (bits,) * 3
        coded = quantizer.encode(values, owners)
        assert torch.equal(coded.codes, coded.codes.round())
        assert 0 <= float(coded.codes.min()) <= float(coded.codes.max()) == 2**bits - 1
        torch.testing.assert_close(coded.values(), quantizer(values, owners))
        errors.append(float((coded.values() - values).abs().mean()))
    assert errors == sorted(errors, reverse=True)
    if rule == "extremes":  # nothing is clamped: half a step at most
        assert float((coded.values() - values).abs().max()) <= float(coded.step.max()) / 2 + 1e-6


@pytest.mark.parametrize(("rule", "range_bits", "tolerance"), [("node_extremes", 64, 1e-6), ("node_scale", 16, 1e-2)])
def test_a_range_per_node_holds_bags_of_words_in_one_bit(
    blocks: NodeGraph, rule: str, range_bits: int, tolerance: float
) -> None:
    x = (torch.rand(blocks.nodes, 40, generator=torch.Generator().manual_seed(1)) < 0.05).float()
    topology = Topology(replace(blocks, x=x).row_normalized())
    form = GraphNetworkForm(features=40, classes=3, input_quantizer=rule)
    network = create_graph_network("gcn", form).eval()
    real, one = ({site.name: BitWidths(REAL, REAL) for site in network.sites} for _ in range(2))
    for site in network.sites:
        if site.layer == "layer1" and site.product == "combination":
            one[site.name] = BitWidths(REAL, 1)
    logits = []
    for assignment in (real, one):
        network.assign(assignment)
        logits.append(network(topology))
    torch.testing.assert_close(*logits, rtol=tolerance, atol=tolerance)
    stored = storage(network, topology, one).input_bits
    assert stored == blocks.nodes * (40 + range_bits)  # the ranges are counted


@given(st.lists(st.floats(0, 1e6, width=32), min_size=2, max_size=12), st.sampled_from([1, 2, 4, 8]))
def test_a_scale_per_node_errs_by_half_a_step_at_most(row: list[float], bits: int) -> None:
    quantizer = node_quantizer("node_scale", WIDTHS, 1)
    quantizer.bits = (bits,)
    values = torch.tensor([row, [0.0] * len(row)])
    coded = quantizer.encode(values, owners_of([0, 0]))
    assert 0 <= float(coded.codes.min()) <= float(coded.codes.max()) <= 2**bits - 1
    step = float(coded.step[0])
    clipped = 2**-8 * max(row)  # a bfloat16 may be that much below the greatest value
    assert float((coded.values() - values).abs().max()) <= step / 2 * (1 + 1e-5) + clipped


def test_a_scale_per_node_refuses_what_is_negative() -> None:
    quantizer = node_quantizer("node_scale", WIDTHS, 2)
    quantizer.bits = (4, 4)
    with pytest.raises(QuantizerError, match="use 'node_extremes'"):
        quantizer(VALUES, owners_of([0, 0, 1, 1]))


def test_the_better_rule_is_taken_class_by_class_and_width_by_width() -> None:
    generator = torch.Generator().manual_seed(2)
    values = torch.rand(400, 8, generator=generator)
    values[200:, 0] *= torch.where(torch.rand(200, generator=generator) < 0.02, 50.0, 1.0)  # class 1 has a tail
    owners = owners_of([0] * 200 + [1] * 200)
    for bits in WIDTHS:
        errors = {}
        for rule in ("extremes", "mean_extremes", "least_error"):
            quantizer = node_quantizer(rule, WIDTHS, 2)
            quantizer.bits = (bits, bits)
            error = (quantizer(values, owners) - values).square()
            errors[rule] = [float(error[:200].sum()), float(error[200:].sum())]
        best = [min(pair) for pair in zip(errors["extremes"], errors["mean_extremes"], strict=True)]
        assert errors["least_error"] == pytest.approx(best, rel=1e-5)


def test_a_class_at_32_bits_stays_as_it_is_and_gradients_pass() -> None:
    quantizer = node_quantizer("extremes", WIDTHS, 2)
    quantizer.bits = (REAL, 1)
    values = VALUES.clone().requires_grad_()
    rounded = quantizer(values, owners_of([0, 0, 1, 1]))
    assert torch.equal(rounded[:2], VALUES[:2])
    assert set(rounded[2:].reshape(-1).tolist()) == {-1.0, 5.0}
    rounded.sum().backward()
    assert values.grad is not None
    assert bool((values.grad == 1).all())


def test_nodes_that_judge_set_no_range_and_evaluation_keeps_ranges() -> None:
    quantizer = node_quantizer("extremes", WIDTHS, 1)
    quantizer.bits = (8,)
    owners = owners_of([0] * 4, measured=[True, True, False, True])
    first = quantizer(VALUES, owners)
    changed = VALUES.clone()
    changed[2] = 1e6
    assert torch.equal(quantizer(changed, owners)[[0, 1, 3]], first[[0, 1, 3]])
    assert float(first.min()) == 0.0
    quantizer.eval()
    assert float(quantizer(VALUES * 100, owners).max()) == pytest.approx(3.0)


def test_zeros_without_entries_belong_to_the_range() -> None:
    owners = replace(owners_of([0, 0], node=[0, 1, 1]), omits_zeros=True)
    quantizer = node_quantizer("mean_extremes", WIDTHS, 1)
    quantizer.bits = (1,)
    rounded = quantizer(torch.tensor([0.4, 0.2, 0.1]), owners)
    assert rounded.tolist() == pytest.approx([0.3, 0.3, 0.0])  # range 0 to the mean of 0.4 and 0.2


def test_a_class_without_measured_nodes_takes_the_widest_range() -> None:
    quantizer = node_quantizer("extremes", WIDTHS, 3)
    quantizer.bits = (8,) * 3
    coded = quantizer.encode(VALUES, owners_of([0, 0, 1, 2], measured=[True, True, True, False]))
    assert float(coded.lower[3]) == -1.0
    assert float(coded.lower[3] + 255 * coded.step[3]) == pytest.approx(5.0)


def test_unknown_quantizers_and_cuts_are_refused(blocks: NodeGraph) -> None:
    with pytest.raises(QuantizerError, match="did you mean 'mean_extremes'"):
        node_quantizer("mean_extreme", WIDTHS, 1)
    with pytest.raises(DataError, match="degree cuts"):
        Topology(blocks, (8, 4))


def test_integer_products_equal_those_of_the_values(topology: Topology, form: GraphNetworkForm) -> None:
    network = create_graph_network("gcn", form)
    network.calibrate_weights()
    widths = {site.name: BitWidths(4, 2 if site.degree_class else 8) for site in network.sites}
    mixed = {name: BitWidths(2 if name.endswith("degree1") else pair.weight, pair.activation)
             for name, pair in widths.items()}  # fmt: skip
    network.calibrate(topology, [mixed])
    network.assign(mixed)
    network.eval()
    combination = network.get_submodule("layer1.combination")
    features = topology.features
    exact = combination(features, topology)
    values = combination.activation_quantizer(features.values, features.owners)
    for each, pair in enumerate(combination.bits):
        nodes = topology.degree_class == each
        combination.weight_quantizer.bits = pair.weight
        weight = combination.weight_quantizer.encode(combination.weight)
        expected = values[nodes].double() @ (weight.codes * weight.step).double()
        torch.testing.assert_close(exact[nodes].double(), expected, rtol=1e-5, atol=1e-5)


def test_degree_quant_protects_by_rank_of_degree_in_training_alone() -> None:
    nodes = 4000
    owners = replace(owners_of([0] * nodes), rank=torch.arange(1, nodes + 1) / nodes)
    quantizer = node_quantizer("degree_quant", WIDTHS, 1)
    quantizer.bits = (4,)
    assert isinstance(quantizer, DegreeQuantizer)
    expected = 0.1 + 0.1 * owners.rank  # authors' code: p_min + (p_max - p_min) * nodes of no higher degree / nodes
    torch.testing.assert_close(quantizer.protection(owners), expected)
    values = torch.rand(nodes, 1, generator=torch.Generator().manual_seed(1)) + 0.013
    torch.manual_seed(2)
    spared = torch.stack([(quantizer(values, owners) == values)[:, 0] for _ in range(300)]).double().mean(dim=0)
    halves = spared[: nodes // 2].mean(), spared[nodes // 2 :].mean()
    assert [float(each) for each in halves] == pytest.approx([0.125, 0.175], abs=0.01)
    quantizer.eval()
    assert int((quantizer(values, owners) == values).sum()) < nodes // 100


def test_degree_quant_ranges_are_percentiles_the_widest_seen_and_clamped_values_learn_nothing() -> None:
    owners = owners_of([0] * 2000)
    values = torch.randn(2000, 1, generator=torch.Generator().manual_seed(3))
    values[0] = 1e4
    quantizer = node_quantizer("degree_quant", WIDTHS, 1).eval()
    quantizer.bits, quantizer.calibrating = (8,), True
    ordered = values.reshape(-1).sort().values
    for scale in (1.0, 0.5):  # the second range is narrower, so the first is kept
        coded = quantizer.encode(values * scale, owners)
        ends = float(coded.lower[0]), float(coded.lower[0] + 255 * coded.step[0])
        assert ends == pytest.approx([float(ordered[1]), float(ordered[-2])], rel=1e-4)
    given_back = values.clone().requires_grad_()
    quantizer(given_back, owners).sum().backward()
    assert given_back.grad is not None
    assert float(given_back.grad[0]) == 0.0
    assert float(given_back.grad.sum()) == 2000 - 2  # one more at the other end


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a2q_codes_and_local_gradients_are_those_of_its_formulas(sign: float) -> None:
    step, bits = 0.5, 3
    values = torch.tensor([[0.6, sign * 0.2], [sign * 2.6, 5.0]])
    quantizer = node_quantizer("a2q", WIDTHS, 1)
    assert isinstance(quantizer, A2QQuantizer)
    quantizer.bits, quantizer.learns_widths = (bits,), True
    quantizer.is_signed.fill_(sign < 0)
    with torch.no_grad():
        quantizer.log_step.fill_(math.log(step))
        quantizer.width.fill_(bits)
    highest = 2 ** (bits - 1) - 1 if sign < 0 else 2**bits - 1
    codes = (values.sign() * (values.abs() / step + 0.5).floor()).clamp(-highest, highest)
    given_back = values.clone().requires_grad_()
    rounded = quantizer(given_back, owners_of([0, 0]))
    torch.testing.assert_close(rounded, codes * step)
    torch.testing.assert_close(quantizer.encode(values, owners_of([0, 0])).values(), codes * step)
    rounded.sum().backward()
    is_inside = values.abs() <= highest * step
    assert torch.equal(given_back.grad, is_inside.float())
    quantizer.error.backward()
    outwards = (codes * step - values).sign()
    by_step = torch.where(is_inside, codes - values / step, values.sign() * highest)
    by_width = torch.where(is_inside, 0.0, values.sign() * (highest + 1) * math.log(2) * step)
    found = float(quantizer.log_step.grad / step), float(quantizer.width.grad)
    assert found == pytest.approx([float((outwards * each).mean()) for each in (by_step, by_width)], rel=1e-5)


def test_learned_widths_keep_to_the_memory_asked_for(topology: Topology, form: GraphNetworkForm) -> None:
    learning = replace(form, widths=tuple(range(1, 9)), quantizer="a2q", input_quantizer="extremes")
    torch.manual_seed(1)
    network = create_graph_network("gcn", learning)
    train(network, topology, replace(network.schedule, epochs=40), seed=0)
    assignment = learn_bits(network, topology, mean_bits=2.0, seed=0, start=4, input_bits=8)
    assert network.assignment == assignment
    stored = storage(network, topology, assignment)
    hidden = stored.values - topology.graph.nodes * topology.graph.features
    assert stored.hidden_bits + stored.coefficient_bits <= 2.05 * hidden
    assert stored.input_bits == 8 * topology.graph.nodes * topology.graph.features
    assert judge(network, topology).test > 0.5  # chance is 1/3
    with pytest.raises(QuantizerError, match="quantizer='a2q'"):
        learn_bits(create_graph_network("gcn", form), topology, mean_bits=2.0, seed=0)
