"""BitFusion: its search against one that tries everything, its cycles against a walk, and what it refuses."""

from __future__ import annotations

import csv
import io
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import NETWORK_INPUT, Layer
from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.cost import arrays
from hwsim.cost.arrays import BitFusion, LayerShapes
from hwsim.errors import ConfigurationError

HEADER = (
    "layer,input_channels,output_channels,kernel_height,kernel_width,stride,padding,input_height,input_width,"
    "output_height,output_width,macs,activation_bits,weight_bits"
)
bits = st.integers(1, 8)


@st.composite
def layers(draw: st.DrawFn, largest: int = 9) -> Layer:
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    size = st.integers(1, largest)
    return Layer(
        name="layer", kind="convolution", input_channels=groups * draw(size), output_channels=groups * draw(size),
        kernel_height=draw(st.integers(1, 3)), kernel_width=draw(st.integers(1, 3)),
        stride=(draw(st.integers(1, 2)), draw(st.integers(1, 2))), padding=(0, 0), groups=groups,
        input_height=20, input_width=20, output_height=draw(size), output_width=draw(size),
        allowed=(BitWidths(8, 8),), producers=draw(st.sampled_from([(), (NETWORK_INPUT,)])), consumers=(),
        key_consumer=None, is_key_consumer=True, stream_write_elements=0, residual_write_elements=0,
        residual_read_elements=0, vector_operations=0,
    )  # fmt: skip


# Buffers of every size around the layers': most loops refetch something.
designs = st.builds(
    BitFusion, rows=st.integers(1, 3), columns=st.integers(1, 4), interface_bits_per_cycle=st.integers(1, 64),
    weight_buffer_bytes=st.integers(500, 3000), activation_buffer_bytes=st.integers(60, 600),
    output_buffer_bytes=st.integers(60, 600),
)  # fmt: skip


def powers(size: int) -> list[int]:
    found = [1]
    while found[-1] < size:
        found.append(2 * found[-1])
    return [min(power, size) for power in found]


