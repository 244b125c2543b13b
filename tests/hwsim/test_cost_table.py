"""The cost table: one small network by hand, and the laws that every network obeys."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer, LayerGraph
from hwsim.cost import CostTable, EnergyEntry, EnergyTable, Memory, cost_table
from hwsim.cost.arrays import Bismo
from hwsim.errors import ConfigurationError

WIDTHS = (2, 4, 8)
FREE = tuple(BitWidths(w, a) for w in WIDTHS for a in WIDTHS)
PINNED = (BitWidths(8, 8),)


def layer(name: str, **changes: Any) -> Layer:
    """Return a 1x1 convolution of 4 channels on 2x2 in a chain, unless told otherwise."""
    fields: dict[str, Any] = {
        "name": name,
        "kind": "convolution",
        "input_channels": 4,
        "output_channels": 4,
        "kernel_height": 1,
        "kernel_width": 1,
        "stride": (1, 1),
        "padding": (0, 0),
        "groups": 1,
        "input_height": 2,
        "input_width": 2,
        "output_height": 2,
        "output_width": 2,
        "allowed": FREE,
        "producers": (),
        "consumers": (),
        "key_consumer": None,
        "is_key_consumer": True,
        "stream_write_elements": 16,
        "residual_write_elements": 0,
        "residual_read_elements": 0,
        "vector_operations": 16,
    }
    return Layer(**{**fields, **changes})


def graph_of(*layers: Layer) -> LayerGraph:
    return LayerGraph(
        network="small",
        input_shape=(4, 2, 2),
        classes=4,
        residual_bits=8,
        norm_bits=32,
        layers=layers,
        joins=(),
    )


SMALL = graph_of(
    layer("stem", allowed=PINNED, producers=("input",), key_consumer="middle", consumers=("middle",)),
    layer(
        "middle",
        output_channels=6,
        kernel_height=3,
        kernel_width=3,
        padding=1,
        producers=("stem",),
        consumers=("head",),
        key_consumer="head",
        stream_write_elements=24,
        residual_read_elements=5,
        residual_write_elements=3,
    ),
    layer("head", kind="linear", allowed=PINNED, input_channels=6, producers=("middle",)),
)
ENERGY = EnergyTable(
    entries=(
        EnergyEntry(name="lanes", action="binary_mac", joules=2.0, node="die"),
        EnergyEntry(name="buffers", action="buffer_bit", joules=0.5, node="die"),
        EnergyEntry(name="clock", action="array_cycle", joules=1.0, node="die"),
        EnergyEntry(name="vector", action="vector_operation", joules=4.0, node="die"),
        EnergyEntry(name="dram", action="dram_bit", joules=8.0, node="elsewhere"),
    )
)


def priced(graph: LayerGraph = SMALL, **changes: Any) -> CostTable:
    options: dict[str, Any] = {
        "widths": WIDTHS,
        "inputs_per_frame": 1,
        "array": Bismo(rows=4, depth=16, columns=2),
        "memory": Memory(dram_bandwidth_bits_per_second=1600.0, port_bits_per_cycle=64),
        "vector_lanes": 1,
        "energy_table": ENERGY,
        "nodes": ("die",),
        "frequencies_hertz": (100, 200),
    }
    return cost_table(graph, **{**options, **changes})


@cache
def small_table() -> CostTable:
    return priced()


def test_middle_layer_by_hand() -> None:
    """M = 6, K = 36, P = 4 on 4 x 16 x 2: 2 * 3 * 2 = 12 tiles; at w4 a2, the consumer at 8."""
    table = small_table()
    at = (1, 1, 0, 2)
    assert table.compute_cycles[1, 1, 0] == 4 * 2 * 12
    assert table.counts["array_cycle"][at].tolist() == [96, 96]
    assert table.counts["buffer_bit"][at].tolist() == [96 * 6 * 16] * 2
    assert table.counts["binary_mac"][at].tolist() == [8 * 6 * 36 * 4] * 2
    assert table.counts["vector_operation"][at].tolist() == [16, 16]
    # weights 216 x (4 planes and the carry of the next), input 16 x 2, waiting operand 5 x 8;
    # a norm of 6 channels is 2 x 6 x 32.
    assert table.dram_read_bits[at].tolist() == [1152, 1152 + 384]
    assert table.dram_write_bits[at].tolist() == [24 * 8 + 3 * 8] * 2
    # 1368 bits at 1600 bit/s: 86 cycles at 100 Hz, 171 at 200; with the norm 110 and 219.
    assert table.total_cycles[:, *at].tolist() == [[96, 110], [171, 219]]
    die = 2.0 * 6912 + 0.5 * 9216 + 96 + 4.0 * 16
    assert table.node_energy_joules[at].tolist() == [[die, 8.0 * 1368], [die, 8.0 * 1752]]
    assert table.energy_joules[at].tolist() == [die + 8.0 * 1368, die + 8.0 * 1752]


def test_vector_unit_can_be_the_slowest() -> None:
    slow = dataclasses.replace(SMALL.layers[1], vector_operations=1000)
    table = priced(graph_of(SMALL.layers[0], slow, SMALL.layers[2]), vector_lanes=3, inputs_per_frame=2)
    assert table.total_cycles[0, 1, 0, 0, 0, 0] == 667


def test_results_of_the_network_leave_as_full_accumulators() -> None:
    assert np.unique(small_table().dram_write_bits[2]).tolist() == [16 * 32]


def test_row_agrees_with_the_arrays() -> None:
    table = small_table()
    flat = table.energy_joules.reshape(-1)
    rows = {
        table.row(*at): flat[table.row(*at)] == table.energy_joules[at] for at in np.ndindex(*table.energy_joules.shape)
    }
    assert sorted(rows) == list(range(table.rows))
    assert all(rows.values())


def test_arrays_have_the_documented_axes_and_are_read_only() -> None:
    table = small_table()
    axes = (3, 3, 3, 3, 2)
    assert table.compute_cycles.shape == axes[:3]
    assert table.total_cycles.shape == (2, *axes)
    assert table.node_energy_joules.shape == (*axes, 2)
    assert table.nodes == ("die", "elsewhere")
    counted = [table.dram_read_bits, table.dram_write_bits, table.energy_joules, *table.counts.values()]
    assert {array.shape for array in counted} == {axes}
    with pytest.raises(ValueError, match="read-only"):
        table.energy_joules[0] = 0.0


def test_counts_times_table_is_the_energy() -> None:
    table = small_table()
    joules = {entry.action: entry.joules for entry in ENERGY.entries}
    expected = sum(joules[action] * count for action, count in table.counts.items())
    np.testing.assert_allclose(table.energy_joules, expected, rtol=1e-12)
    np.testing.assert_allclose(table.node_energy_joules.sum(axis=-1), expected, rtol=1e-12)
    np.testing.assert_array_equal(table.counts["dram_bit"], table.dram_read_bits + table.dram_write_bits)


def test_compute_is_w_times_a_exactly() -> None:
    products = np.outer(WIDTHS, WIDTHS)
    cycles = small_table().compute_cycles
    np.testing.assert_array_equal(cycles * 4, cycles[:, :1, :1] * products)


graphs = st.builds(
    lambda channels, kernel, key, elements: graph_of(
        layer("stem", producers=("input",), output_channels=channels, key_consumer="head"),
        layer(
            "head",
            input_channels=channels,
            kernel_height=kernel,
            kernel_width=kernel,
            is_key_consumer=key,
            residual_input_elements=0 if key else 4 * channels,
            producers=("stem",),
            residual_read_elements=elements,
            vector_operations=9 * elements,
        ),
    ),
    st.integers(1, 40),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 30),
)
bandwidths = st.floats(1e2, 1e7)


@given(graphs, bandwidths, st.integers(1, 3))
@settings(max_examples=40)
def test_more_bits_never_cost_less(graph: LayerGraph, bandwidth: float, inputs: int) -> None:
    memory = Memory(dram_bandwidth_bits_per_second=bandwidth, port_bits_per_cycle=64)
    table = priced(graph, memory=memory, inputs_per_frame=inputs)
    for axis in range(1, 5):  # w, a, next, reload
        assert (np.diff(table.total_cycles, axis=axis + 1) >= 0).all()
        assert (np.diff(table.energy_joules, axis=axis) >= 0).all()


@given(graphs, bandwidths, st.floats(1.0, 100.0))
@settings(max_examples=40)
def test_more_bandwidth_is_never_slower(graph: LayerGraph, bandwidth: float, factor: float) -> None:
    slow, fast = (
        priced(graph, memory=Memory(dram_bandwidth_bits_per_second=b, port_bits_per_cycle=64)).total_cycles
        for b in (bandwidth, bandwidth * factor)
    )
    assert (fast <= slow).all()


@given(graphs, st.integers(2, 5))
@settings(max_examples=40)
def test_inputs_share_the_weights_and_nothing_else(graph: LayerGraph, inputs: int) -> None:
    one, many = priced(graph), priced(graph, inputs_per_frame=inputs)
    planes = np.array([3, 5, 8])  # of 2, 4 and 8 bits: a width below the stored one needs the next plane's carry
    weights = np.array([layer.weights for layer in graph.layers]).reshape(-1, 1) * planes
    norm = one.dram_read_bits[..., 1:] - one.dram_read_bits[..., :1]
    fetched_once = weights[:, :, None, None, None] + norm * np.arange(2)
    np.testing.assert_array_equal(many.dram_read_bits - fetched_once, inputs * (one.dram_read_bits - fetched_once))
    np.testing.assert_array_equal(many.dram_write_bits, inputs * one.dram_write_bits)
    np.testing.assert_array_equal(many.counts["binary_mac"], inputs * one.counts["binary_mac"])
    assert (many.compute_cycles <= inputs * one.compute_cycles).all()
    assert (many.energy_joules <= inputs * one.energy_joules).all()


def test_frame_sums_its_sites_at_their_consumers_widths() -> None:
    table = small_table()
    assignment: Mapping[str, BitWidths] = {
        "stem": BitWidths(8, 8),
        "middle": BitWidths(4, 2),
        "head": BitWidths(8, 8),
    }
    at = [(0, 2, 2, 0, 0), (1, 1, 0, 2, 0), (2, 2, 2, 2, 0)]
    assert table.frame_cycles(assignment, 1) == sum(int(table.total_cycles[1, *place]) for place in at)
    energy = sum(float(table.energy_joules[place]) for place in at)
    assert table.frame_energy_joules(assignment) == pytest.approx(energy, rel=1e-12)


def test_frame_says_which_site_or_width_is_wrong() -> None:
    table = small_table()
    with pytest.raises(ConfigurationError, match="site 'middle' has no widths"):
        table.frame_cycles({"stem": BitWidths(8, 8), "head": BitWidths(8, 8)}, 0)
    with pytest.raises(ConfigurationError, match="3 bits are not in the cost table: expected one of 2, 4, 8"):
        table.frame_energy_joules(dict.fromkeys(("stem", "middle", "head"), BitWidths(3, 8)))


def test_widths_must_cover_every_site() -> None:
    with pytest.raises(ConfigurationError, match=r"site 'stem' allows 8 bits, .* 2, 4: add them"):
        priced(widths=(2, 4))


def test_a_network_of_21_layers_takes_little_cpu_time() -> None:
    graph = graph_of(*(layer(f"layer{i}", allowed=PINNED) for i in range(21)))
    seconds = []
    for _ in range(3):
        start = time.process_time()
        priced(graph, widths=(2, 3, 4, 6, 8))
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.1
