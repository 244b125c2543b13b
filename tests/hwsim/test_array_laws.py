"""The laws of array models, against loop nests that walk every product; and what arrays refuse."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer
from hwsim.cost import arrays
from hwsim.cost.arrays import BrainTta, LayerShapes, Loom, Stripes, Systolic, Unpu
from hwsim.cost.arrays.base import utilisation
from hwsim.errors import ConfigurationError

small = st.integers(1, 4)
bits = st.integers(1, 16)
sizes = {"lanes": st.integers(1, 9), "columns": small, "rows": small, "tiles": st.integers(1, 3)}


def layer(**changes: Any) -> Layer:
    """Return a 1x1 convolution of one channel on one position, unless told otherwise."""
    fields: dict[str, Any] = {
        "name": "layer", "kind": "convolution", "input_channels": 1, "output_channels": 1, "kernel_height": 1,
        "kernel_width": 1, "stride": (1, 1), "padding": (0, 0), "groups": 1, "input_height": 1, "input_width": 1,
        "output_height": 1, "output_width": 1, "allowed": (BitWidths(8, 8),), "producers": (), "consumers": (),
        "key_consumer": None, "is_key_consumer": True, "stream_write_elements": 0, "residual_write_elements": 0,
        "residual_read_elements": 0, "vector_operations": 0,
    }  # fmt: skip
    return Layer(**{**fields, **changes})


@st.composite
def convolutions(draw: st.DrawFn) -> Layer:
    groups = draw(st.integers(1, 3))
    return layer(
        input_channels=groups * draw(st.integers(1, 7)),
        output_channels=groups * draw(st.integers(1, 7)),
        kernel_height=draw(st.integers(1, 3)),
        kernel_width=draw(st.integers(1, 3)),
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        groups=groups,
        input_height=9,
        input_width=8,
        output_height=draw(small),
        output_width=draw(small),
    )


def ask(model: arrays.ArrayModel, one: Layer, w: int, a: int, inputs: int = 1) -> int:
    shapes = LayerShapes.of([one], inputs_per_frame=inputs, trailing_axes=0)
    (cycles,) = model.compute_cycles(shapes, np.array([w]), np.array([a])).tolist()
    return int(cycles)


def steps_by_walking(one: Layer, grid: Any, lanes: int, inputs: int) -> int:
    """Walk all products of a layer and count the steps of the grid that they fall into."""
    height, width, channels = range(one.kernel_height), range(one.kernel_width), one.input_channels // one.groups
    down, across = one.stride
    folds = one.groups == 1 and channels == 3 and down * across > 1
    if folds:  # the folded kernel is whole blocks of stride x stride, zeros included
        height = range(-(-one.kernel_height // down) * down)
        width = range(-(-one.kernel_width // across) * across)
    depthwise = one.groups > 1 and channels == 1
    touched = set()
    for image, group, out, position, dy, dx, channel in itertools.product(
        range(inputs), range(one.groups), range(one.output_channels // one.groups), range(one.output_positions),
        height, width, range(channels),
    ):  # fmt: skip
        place = (image, position // grid.columns)
        if folds:
            block, lane = (dy // down, dx // across), (dy % down * across + dx % across) * 3 + channel
            touched.add((*place, group, out // (grid.rows * grid.tiles), block, lane // lanes))
        elif depthwise:
            output = group * (one.output_channels // one.groups) + out
            touched.add((*place, output // min(lanes, grid.rows), 0, (dy, dx), 0))
        else:
            touched.add((*place, group, out // (grid.rows * grid.tiles), (dy, dx), channel // lanes))
    return len(touched)


@given(convolutions(), st.fixed_dictionaries(sizes), st.integers(1, 2), bits, bits)
def test_serial_grids_equal_the_loop_nest(one: Layer, parameters: dict[str, int], inputs: int, w: int, a: int) -> None:
    stripes = Stripes(**parameters)
    steps = steps_by_walking(one, stripes, stripes.lanes, inputs)
    assert ask(stripes, one, w, a, inputs) == steps * a
    assert ask(Loom(**parameters), one, w, a, inputs) == steps * a * w
    table_inputs = 4 if w == 1 else 3
    assert ask(Unpu(**parameters), one, w, a, inputs) == w * steps_by_walking(
        one, stripes, stripes.lanes * table_inputs, inputs
    )


@given(convolutions(), small, st.integers(8, 40), st.integers(1, 2), st.integers(1, 8), st.integers(1, 8))
def test_braintta_equals_the_loop_nest(one: Layer, rows: int, word_bits: int, inputs: int, w: int, a: int) -> None:
    operand_bits = next(mode for mode in (1, 2, 8) if mode >= max(w, a))
    words = {
        (image, group, out // rows, position, dy, dx, channel // (word_bits // operand_bits))
        for image, group, out, position, dy, dx, channel in itertools.product(
            range(inputs), range(one.groups), range(one.output_channels // one.groups), range(one.output_positions),
            range(one.kernel_height), range(one.kernel_width), range(one.input_channels // one.groups),
        )
    }  # fmt: skip
    assert ask(BrainTta(rows=rows, word_bits=word_bits), one, w, a, inputs) == len(words)


def test_a_first_layer_of_three_channels_is_folded() -> None:
    """7x7x3 at stride 2 becomes 4x4x12: one step of 16 lanes per kernel position."""
    stem = layer(input_channels=3, output_channels=64, kernel_height=7, kernel_width=7, stride=(2, 2),
                 input_height=224, input_width=224, output_height=112, output_width=112)  # fmt: skip
    assert ask(Stripes(), stem, 8, 8) == 784 * 16 * 8
    assert ask(Stripes(), layer(input_channels=3, kernel_height=7, kernel_width=7, output_height=2), 8, 8) == 49 * 8


@given(st.integers(1, 60), st.integers(1, 60), st.fixed_dictionaries(sizes), st.integers(1, 2), bits, bits)
def test_fully_connected_steps_start_one_by_one(
    inputs: int, outputs: int, parameters: dict[str, int], frames: int, w: int, a: int
) -> None:
    one = layer(kind="linear", input_channels=inputs, output_channels=outputs)
    for model, step in ((Stripes(**parameters), a), (Loom(**parameters), a * w)):
        steps = steps_by_walking(one, model, model.lanes, 1)
        free, start, ends = [0] * model.columns, -1, []
        for index in range(steps):
            column = index % model.columns
            start = max(start + 1, free[column])
            free[column] = start + step
            ends.append(free[column])
        assert ask(model, one, w, a, frames) == frames * max(ends)


@given(convolutions(), st.sampled_from(["ws", "os"]), small, st.integers(1, 5), st.integers(1, 2), st.integers(1, 2))
def test_systolic_array_equals_its_wavefront(
    one: Layer, dataflow: Any, rows: int, columns: int, inputs: int, copies: int
) -> None:
    """Operands enter skewed by one cycle per row and column; a fold starts when the one before it has left."""
    positions, terms = range(inputs * one.output_positions), range(one.reduction)
    held, streamed = (terms, positions) if dataflow == "ws" else (positions, terms)
    outputs = one.output_channels // one.groups
    folds = {(row // rows, out // columns) for row in held for out in range(outputs)}
    fill = rows if dataflow == "ws" else 0
    last = max(fill + item + row + column for item in streamed for row in range(rows) for column in range(columns))
    expected = one.groups * (len(folds) * (last + 1) - 1)
    model = Systolic(dataflow=dataflow, rows=rows, columns=columns)
    assert ask(model, one, copies, 8, inputs) == expected  # bits play no part


@pytest.mark.parametrize("name", ["stripes", "loom", "unpu", "systolic"])
def test_answers_have_the_axes_of_both_widths(name: str) -> None:
    widths = np.array([1, 2, 8])
    shapes = LayerShapes.of([layer(input_channels=5), layer(output_channels=3)], inputs_per_frame=1, trailing_axes=2)
    question = shapes, widths[:, None], widths
    model = arrays.build(name)
    assert model.compute_cycles(*question).shape == (2, 3, 3)
    for count in model.action_counts(*question).values():
        assert count.shape == (2, 3, 3)


@pytest.mark.parametrize("model", [Stripes(), Loom(), Unpu(), Systolic()], ids=lambda model: model.name)
@given(one=convolutions(), w=bits, a=bits)
def test_actions_fit_into_the_cycles(model: Any, one: Layer, w: int, a: int) -> None:
    shapes = LayerShapes.of([one], inputs_per_frame=1, trailing_axes=0)
    counts = {name: int(count[0]) for name, count in model.action_counts(shapes, np.array([w]), np.array([a])).items()}
    assert counts["array_cycle"] == ask(model, one, w, a)
    whole = 16 if model.name == "unpu" else a  # UNPU's tables hold whole words, whatever bits activations have
    assert counts["binary_mac"] == w * whole * one.macs
    # The bits that are read hold every weight at least once, and every product needs lanes that are there.
    assert counts["buffer_bit"] >= w * one.weights
    grid = getattr(model, "lanes", 1) * model.columns * model.rows * getattr(model, "tiles", 1)
    planes_per_cycle = {"loom": 1, "stripes": w, "unpu": 4 * whole, "systolic": w * a}[model.name]
    assert counts["binary_mac"] <= counts["array_cycle"] * grid * planes_per_cycle


FULL = [
    (arrays.Bismo(rows=4, depth=16, columns=2), 16, 4, (2, 1)),
    (BrainTta(), 96, 32, (1, 1)),
    (Loom(), 48, 128, (4, 4)),
    (Stripes(), 48, 256, (4, 4)),
    (Unpu(), 144, 64, (3, 2)),
    (arrays.build("loom_values", lanes=16, columns=16, rows=16, tiles=8), 48, 128, (4, 4)),
    (arrays.build("pragmatic", lanes=16, columns=16, rows=16, tiles=16), 48, 256, (4, 4)),
    (arrays.build("bitwave", group=8, rows=4, columns=2), 24, 8, (2, 1)),
    (arrays.build("bitvert", group=8, multipliers=4, rows=4, columns=2), 24, 8, (2, 1)),
]


def part_used(model: arrays.ArrayModel, one: Layer, w: int, a: int) -> float:
    shapes = LayerShapes.of([one], inputs_per_frame=1, trailing_axes=0)
    both = np.array([w]), np.array([a])
    return float(utilisation(model, shapes.macs, model.compute_cycles(shapes, *both), *both)[0])


@pytest.mark.parametrize("model", [Systolic(), arrays.BitFusion(), *(each[0] for each in FULL)], ids=lambda m: m.name)
@given(one=convolutions(), w=st.integers(1, 8), a=st.integers(1, 8))
def test_no_array_is_used_beyond_its_peak(model: arrays.ArrayModel, one: Layer, w: int, a: int) -> None:
    assert 0 < part_used(model, one, w, a) <= 1


@pytest.mark.parametrize(("model", "channels", "outputs", "positions"), FULL, ids=lambda m: getattr(m, "name", ""))
@pytest.mark.parametrize(("w", "a"), [(1, 1), (1, 8), (2, 3), (8, 8)])
def test_a_layer_that_fills_an_array_uses_all_of_it(
    model: arrays.ArrayModel, channels: int, outputs: int, positions: tuple[int, int], w: int, a: int
) -> None:
    down, across = positions
    full = layer(input_channels=channels, output_channels=outputs, output_height=down, output_width=across,
                 input_height=down, input_width=across)  # fmt: skip
    assert part_used(model, full, w, a) == pytest.approx(1)


def test_unpu_meets_its_published_peaks() -> None:
    """Lee et al., JSSC 2019: 345.6 GOPS with 16-bit weights and 7372 with one-bit weights, at 200 MHz."""
    unpu = Unpu()

    def peak(weight_bits: int) -> float:
        return 2 * float(unpu.peak_macs_per_cycle(np.array(weight_bits), np.array(16)))

    assert peak(16) * 0.2 == pytest.approx(345.6, rel=1e-3)
    assert peak(1) * 0.2 == pytest.approx(7372, rel=1e-3)
    full = layer(input_channels=144, output_channels=64, output_height=6, output_width=1)
    for w in (1, 2, 16):
        assert 2 * full.macs / ask(unpu, full, w, 16) == peak(w)


@pytest.mark.parametrize(
    ("name", "w", "a", "message"),
    [
        ("stripes", 17, 8, "array stripes: layer 'stem': 17-bit weights: it does at most 16 bits"),
        ("stripes", 8, 17, "array stripes: layer 'stem': 17-bit activations"),
        ("loom", 17, 8, "array loom: layer 'stem': 17-bit weights"),
        ("loom", 8, 32, "array loom: layer 'stem': 32-bit activations"),
        ("unpu", 17, 8, "array unpu: layer 'stem': 17-bit weights"),
        ("unpu", 8, 17, "array unpu: layer 'stem': 17-bit activations"),
    ],
)
def test_bits_beyond_an_array_are_refused(name: str, w: int, a: int, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ask(arrays.build(name), layer(name="stem"), w, a)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("systolic", {"dataflow": "rs"}, "array systolic: dataflow = 'rs': .*Known: os, ws"),
        ("systolic", {"dataflow": 3}, "array systolic: dataflow = 3"),
        ("systolic", {"rows": 0}, "array systolic: rows = 0: expected a whole number from 1"),
        ("stripes", {"lanes": 10**10}, "array stripes: lanes = 10000000000: expected a whole number from 1"),
        ("loom", {"tile": 1}, "array loom has no parameter 'tile': did you mean 'tiles'"),
    ],
)
def test_impossible_parameters_are_named(name: str, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        arrays.build(name, **parameters)
