"""DRAM traffic by hand and by law, and the cycles that it takes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths, WeightCodes
from bitmixer.graph import Layer
from hwsim.cost.memory import Memory, Traffic, layer_traffic, norm_reload_bits

# 2 channels of 4x4 in, 3 of 2x2 out: 54 weights, 32 input elements, 12 results.
JOINING = Layer(
    name="joining",
    kind="convolution",
    input_channels=2,
    output_channels=3,
    kernel_height=3,
    kernel_width=3,
    stride=(2, 2),
    padding=(1, 1),
    groups=1,
    input_height=4,
    input_width=4,
    output_height=2,
    output_width=2,
    allowed=(BitWidths(4, 4),),
    producers=("before",),
    consumers=("after",),
    key_consumer="after",
    is_key_consumer=True,
    stream_write_elements=12,
    residual_write_elements=5,
    residual_read_elements=7,
    vector_operations=24,
)
SHORTCUT = dataclasses.replace(JOINING, name="shortcut", is_key_consumer=False, residual_input_elements=32)
STEM = dataclasses.replace(SHORTCUT, name="stem", producers=("input",), residual_input_elements=0)
HALF = dataclasses.replace(JOINING, name="half", residual_input_elements=16)  # one of two channels is a stored copy


def traffic(
    layer: Layer, *, inputs: int = 1, w: int = 4, a: int = 3, stream: int = 5, codes: WeightCodes = "nested"
) -> Traffic:
    return layer_traffic(
        [layer],
        inputs_per_frame=inputs,
        trailing_axes=0,
        weight_bits=np.array([w]),
        activation_bits=np.array([a]),
        stream_bits=np.array([stream]),
        residual_bits=8,
        weight_codes=codes,
    )


@pytest.mark.parametrize(
    ("layer", "input_bits"), [(JOINING, 3), (SHORTCUT, 8), (STEM, 3), (HALF, 5.5)], ids=lambda value: str(value)[:20]
)
@pytest.mark.parametrize("inputs", [1, 4])
def test_traffic_by_hand(layer: Layer, input_bits: int, inputs: int) -> None:
    moved = traffic(layer, inputs=inputs)
    assert moved.read_bits.tolist() == [54 * 4 + inputs * (32 * input_bits + 7 * 8)]
    assert moved.write_bits.tolist() == [inputs * (12 * 5 + 5 * 8)]


@pytest.mark.parametrize(
    ("codes", "planes"),
    [
        ("nested", {1: 1, 2: 3, 3: 4, 4: 4}),
        ("truncated", {1: 1, 2: 2, 3: 3, 4: 4}),
        ("independent", {1: 1, 2: 2, 4: 4}),
    ],
)
def test_planes_fetched_are_those_that_the_codes_need(codes: WeightCodes, planes: dict[int, int]) -> None:
    everything_else = traffic(JOINING, w=4).bits[0] - 54 * 4
    for bits, count in planes.items():
        assert traffic(JOINING, w=bits, codes=codes).bits[0] == 54 * count + everything_else


def test_norm_is_a_scale_and_a_shift_per_output_channel() -> None:
    assert norm_reload_bits([JOINING, STEM], 32, trailing_axes=1).tolist() == [[192], [192]]


def test_axes_broadcast() -> None:
    widths = np.array([2, 4, 8])
    moved = layer_traffic(
        [JOINING, SHORTCUT],
        inputs_per_frame=2,
        trailing_axes=3,
        weight_bits=widths[:, None, None],
        activation_bits=widths[:, None],
        stream_bits=widths,
        residual_bits=8,
        weight_codes="nested",
    )
    every = np.broadcast_to(moved.bits, (2, 3, 3, 3))
    assert every[0, 2, 0, 1] == traffic(JOINING, inputs=2, w=8, a=2, stream=4).bits[0]
    assert every[1, 0, 1, 2] == traffic(SHORTCUT, inputs=2, w=2, a=4, stream=8).bits[0]


def memory_cycles(read: int, write: int, *, bandwidth: float, port: int = 64, frequency: int = 100) -> int:
    moved = Traffic(read_bits=np.array([read]), write_bits=np.array([write]))
    memory = Memory(dram_bandwidth_bits_per_second=bandwidth, port_bits_per_cycle=port)
    return int(memory.cycles(moved, frequency)[0])


def test_port_works_per_direction_and_dram_is_shared() -> None:
    plenty = 1e12
    assert memory_cycles(640, 0, bandwidth=plenty) == 10
    assert memory_cycles(641, 640, bandwidth=plenty) == 11
    # 6400 bit/s at 100 Hz is 64 bit per cycle, for both directions together.
    assert memory_cycles(640, 640, bandwidth=6400) == 20
    assert memory_cycles(640, 641, bandwidth=6400) == 21
    assert memory_cycles(0, 0, bandwidth=6400) == 0


def test_zynq_numbers_stay_exact() -> None:
    """At 200 MHz and 12.8 Gbit/s, 64 bits pass per cycle: whole multiples take no cycle more."""
    for words in (1, 3, 10**6 + 1, 10**8 + 7):
        assert memory_cycles(words * 64, 0, bandwidth=12.8e9, frequency=200_000_000) == words


bits = st.integers(0, 10**9)
bandwidths = st.floats(1e6, 1e12)


@given(bits, bits, bandwidths, bandwidths)
def test_more_bandwidth_is_never_slower(read: int, write: int, first: float, second: float) -> None:
    slow, fast = sorted((first, second))
    frequency = 200_000_000
    assert memory_cycles(read, write, bandwidth=fast, frequency=frequency) <= memory_cycles(
        read, write, bandwidth=slow, frequency=frequency
    )


@given(bits, bits, bandwidths)
def test_a_slower_clock_waits_fewer_cycles_but_no_less_time(read: int, write: int, bandwidth: float) -> None:
    slow, fast = (memory_cycles(read, write, bandwidth=bandwidth, frequency=f) for f in (100_000_000, 200_000_000))
    assert slow <= fast <= 2 * slow


@given(st.sampled_from([JOINING, SHORTCUT, STEM, HALF]), st.integers(1, 8), st.integers(1, 8), st.integers(1, 8))
def test_more_bits_never_move_less(layer: Layer, w: int, a: int, stream: int) -> None:
    base = traffic(layer, w=w, a=a, stream=stream).bits[0]
    own = layer.input_elements - layer.residual_input_elements
    # Below the stored 4 bits a width also fetches the next plane for its carry, so 4 bits move what 3 do; one bit is
    # the sign plane alone.
    planes = {1: 2, 3: 0}.get(w, 1)
    assert traffic(layer, w=w + 1, a=a, stream=stream).bits[0] == base + planes * layer.weights
    assert traffic(layer, w=w, a=a + 1, stream=stream).bits[0] == base + own
    assert traffic(layer, w=w, a=a, stream=stream + 1).bits[0] == base + layer.stream_write_elements
