"""Value-dependent arrays against counters that walk layers value by value, on random geometry and values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer
from bitmixer.operands import SiteOperands
from hwsim.cost.arrays import LayerShapes, Stripes
from hwsim.cost.arrays import Loom as StaticLoom
from hwsim.cost.arrays.valued import BitVert, BitWave, Loom, Pragmatic, ValueArray, bound_cycles
from hwsim.errors import ConfigurationError

small = st.integers(1, 4)
slow = settings(max_examples=150, deadline=None)


def layer_of(**sizes: Any) -> Layer:
    pairs = {name: sizes[name] for name in ("stride", "padding", "dilation")}
    for axis, name in enumerate(("height", "width")):
        reach = sizes[f"input_{name}"] + 2 * pairs["padding"][axis]
        reach -= pairs["dilation"][axis] * (sizes[f"kernel_{name}"] - 1) + 1
        sizes[f"output_{name}"] = reach // pairs["stride"][axis] + 1
    return Layer(
        **{"name": "layer", "kind": "convolution", "allowed": (BitWidths(8, 8),), "producers": ("input",)}
        | {"consumers": (), "key_consumer": None, "is_key_consumer": True, "stream_write_elements": 0}
        | {"residual_write_elements": 0, "residual_read_elements": 0, "vector_operations": 0}
        | sizes
    )


@st.composite
def layers(draw: st.DrawFn, padded: bool = True) -> Layer:
    """Draw convolutions of every grouping, first layers that are folded, and fully connected layers."""
    form = draw(st.sampled_from(("grouped", "depthwise", "first", "connected")))
    one = form == "connected"
    groups = {"grouped": draw(st.integers(1, 3)), "depthwise": draw(st.integers(2, 5))}.get(form, 1)
    channels = {"depthwise": groups, "first": 3}.get(form) or groups * draw(small)
    kernel = [1, 1] if one else [draw(st.integers(1, 3)) for _ in "hw"]
    dilation = (1, 1) if form in ("first", "connected") else (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    return layer_of(
        input_channels=channels * (3 if one else 1),
        output_channels=groups * draw(small) * (4 if one else 1),
        kernel_height=kernel[0],
        kernel_width=kernel[1],
        stride=(1, 1) if one else (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=(draw(st.integers(0, 2)), draw(st.integers(0, 2))) if padded and not one else (0, 0),
        dilation=dilation,
        groups=groups,
        input_height=1 if one else reach[0] + draw(st.integers(0, 4)),
        input_width=1 if one else reach[1] + draw(st.integers(0, 4)),
    )


@st.composite
def cases(draw: st.DrawFn, padded: bool = True) -> tuple[Layer, SiteOperands]:
    """Draw a layer with the weights and activations of two inputs, at the edges of their widths too."""
    layer = draw(layers(padded))
    widths = BitWidths(draw(st.integers(1, 8)), draw(st.integers(1, 8)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    signed = draw(st.booleans())
    half = 2 ** (widths.activation - 1)
    if widths.activation == 1 and signed:
        activations = generator.choice([-1, 1], activation_shape(layer))
    else:
        low, high = (-half, half) if signed else (0, 2 * half)
        shift = generator.integers(0, widths.activation, (2, layer.input_channels, 1, 1))
        activations = generator.integers(low, high, activation_shape(layer)) >> shift
    half = 2 ** (widths.weight - 1)
    if widths.weight == 1:
        weights = generator.choice([-1, 1], weight_shape(layer))
    else:
        shift = generator.integers(0, widths.weight, weight_shape(layer)[:1])[:, None, None, None]
        weights = generator.integers(-half, half, weight_shape(layer)) >> shift
    return layer, operands(widths, weights, activations)


def activation_shape(layer: Layer) -> tuple[int, ...]:
    return 2, layer.input_channels, layer.input_height, layer.input_width


def weight_shape(layer: Layer) -> tuple[int, ...]:
    return layer.output_channels, layer.input_channels // layer.groups, layer.kernel_height, layer.kernel_width


def operands(widths: BitWidths, weights: Any, activations: Any) -> SiteOperands:
    weights, activations = (np.asarray(codes, dtype=np.int32) for codes in (weights, activations))
    return SiteOperands(site="layer", widths=widths, weights=weights, activations=activations)


# Loom and Pragmatic, walked window by window.

grids = {"lanes": st.integers(1, 6), "columns": st.integers(1, 5), "rows": small, "tiles": st.integers(1, 3)}
StepCost = Callable[[list[list[int]], BitWidths], int]


def channel_sets(layer: Layer, lanes: int, rows: int) -> Iterator[list[int]]:
    """Yield which input channels the lanes take in each step of a set of output channels."""
    size = layer.input_channels // layer.groups
    if layer.groups > 1 and size == 1:  # depthwise: a lane for each output channel
        multiplier = layer.output_channels // layer.groups
        sources = [output // multiplier for output in range(layer.output_channels)]
        yield from chunks(sources, min(lanes, rows))
        return
    for group in range(layer.groups):
        yield from chunks(list(range(group * size, (group + 1) * size)), lanes)


def chunks(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def walked(array: Loom | Pragmatic, layer: Layer, found: SiteOperands, which: int, cost: StepCost) -> int:
    """Count the cycles of one input, step by step."""

    def value(channel: int, row: int, column: int) -> int:
        row, column = row - layer.padding[0], column - layer.padding[1]
        inside = 0 <= row < layer.input_height and 0 <= column < layer.input_width
        return int(found.activations[which, channel, row, column]) if inside else 0

    down, right = layer.stride
    depthwise = layer.groups > 1 and layer.input_channels == layer.groups
    outputs = layer.output_channels // layer.groups
    sets = 1 if depthwise else math.ceil(outputs / (array.rows * array.tiles))
    windows = [(row, column) for column in range(layer.output_width) for row in range(layer.output_height)]
    steps: list[int] = []
    folded = layer.input_channels == 3 and layer.groups == 1 and layer.dilation == (1, 1) and layer.stride != (1, 1)
    if folded:
        places = [(x, y, c) for x in range(right) for y in range(down) for c in range(3)]
        positions = itertools.product(
            range(math.ceil(layer.kernel_height / down)), range(math.ceil(layer.kernel_width / right))
        )
        for (u, v), lanes, pallet in itertools.product(
            positions, chunks(places, array.lanes), chunks(windows, array.columns)
        ):
            met = [[value(c, (i + u) * down + y, (j + v) * right + x) for x, y, c in lanes] for i, j in pallet]
            steps.append(cost(met, found.widths))
    else:
        positions = itertools.product(range(layer.kernel_height), range(layer.kernel_width))
        for (u, v), lanes, pallet in itertools.product(
            positions, list(channel_sets(layer, array.lanes, array.rows)), chunks(windows, array.columns)
        ):
            rows, columns = u * layer.dilation[0], v * layer.dilation[1]
            met = [[value(c, i * down + rows, j * right + columns) for c in lanes] for i, j in pallet]
            steps.append(cost(met, found.widths))
    connected = layer.kernel_height * layer.kernel_width * layer.input_height * layer.input_width * len(windows) == 1
    if connected and layer.groups == 1:
        return staggered(steps * sets, array.columns)
    return sum(steps) * sets


def staggered(steps: list[int], columns: int) -> int:
    """Walk through time: a cycle starts at most one step, in the next column, when that is free."""
    busy_until = [0] * columns
    now, started = 0, 0
    while started < len(steps):
        if busy_until[started % columns] <= now:
            busy_until[started % columns] = now + steps[started]
            started += 1
        now += 1
    return max(busy_until)


def loom_cost(windows: list[list[int]], widths: BitWidths) -> int:
    needed = [len(f"{abs(v):b}") + (v < 0) for window in windows for v in window]
    return min(max(needed), widths.activation) * widths.weight


def pragmatic_cost(reach: int) -> StepCost:
    def rounds(window: list[int]) -> int:
        ones = [[bit for bit in range(9) if abs(v) >> bit & 1] for v in window]
        count = 0
        while any(ones):
            lowest = min(bits[0] for bits in ones if bits)
            ones = [bits[1:] if bits and bits[0] < lowest + reach else bits for bits in ones]
            count += 1
        return max(count, 1)

    return lambda windows, widths: max(map(rounds, windows))


@slow
@given(cases(), st.builds(Loom, **grids))
def test_loom_equals_its_walk(case: tuple[Layer, SiteOperands], array: Loom) -> None:
    assert array.cycles(*case).tolist() == [walked(array, *case, which, loom_cost) for which in range(2)]


@slow
@given(cases(), st.builds(Pragmatic, **grids, reach=st.integers(1, 5)))
def test_pragmatic_equals_its_walk(case: tuple[Layer, SiteOperands], array: Pragmatic) -> None:
    cost = pragmatic_cost(array.reach)
    assert array.cycles(*case).tolist() == [walked(array, *case, which, cost) for which in range(2)]


@pytest.mark.parametrize("kind", [Loom, Pragmatic])
@slow
@given(data=st.data())
def test_the_bound_is_what_full_activations_take_and_no_others_exceed(kind: Any, data: st.DataObject) -> None:
    array = data.draw(st.builds(kind, **grids))
    layer, found = data.draw(cases(padded=False))
    bound = bound_cycles(array, layer, found.widths)
    assert (array.cycles(layer, found) <= bound).all()
    full = np.full_like(found.activations, 2**found.widths.activation - 1)
    # A folded kernel reaches beyond the map, where there are zeros.
    folded = layer.input_channels == 3 and layer.stride != (1, 1)
    if not folded:
        assert array.cycles(layer, operands(found.widths, found.weights, full)).tolist() == [bound] * 2


# BitWave and BitVert, walked group by group.

units = {"group": st.integers(1, 6), "rows": small, "columns": st.integers(1, 5)}


def walked_groups(array: BitWave | BitVert, layer: Layer, found: SiteOperands, cost: Callable[[list[int]], int]) -> int:
    outputs, channels, height, width = found.weights.shape
    positions = math.ceil(layer.output_height * layer.output_width / array.columns)
    total = 0
    for group in range(layer.groups):
        size = outputs // layer.groups
        for tile in chunks(list(range(group * size, (group + 1) * size)), array.rows):
            for row, column in itertools.product(range(height), range(width)):
                for lanes in chunks(list(range(channels)), array.group):
                    missing = [0] * (array.group - len(lanes))
                    groups = [[int(found.weights[f, c, row, column]) for c in lanes] + missing for f in tile]
                    total += positions * max(map(cost, groups))
    return total


def bitwave_cost(weights: list[int]) -> int:
    columns = zip(*(f"{abs(weight):08b}" for weight in weights), strict=True)
    return max(1, sum("1" in column for column in columns))


def bitvert_cost(array: BitVert, bits: int) -> Callable[[list[int]], int]:
    def cost(weights: list[int]) -> int:
        words = [str(int(w < 0)) if bits == 1 else f"{w % 2**bits:0{bits}b}" for w in weights]
        columns = list(zip(*words, strict=True))
        redundant = len(list(itertools.takewhile(lambda column: column == columns[0], columns[1:])))
        kept = columns[min(redundant, array.redundant_columns) :]
        return sum(max(1, math.ceil(min(c.count("0"), c.count("1")) / array.multipliers)) for c in kept)

    return cost


@slow
@given(cases(), st.builds(BitWave, **units))
def test_bitwave_equals_its_walk(case: tuple[Layer, SiteOperands], array: BitWave) -> None:
    cycles = array.cycles(*case)
    assert cycles.tolist() == [walked_groups(array, *case, bitwave_cost)] * 2
    assert (cycles <= bound_cycles(array, case[0], case[1].widths)).all()


def bitvert(group: int, multipliers: int, **others: int) -> BitVert:
    return BitVert(group=group, multipliers=min(multipliers, group), **others)


@slow
@given(cases(), st.builds(bitvert, **units, multipliers=small, redundant_columns=st.integers(0, 3)))
def test_bitvert_equals_its_walk(case: tuple[Layer, SiteOperands], array: BitVert) -> None:
    cycles = array.cycles(*case)
    assert cycles.tolist() == [walked_groups(array, *case, bitvert_cost(array, case[1].widths.weight))] * 2
    assert (cycles <= bound_cycles(array, case[0], case[1].widths)).all()


ONE_GROUP = layer_of(
    input_channels=4,
    output_channels=1,
    kernel_height=1,
    kernel_width=1,
    groups=1,
    stride=(1, 1),
    padding=(0, 0),
    dilation=(1, 1),
    input_height=1,
    input_width=1,
)


@pytest.mark.parametrize(
    ("weights", "skipping", "halving"),
    [
        ((0, 0, 0, 0), 1, 5),  # three columns repeat the sign column, five are kept
        ((-1, -1, -1, -1), 1, 5),  # magnitude 1: one column; two's complement: ones everywhere
        ((3, -3, 3, -3), 2, 5),
        ((85, 42, 0, 0), 7, 8),  # every magnitude column is occupied, and 85 leaves no column redundant
        ((-128, 127, 0, 0), 8, 8),
    ],
)
def test_published_examples_of_groups(weights: tuple[int, ...], skipping: int, halving: int) -> None:
    """With half as many multipliers as weights, every column takes one cycle."""
    found = operands(BitWidths(8, 8), np.reshape(weights, (1, 4, 1, 1)), np.zeros((1, 4, 1, 1)))
    assert BitWave(group=4, rows=1, columns=1).cycles(ONE_GROUP, found).tolist() == [skipping]
    assert BitVert(group=4, rows=1, columns=1, multipliers=2).cycles(ONE_GROUP, found).tolist() == [halving]


GRID = {"lanes": 16, "columns": 16, "rows": 16, "tiles": 16}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Loom(**GRID | {"lanes": 0}), "loom_values: lanes = 0"),
        (lambda: Pragmatic(**GRID, reach=0), "pragmatic: reach = 0"),
        (lambda: BitWave(group=8, rows=True, columns=1), "bitwave: rows = True"),
        (lambda: BitVert(group=8, rows=1, columns=1, multipliers=0), "bitvert: multipliers = 0"),
        (lambda: BitVert(group=8, rows=1, columns=1, multipliers=9), "multipliers = 9: a group has 8 weights"),
        (lambda: BitVert(group=8, rows=1, columns=1, multipliers=4, redundant_columns=-1), "redundant_columns = -1"),
    ],
)
def test_parameters_are_checked(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build()


@pytest.mark.parametrize(
    ("array", "weights", "activations", "message"),
    [
        (
            Loom(**GRID),
            (1, 3, 1, 1),
            (1, 4, 1, 1),
            r"'layer': weights of shape \(1, 3, 1, 1\): expected \(1, 4, 1, 1\)",
        ),
        (Loom(**GRID), (1, 4, 1, 1), (1, 4, 2, 1), r"each input of shape \(4, 2, 1\): expected \(4, 1, 1\)"),
        (BitWave(group=8, rows=1, columns=1), (1, 4, 1, 1), (1, 5, 1, 1), "activations of each input"),
    ],
)
def test_operands_of_other_shapes_are_refused(array: Any, weights: Any, activations: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        array.cycles(ONE_GROUP, operands(BitWidths(8, 8), np.zeros(weights), np.zeros(activations)))


@pytest.mark.parametrize(
    ("array", "weight", "activation", "message"),
    [
        (Pragmatic(**GRID), 0, 16, r"'layer' at w4a4: activations from 16 to 16: expected -8 to 15"),
        (Pragmatic(**GRID), 0, -9, r"activations from -9 to -9: expected -8 to 15"),
        (BitWave(group=8, rows=1, columns=1), 15, 0, r"weights from 15 to 15: expected -8 to 7"),
        (BitVert(group=8, rows=1, columns=1, multipliers=4), -9, 0, r"weights from -9 to -9: expected -8 to 7"),
    ],
)
def test_codes_wider_than_their_bits_are_refused(array: Any, weight: int, activation: int, message: str) -> None:
    codes = np.full((1, 4, 1, 1), weight), np.full((1, 4, 1, 1), activation)
    with pytest.raises(ConfigurationError, match=message):
        array.cycles(ONE_GROUP, operands(BitWidths(4, 4), *codes))


@st.composite
def arrays_of_values(draw: st.DrawFn) -> ValueArray:
    grouped = {**units, "multipliers": small, "redundant_columns": st.integers(0, 3)}
    kinds = st.one_of(st.builds(Loom, **grids), st.builds(Pragmatic, **grids), st.builds(BitWave, **units))
    return draw(st.one_of(kinds, st.builds(bitvert, **grouped)))


@slow
@given(arrays_of_values(), layers(), st.integers(1, 8), st.integers(1, 8), st.integers(1, 3))
def test_what_shrinks_with_cycles_is_part_of_what_is_counted(
    array: ValueArray, layer: Layer, weight: int, activation: int, inputs: int
) -> None:
    shapes = LayerShapes.of([layer], inputs_per_frame=inputs, trailing_axes=0)
    bits = np.array([weight]), np.array([activation])
    counts, shrinking = array.action_counts(shapes, *bits), array.cycle_counts(shapes, *bits)
    assert set(counts) == set(shrinking) == set(array.actions)
    assert all(0 <= shrinking[action] <= counts[action] for action in counts)
    assert (
        counts["array_cycle"]
        == shrinking["array_cycle"]
        == inputs * bound_cycles(array, layer, BitWidths(weight, activation))
    )
    products = weight * activation * layer.macs * inputs
    assert shrinking["binary_mac"] == (
        -(-layer.macs * inputs // 2) * weight * activation if array.name == "bitvert" else products
    )


@slow
@given(layers(), st.integers(1, 8), st.integers(1, 8), st.fixed_dictionaries(grids))
def test_bounds_are_counted_as_the_static_arrays_of_the_same_grid(
    layer: Layer, weight: int, activation: int, grid: dict[str, int]
) -> None:
    shapes = LayerShapes.of([layer], inputs_per_frame=2, trailing_axes=0)
    bits = np.array([weight]), np.array([activation])
    for ours, theirs in ((Loom(**grid), StaticLoom(**grid)), (Pragmatic(**grid), Stripes(**grid))):
        assert ours.compute_cycles(shapes, *bits) == theirs.compute_cycles(shapes, *bits)
        assert ours.action_counts(shapes, *bits) == theirs.action_counts(shapes, *bits)