def up(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def every_way(layer: Layer, inputs: int, w: int, a: int, design: BitFusion) -> Iterator[tuple[Any, ...]]:
    """Yield (total, energy, compute, read, written, buffer traffic) of each tile and order, one number at a time."""
    flat = layer.producers == (NETWORK_INPUT,)
    (kh, kw), (sh, sw) = (layer.kernel_height, layer.kernel_width), layer.stride
    channels, filters = layer.input_channels // layer.groups, layer.output_channels // layer.groups
    lanes = design.rows * (8 // max(a, 2)) * (8 // max(w, 2))
    unit = 1 if flat else design.columns
    sides = [min(2**i, 1024) for i in range(len(powers(max(layer.output_height, layer.output_width))))]
    multiples = [2**i for i in range(len(powers(-(-filters // unit))))]
    for b, side, c, multiple in itertools.product(powers(inputs), sides, powers(channels), multiples):
        rows, columns, f = min(side, layer.output_height), min(side, layer.output_width), min(unit * multiple, filters)
        points, k = b * rows * columns, kh * kw
        input_points = points * k if flat else b * (kh + (rows - 1) * sh) * (kw + (columns - 1) * sw)
        tile = {
            "weight": up(k * c, lanes) * f * w,
            "activation": input_points * c * a,
            "output": points * up(f, design.columns) * 32,
        }
        half = {name: getattr(design, f"{name}_buffer_bytes") * 4 for name in tile}
        if any(tile[name] > half[name] for name in tile):
            continue
        loops = [
            ("ao", -(-inputs // b)), ("ao", -(-layer.output_height // rows)), ("ao", -(-layer.output_width // columns)),
            ("aw", -(-channels // c)), ("wo", -(-filters // f)),
        ]  # fmt: skip
        number = int(np.prod([count for _, count in loops]))
        passes = -(-k * c // lanes) if flat else k * -(-c // lanes)
        compute = number * points * -(-f // design.columns) * passes
        pf, pk = up(f, design.columns), up(k * c, lanes) if flat else k * up(c, lanes)
        costs = [
            pk * points * (a + pf * (w + 32)),
            pf * points * (32 + pk * (a + w)),
            pk * pf * (w + points * (a + 32)),
        ]
        stays = costs.index(min(costs))
        read = {
            "weight": number * k * c * f * w * (1 if stays == 2 else points),
            "activation": number * k * c * points * a * (1 if stays == 0 else f),
            "output": number * f * points * 32 * (1 if stays == 1 else k * c),
        }
        for order in itertools.permutations(loops):
            moved, resident = {}, {}
            for name, total in tile.items():
                resident[name], overflown = total, False
                for depends, count in reversed(order):
                    if name[0] in depends or overflown:
                        total *= count  # noqa: PLW2901
                    overflown |= total > half[name]
                    if not overflown:
                        resident[name] = total
                moved[name] = total
            port = design.interface_bits_per_cycle
            dram = moved["weight"] + moved["activation"] + 2 * moved["output"]
            first, last = sum(resident.values()), resident["output"]
            stall = max(0, -(-(dram - first - last) // port) - compute) + -(-first // port) + -(-last // port)
            outputs = read["output"] + moved["output"]
            picojoules = (
                235.104 * design.rows * design.columns / 512 * compute + 15 * dram
                + 0.02136565625 * read["weight"] + 0.02891615625 * moved["weight"]
                + 0.059474375 * read["activation"] + 0.1137040625 * moved["activation"]
                + (0.0331553125 + 0.0730840625) * outputs
            )  # fmt: skip
            yield compute + stall, picojoules, compute, dram - moved["output"], moved["output"], read, moved


def scheduled(design: BitFusion, layer: Layer, inputs: int, w: int, a: int) -> Any:
    shapes = LayerShapes.of([layer], inputs_per_frame=inputs, trailing_axes=0)
    return design.schedule(shapes, np.array([w]), np.array([a]))


@settings(deadline=None, max_examples=40)
@given(layers(), designs, st.integers(1, 3), bits, bits)
def test_search_finds_the_best_of_all(layer: Layer, design: BitFusion, inputs: int, w: int, a: int) -> None:
    ways = list(every_way(layer, inputs, w, a, design))
    if not ways:
        with pytest.raises(ConfigurationError, match=r"layer 'layer': its smallest tile .* give at least \d+"):
            scheduled(design, layer, inputs, w, a)
        return
    total = min(way[0] for way in ways)
    energy = min(way[1] for way in ways if way[0] == total)
    found = scheduled(design, layer, inputs, w, a)
    assert found.total_cycles.tolist() == [layer.groups * total]
    assert found.energy_joules[0] * 1e12 == pytest.approx(layer.groups * energy, rel=1e-12)
    ties = [way[2:] for way in ways if way[0] == total and way[1] == pytest.approx(energy, rel=1e-12)]
    numbers = {name: int(values[0]) // layer.groups for name, values in found.columns().items() if "bits" in name}
    answer = (
        int(found.compute_cycles[0]) // layer.groups, numbers["dram_read_bits"], numbers["dram_write_bits"],
        {"weight": numbers["weight_buffer_read_bits"], "activation": numbers["activation_buffer_read_bits"],
         "output": numbers["output_buffer_read_bits"] - numbers["dram_write_bits"]},
        {"weight": numbers["weight_buffer_write_bits"], "activation": numbers["activation_buffer_write_bits"],
         "output": numbers["output_buffer_write_bits"] - numbers["output_buffer_read_bits"]
         + numbers["dram_write_bits"]},
    )  # fmt: skip
    assert answer in ties


@settings(deadline=None)
@given(layers(largest=5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 2), bits, bits)
def test_cycles_equal_the_loop_nest(layer: Layer, rows: int, columns: int, inputs: int, w: int, a: int) -> None:
    """With buffers that hold everything a pass is one position of rows x columns, and tiles cannot help."""
    design = BitFusion(
        rows=rows, columns=columns, interface_bits_per_cycle=10**9,
        weight_buffer_bytes=10**9, activation_buffer_bytes=10**9, output_buffer_bytes=10**9,
    )  # fmt: skip
    lanes = rows * (8 // max(a, 2)) * (8 // max(w, 2))
    channels, filters = layer.input_channels // layer.groups, layer.output_channels // layer.groups
    touched = set()
    for image, group, out, y, x, tap, channel in itertools.product(
        range(inputs), range(layer.groups), range(filters), range(layer.output_height), range(layer.output_width),
        range(layer.kernel_height * layer.kernel_width), range(channels),
    ):  # fmt: skip
        flat = layer.producers == (NETWORK_INPUT,)
        block = (tap * channels + channel) // lanes if flat else (tap, channel // lanes)
        touched.add((image, group, out // columns, y, x, block))
    assert scheduled(design, layer, inputs, w, a).compute_cycles.tolist() == [len(touched)]


@given(st.lists(layers(), min_size=1, max_size=4), st.lists(bits, min_size=1, max_size=3, unique=True))
@settings(deadline=None, max_examples=20)
def test_layers_and_bits_do_not_influence_each_other(several: list[Layer], widths: list[int]) -> None:
    design, wide = BitFusion(rows=2, columns=3), np.array(widths)
    shapes = LayerShapes.of(several, inputs_per_frame=1, trailing_axes=2)
    together = design.schedule(shapes, wide[:, None], wide)
    assert together.total_cycles.shape == (len(several), len(widths), len(widths))
    for (site, layer), (i, w), (j, a) in itertools.product(enumerate(several), enumerate(widths), enumerate(widths)):
        alone = scheduled(design, layer, 1, w, a).columns()
        for name, values in together.columns().items():
            assert np.reshape(values, together.total_cycles.shape)[site, i, j] == alone[name][0], name
    counts = design.action_counts(shapes, wide[:, None], wide)
    assert np.array_equal(counts["array_cycle"], together.compute_cycles)
    assert np.array_equal(counts["array_cycle"], design.compute_cycles(shapes, wide[:, None], wide))


def test_one_bit_runs_as_two_but_moves_as_one() -> None:
    layer = Layer(
        name="layer", kind="convolution", input_channels=64, output_channels=32, kernel_height=1, kernel_width=1,
        stride=(1, 1), padding=(0, 0), groups=1, input_height=4, input_width=4, output_height=4, output_width=4,
        allowed=(BitWidths(8, 8),), producers=(), consumers=(), key_consumer=None, is_key_consumer=True,
        stream_write_elements=0, residual_write_elements=0, residual_read_elements=0, vector_operations=0,
    )  # fmt: skip
    one, two = (scheduled(BitFusion(rows=4), layer, 1, w, w).columns() for w in (1, 2))
    assert one["compute_cycles"] == two["compute_cycles"]
    assert one["dram_write_bits"] == two["dram_write_bits"]
    assert 2 * one["weight_buffer_write_bits"][0] == two["weight_buffer_write_bits"][0]


def write(folder: Path, *lines: str) -> Path:
    path = folder / "layers.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_networks_are_priced_with_its_own_memory(hwsim: Callable[..., Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(
        hwsim("cost", "--array", "bitfusion", "--network", "resnet18", "--bits", 4).out
    )))  # fmt: skip
    by_name = {row["layer"]: row for row in rows}
    stem, tiled = rows[0], by_name["stages.2.0.conv2"]
    assert (stem["weight_bits"], stem["compute_cycles"]) == ("8", "250880")
    assert (tiled["weight_bits"], tiled["compute_cycles"]) == ("4", "73728")  # 14 x 14 in tiles of 8
    more = hwsim("cost", "--array", "bitfusion", "--network", "resnet18", "--bits", 4, "--inputs", 2).out
    assert int(next(csv.DictReader(io.StringIO(more)))["compute_cycles"]) == 2 * 250880


def test_bad_questions_end_in_one_line(hwsim: Callable[..., Any], tmp_path: Path) -> None:
    table = write(tmp_path, HEADER, "conv,4,6,3,3,1,1,2,2,2,2,864,2,4")
    ask = ("cost", "--array", "bitfusion", "--layers", table)
    hwsim(*ask, "--set", "output_buffer_bytes=100").refused(
        "layer 'conv': its smallest tile does not fit into half of output_buffer_bytes=100", "give at least 256"
    )
    assert hwsim(*ask, "--set", "output_buffer_bytes=256").code == 0
    hwsim(*ask, "--profile", "bismo_pynq_z1").refused("array bitfusion has its own memory and energies")
    hwsim(*ask, "--set", "rows=0").refused("array bitfusion: rows = 0")
    hwsim(*ask, "--set", "weight_buffer=1").refused("did you mean 'weight_buffer_bytes'")
    wide = write(tmp_path, HEADER, "conv,4,6,3,3,1,1,2,2,2,2,864,16,4")
    hwsim("cost", "--array", "bitfusion", "--layers", wide).refused(
        "layer 'conv': 16-bit activations: it does at most 8"
    )
    wide = write(tmp_path, HEADER, "conv,4,6,3,3,1,1,2,2,2,2,864,4,9")
    hwsim("cost", "--array", "bitfusion", "--layers", wide).refused("layer 'conv': 9-bit weights: it does at most 8")
    flat = write(tmp_path, f"{HEADER},flattened_kernel", "fc,64,10,1,1,1,0,1,1,1,1,640,8,8,1")
    hwsim("cost", "--array", "bitfusion", "--layers", flat).refused("layers.csv:2:34: flattened_kernel: 1, but")
    answer = hwsim("cost", "--array", "systolic", "--set", "dataflow=ss", "--layers", table)
    answer.refused("array systolic: dataflow = 'ss': Known: os, ws")


def test_all_pairs_of_widths_are_searched_in_half_a_second() -> None:
    widths = np.array([2, 3, 4, 6, 8])
    shapes = LayerShapes.of(find_checkpoint("resnet18").graph.layers, inputs_per_frame=1, trailing_axes=2)
    start = time.process_time()
    BitFusion().schedule(shapes, widths[:, None], widths)
    assert time.process_time() - start < 0.5


def test_the_array_needs_no_parameters() -> None:
    assert arrays.build("bitfusion") == BitFusion()
    assert BitFusion().rows * BitFusion().columns == 512
