"""Sparse aggregation on arrays and in buffers: cases by hand, graphs walked edge by edge, and laws."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths
from bitmixer.documents import Override
from bitmixer.errors import BitmixerError, GraphFormatError
from bitmixer.graph import NETWORK_INPUT, Gather, Layer, LayerGraph
from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.config.profile import load_profile
from hwsim.cost.arrays import ARRAYS, build
from hwsim.cost.arrays.gathering import gathering_work
from hwsim.cost.memory import Buffers, GatheredRows, ShortTransfers
from hwsim.cost.memory.gathering import _fetches, structure_bits, unbuffered_read_bits
from hwsim.cost.table import CostTable
from hwsim.device import Device, build_device
from hwsim.errors import ConfigurationError
from hwsim.pricing import Widths, price

WIDTHS = (1, 2, 4, 8)
BITS = np.array(WIDTHS)
BISMO = build("bismo", rows=8, depth=4, columns=8)
Edges = list[tuple[int, int]]


def histogram(ends: list[int]) -> tuple[tuple[int, int], ...]:
    counted = np.bincount(np.unique(ends, return_counts=True)[1])
    return tuple((edges, int(nodes)) for edges, nodes in enumerate(counted) if edges and nodes)


def gather_of(edges: Edges, *, elements: int = 16, heads: int = 1, index_bits: int = 5) -> Gather:
    return Gather(
        heads=heads, message_elements=elements, fan_in=histogram([target for _, target in edges]),
        fan_out=histogram([source for source, _ in edges]), index_bits=index_bits,
    )  # fmt: skip


def layer_of(gather: Gather, name: str = "aggregation/degree0") -> Layer:
    groups = gather.edges * gather.heads
    elements = gather.message_elements // gather.heads
    return Layer(
        name=name, kind="convolution", input_channels=groups, output_channels=groups, kernel_height=1, kernel_width=1,
        stride=(1, 1), padding=(0, 0), groups=groups, input_height=1, input_width=elements, output_height=1,
        output_width=elements, allowed=tuple(BitWidths(w, a) for w in WIDTHS for a in WIDTHS),
        producers=(NETWORK_INPUT,), consumers=(), key_consumer=None, is_key_consumer=True,
        stream_write_elements=gather.targets * gather.message_elements, residual_write_elements=0,
        residual_read_elements=0, vector_operations=gather.targets * gather.message_elements, gather=gather,
    )  # fmt: skip


def graph_of(*gathers: Gather) -> LayerGraph:
    layers = tuple(layer_of(gather, f"aggregation/degree{at}") for at, gather in enumerate(gathers))
    return LayerGraph(
        network="star", input_shape=(9, 16), classes=2, residual_bits=8, norm_bits=0, layers=layers, joins=(),
        one_pass=True,
    )  # fmt: skip


def device(**changes: Any) -> Device:
    """Return the shipped board without penalty for gathered rows, but for what changes of its buffers say."""
    board = build_device(load_profile("bismo_pynq_z1_buffered"))
    buffers = Buffers(
        weight_bits=1 << 16, activation_bits=1 << 16, output_bits=1 << 15, halves=2, burst_bits=1,
        gathered_rows=GatheredRows(least_bits=1, slowdown=1.0),
    )  # fmt: skip
    return dataclasses.replace(board, buffers=dataclasses.replace(buffers, **changes), array=BISMO)


def at(table: CostTable, values: Any, weight: int, activation: int, site: int = 0) -> int:
    return int(values[site, table.width_index(weight), table.width_index(activation), 0, 0])


# Sources 0 and 1 send three edges each, 2 and 3 one each; target 0 has five edges, targets 1, 2 and 3 have one.
SMALL: Edges = [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 1), (0, 2), (1, 3)]
# ... so that source 0 sends three, 1 two, and 2, 3, 4 one each.


def test_histograms_by_hand() -> None:
    gather = gather_of(SMALL)
    assert gather.fan_in == ((1, 3), (5, 1))
    assert gather.fan_out == ((1, 3), (2, 1), (3, 1))
    assert (gather.edges, gather.targets, gather.sources) == (8, 4, 5)


@pytest.mark.parametrize(("heads", "cycles"), [(1, 60), (2, 60), (4, 120)])
def test_cycles_of_a_row_of_dot_products_by_hand(heads: int, cycles: int) -> None:
    # Three targets of 1 edge take ceil(1/4) = 1 pass over their messages, that of 5 edges ceil(5/4) = 2: 5 passes. 16
    # elements are two columns of 8; 2 heads are one column each, 4 heads half a column each. 2 x 3 bits.
    found, counts = gathering_work(BISMO, [layer_of(gather_of(SMALL, heads=heads))], np.array([2]), np.array([3]))
    assert found.tolist() == [[cycles]]
    assert counts["array_cycle"].tolist() == [[cycles]]
    assert counts["binary_mac"].tolist() == [[2 * 3 * 8 * 16]]


def test_traffic_without_buffers_by_hand() -> None:
    # 8 edges: an index of 5 bits, a coefficient of 2 bits per head, a message of 16 x 4 bits; 4 ends of rows of 4 bits.
    gather = gather_of(SMALL, heads=2)
    assert structure_bits(gather) == 8 * 5 + 4 * 4
    expected = 8 * 5 + 4 * 4 + 8 * 2 * 2 + 8 * 16 * 4
    assert int(unbuffered_read_bits(gather, np.array(2), np.array(4))) == expected
    streamed = build_device(load_profile("bismo_pynq_z1")).cost_table(graph_of(gather), 7)
    assert at(streamed, streamed.dram_read_bits, 2, 4) == expected


def test_traffic_through_buffers_by_hand() -> None:
    gather, beside = gather_of(SMALL), 8 * 5 + 4 * 4 + 8 * 2
    message = 16 * 4

    def read(room: int, **changes: Any) -> tuple[int, int]:
        table = device(activation_bits=room, **changes).cost_table(graph_of(gather), 1)
        own = table.dram_read_bits - beside
        return at(table, own, 2, 4), at(table, table.dram_write_bits, 2, 4)

    logits = 4 * 16 * 32
    assert read(5 * message) == (5 * message, logits)  # all messages fit: each once
    # Room for two: one stays, source 0's, fetched once instead of three times. In blocks of one, 4 blocks would move
    # the accumulators of min(4 x 4, 8 - 4) targets out and in, 16 x 32 bits each, which is more.
    assert read(2 * message) == (6 * message, logits)
    # Rows in whole pieces of 100 bits.
    pieces = {"gathered_rows": GatheredRows(least_bits=100, slowdown=1.0)}
    assert read(2 * message, **pieces) == (6 * 100, logits)
    # Where gathered rows take 30 times as long, blocks are worth their accumulators.
    slow = {"gathered_rows": GatheredRows(least_bits=1, slowdown=30.0)}
    assert read(2 * message, **slow) == (5 * message + 4 * 16 * 32, logits + 4 * 16 * 32)


def test_random_accesses_take_their_time() -> None:
    message = 16 * 8
    slow, fast = (
        device(activation_bits=2 * message, gathered_rows=GatheredRows(least_bits=1, slowdown=factor)).cost_table(
            graph_of(gather_of(SMALL)), 1
        )
        for factor in (2.0, 1.0)
    )
    assert at(slow, slow.dram_read_bits, 8, 8) == at(fast, fast.dram_read_bits, 8, 8)
    gained = at(slow, slow.dram_time_bits, 8, 8) - at(fast, fast.dram_time_bits, 8, 8)
    assert gained == 6 * message
    short = ShortTransfers(below_bits=10_000, slowdown=3.0)  # without a word on gathered rows they move as short pieces
    other = device(activation_bits=2 * message, gathered_rows=None, short_transfers=short)
    table = other.cost_table(graph_of(gather_of(SMALL)), 1)
    assert at(table, table.dram_time_bits, 8, 8) > at(slow, slow.dram_time_bits, 8, 8)


edges_of_graphs = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), min_size=1, max_size=60, unique=True)


@given(edges_of_graphs, st.integers(0, 12))
def test_keeping_those_of_most_edges_fetches_what_walking_the_edges_fetches(edges: Edges, room: int) -> None:
    sends = np.bincount([source for source, _ in edges], minlength=12)
    kept, there, fetched = set(np.argsort(-sends, kind="stable")[:room].tolist()), set(), 0
    for source, _ in sorted(edges, key=lambda edge: edge[1]):
        fetched += source not in there
        if source in kept:
            there.add(source)
    gather = gather_of(edges)
    assert int(_fetches(gather, np.array([min(room, gather.sources)]))[0]) == fetched


@given(edges_of_graphs, st.integers(1, 6))
def test_blocks_move_no_more_accumulators_than_is_charged(edges: Edges, size: int) -> None:
    sources = sorted({source for source, _ in edges})
    seen: set[int] = set()
    again, blocks = 0, [sources[begin : begin + size] for begin in range(0, len(sources), size)]
    for block in blocks:
        touched = {target for source, target in edges if source in block}
        again += len(touched & seen)
        seen |= touched
    gather = gather_of(edges)
    assert again <= min((len(blocks) - 1) * gather.targets, gather.edges - gather.targets)


@given(edges_of_graphs, st.sampled_from([128, 300, 1000, 4000, 1 << 14]), st.sampled_from([1.0, 2.0, 8.0]))
def test_more_bits_are_never_cheaper(edges: Edges, room: int, slowdown: float) -> None:
    buffers = {"activation_bits": room, "gathered_rows": GatheredRows(least_bits=32, slowdown=slowdown)}
    for table in (
        device(**buffers).cost_table(graph_of(gather_of(edges)), 1),
        build_device(load_profile("bismo_pynq_z1")).cost_table(graph_of(gather_of(edges)), 1),
    ):
        for axis in (1, 2):
            for values in (table.compute_cycles, table.dram_read_bits + table.dram_write_bits, table.dram_time_bits):
                assert np.all(np.diff(values, axis=axis) >= 0)
            assert np.all(np.diff(table.energy_joules, axis=axis) >= 0)
            assert np.all(np.diff(table.total_cycles, axis=axis + 1) >= 0)


@given(edges_of_graphs, st.integers(1, 11))
def test_larger_buffers_move_no_more(edges: Edges, rows: int) -> None:
    message = 16 * 8
    small, large = (
        device(activation_bits=room * message).cost_table(graph_of(gather_of(edges)), 1) for room in (rows, rows + 1)
    )
    assert np.all(large.dram_time_bits <= small.dram_time_bits)


@given(edges_of_graphs, st.integers(1, 11))
def test_costs_add_up_over_degree_classes(edges: Edges, cut: int) -> None:
    parts = [part for part in ([e for e in edges if e[0] < cut], [e for e in edges if e[0] >= cut]) if part]
    whole, split = gather_of(edges), [gather_of(part) for part in parts]
    assert whole.edges == sum(each.edges for each in split)
    assert whole.sources == sum(each.sources for each in split)
    serial = build("bismo", rows=1, depth=1, columns=1)  # no class leaves a lane half empty

    def cycles(gathers: list[Gather]) -> int:
        layers = [layer_of(each) for each in gathers]
        return int(gathering_work(serial, layers, np.array([8]), np.array([8]))[0].sum())

    assert cycles([whole]) == cycles(split)
    reads = [unbuffered_read_bits(each, BITS[:, None], BITS) - structure_bits(each) for each in (whole, *split)]
    assert np.array_equal(reads[0], sum(reads[1:]))
    wide = [gathering_work(BISMO, [layer_of(each)], BITS[:, None], BITS)[0] for each in (whole, *split)]
    assert np.all(sum(wide[1:]) >= wide[0])


@pytest.mark.parametrize("name", [name for name in ARRAYS if name not in {"bitfusion", "braintta"}])
def test_every_array_that_takes_layers_as_they_are_aggregates(name: str) -> None:
    fields = {field.name: field for field in dataclasses.fields(ARRAYS[name])}
    given_ = {
        name: 16 for name, field in fields.items() if field.default is dataclasses.MISSING and field.type == "int"
    }
    words = {name for name, field in fields.items() if field.default is dataclasses.MISSING and field.type != "int"}
    if words:
        pytest.skip(f"{name} needs {words}")
    cycles, counts = gathering_work(build(name, **given_), [layer_of(gather_of(SMALL))], np.array([8]), np.array([8]))
    assert int(cycles[0, 0]) > 0
    assert all(int(count[0, 0]) > 0 for count in counts.values())


@pytest.mark.parametrize("halves", [1, 2])
@pytest.mark.parametrize("name", ["small", "cora"])
def test_stages_add_up_to_the_cost_table_and_stretch_with_the_bandwidth(halves: int, name: str) -> None:
    graph = graph_of(gather_of(SMALL)) if name == "small" else find_checkpoint("gat_cora").graph
    table = device(halves=halves, output_bits=1 << 13, weight_bits=1 << 21, activation_bits=1 << 21).cost_table(
        graph, 1
    )
    for site in [at for at, layer in enumerate(graph.layers) if layer.gather]:
        for w, a in ((0, 0), (3, 1), (3, 3)):
            row = table.row(site, w, a, a, 0)
            for clock in (0, len(table.frequencies_hertz) - 1):
                whole = table.total_cycles[clock].reshape(-1)[row]
                assert int(table.stage_cycles(row, clock, 1.0).sum()) == whole
                assert int(table.stage_cycles(row, clock, 0.2).sum()) >= whole
            assert table.total_cycles[0].reshape(-1)[row] >= table.compute_cycles[site, w, a]


def test_the_mean_over_edges_prices_aggregation_and_the_mean_over_nodes_storage() -> None:
    graph = find_checkpoint("gat_cora").graph
    table = build_device(load_profile("bismo_pynq_z1")).cost_table(graph, 1)
    eight, two = table.width_index(8), table.width_index(2)
    saved = {
        layer.name: int(table.dram_read_bits[at, eight, eight, 0, 0] - table.dram_read_bits[at, eight, two, 0, 0])
        for at, layer in enumerate(graph.layers)
    }
    for layer in graph.layers:
        per_value = saved[layer.name] / 6
        if layer.gather:
            assert per_value == layer.gather.edges * layer.gather.message_elements
        else:
            assert per_value == layer.input_width * layer.input_channels  # nodes x features
    of = {
        each: (graph[f"layer1.aggregation/degree{each}"], graph[f"layer1.combination/degree{each}"]) for each in (0, 3)
    }
    low, high = (aggregation.macs / combination.macs for aggregation, combination in of.values())
    assert high > 5 * low  # nodes of many edges weigh more where edges count


def test_a_captured_graph_comes_back_from_its_file() -> None:
    graph = graph_of(gather_of(SMALL, heads=2))
    assert LayerGraph.from_json(graph.to_json()) == graph
    with pytest.raises(GraphFormatError, match="one_pass"):
        dataclasses.replace(graph, one_pass=False)


def test_arrays_that_schedule_by_themselves_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="gathers over a graph"):
        price("bitfusion", network="gat_cora", layers=None, widths=Widths(), inputs=1, profile=None, sets=[])


def test_gathered_rows_that_move_faster_than_long_pieces_are_refused() -> None:
    slower = Override("memory.dram_efficiency.value", 0.3, "--set")
    with pytest.raises(BitmixerError, match=r"gathered_rows\.efficiency\.value: is above dram_efficiency"):
        load_profile("bismo_pynq_z1_buffered", [slower])
