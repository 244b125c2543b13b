"""The BISMO array: its law against a loop nest, its published peaks, and the registry of arrays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer
from hwsim.cost import arrays
from hwsim.cost.arrays import Bismo, LayerShapes
from hwsim.errors import ConfigurationError

small = st.integers(1, 5)
bits = st.integers(1, 8)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    groups = draw(st.integers(1, 3))
    return Layer(
        name="layer",
        kind="convolution",
        input_channels=groups * draw(small),
        output_channels=groups * draw(small),
        kernel_height=draw(st.integers(1, 3)),
        kernel_width=draw(st.integers(1, 3)),
        stride=(1, 1),
        padding=(0, 0),
        groups=groups,
        input_height=8,
        input_width=8,
        output_height=draw(small),
        output_width=draw(small),
        allowed=(BitWidths(8, 8),),
        producers=("input",),
        consumers=(),
        key_consumer=None,
        is_key_consumer=True,
        stream_write_elements=0,
        residual_write_elements=0,
        residual_read_elements=0,
        vector_operations=0,
    )


arrays_drawn = st.builds(Bismo, rows=small, depth=st.integers(1, 9), columns=small)


def one_layer(layer: Layer, inputs: int = 1) -> LayerShapes:
    return LayerShapes.of([layer], inputs_per_frame=inputs, trailing_axes=0)


def tiles_by_walking(layer: Layer, inputs: int, array: Bismo) -> tuple[int, int]:
    """Walk the products of a layer one by one: the tiles touched, and the products, of one pair of planes."""
    touched = set()
    products = 0
    positions = range(inputs * layer.output_height * layer.output_width)
    group_outputs = range(layer.output_channels // layer.groups)
    window = itertools.product(
        range(layer.input_channels // layer.groups), range(layer.kernel_height), range(layer.kernel_width)
    )
    terms = list(enumerate(window))
    for group, output, position in itertools.product(range(layer.groups), group_outputs, positions):
        for term, _ in terms:
            products += 1
            touched.add((group, output // array.rows, term // array.depth, position // array.columns))
    return len(touched), products


@given(layers(), arrays_drawn, st.integers(1, 2), bits, bits)
def test_law_equals_the_loop_nest(layer: Layer, array: Bismo, inputs: int, w: int, a: int) -> None:
    tiles, products = tiles_by_walking(layer, inputs, array)
    question = one_layer(layer, inputs), np.array([w]), np.array([a])
    counts = array.action_counts(*question)
    assert array.compute_cycles(*question).tolist() == [w * a * tiles]
    assert counts["array_cycle"].tolist() == [w * a * tiles]
    assert counts["binary_mac"].tolist() == [w * a * products]


@given(layers(), arrays_drawn)
def test_actions_fit_into_the_cycles(layer: Layer, array: Bismo) -> None:
    counts = array.action_counts(one_layer(layer), np.array([3]), np.array([5]))
    lanes = int(array.peak_macs_per_cycle(np.array(1), np.array(1)))
    assert counts["binary_mac"][0] <= counts["array_cycle"][0] * lanes
    read_per_cycle = array.rows * array.depth + array.columns * array.depth
    assert counts["buffer_bit"][0] == counts["array_cycle"][0] * read_per_cycle


@given(layers(), arrays_drawn)
def test_axes_are_site_weight_activation(layer: Layer, array: Bismo) -> None:
    widths = np.array([2, 3, 8])
    shapes = LayerShapes.of([layer, layer], inputs_per_frame=1, trailing_axes=2)
    cycles = array.compute_cycles(shapes, widths[:, None], widths)
    assert cycles.shape == (2, 3, 3)
    one_bit = array.compute_cycles(one_layer(layer), np.array([1]), np.array([1]))[0]
    for w, a in itertools.product(range(3), range(3)):
        assert cycles[1, w, a] == one_bit * widths[w] * widths[a]


@pytest.mark.parametrize(
    ("array", "frequency_hertz", "published_operations_per_second"),
    [
        (Bismo(rows=8, depth=256, columns=8), 200_000_000, 6.55e12),
        (Bismo(rows=10, depth=256, columns=10), 300_000_000, 15.36e12),
    ],
    ids=["PYNQ-Z1", "Ultra96"],
)
def test_published_peak(array: Bismo, frequency_hertz: int, published_operations_per_second: float) -> None:
    peak = 2 * array.peak_macs_per_cycle(np.array(1), np.array(1)) * frequency_hertz
    assert peak == pytest.approx(published_operations_per_second, rel=0.005)


def test_registry_builds_by_name() -> None:
    assert arrays.build("bismo", rows=8, depth=256, columns=4) == Bismo(rows=8, depth=256, columns=4)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("bismoo", {}, "did you mean 'bismo'"),
        ("bismo", {"rows": 8, "depth": 256, "colums": 8}, "no parameter 'colums': did you mean 'columns'"),
        ("bismo", {"rows": 8}, "missing depth, columns"),
        ("bismo", {"rows": 0, "depth": 256, "columns": 8}, "rows = 0: expected a whole number"),
        ("bismo", {"rows": 8, "depth": 2.5, "columns": 8}, "depth = 2.5: expected a whole number"),
        ("bismo", {"rows": 8, "depth": 256, "columns": True}, "columns = True: expected a whole number"),
    ],
)
def test_registry_says_what_is_wrong(name: str, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        arrays.build(name, **parameters)
