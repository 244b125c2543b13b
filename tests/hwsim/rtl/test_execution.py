"""The circuit against integers and against the array model, cycle by cycle."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from amaranth import Module
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.cost.arrays import Bismo, LayerShapes
from hwsim.cost.arrays.base import Int64Array
from hwsim.errors import ConfigurationError, InvariantError
from hwsim.rtl.dot_product import PIPELINE_LATENCY
from hwsim.rtl.execute_stage import ExecuteStage
from hwsim.rtl.execution import execute
from hwsim.rtl.operands import BitMatrix

small_arrays = st.builds(Bismo, rows=st.integers(1, 3), depth=st.integers(1, 5), columns=st.integers(1, 3))


def matrix(values: object, bits: int, *, is_signed: bool = False) -> BitMatrix:
    return BitMatrix(values=np.array(values, dtype=np.int64), bits=bits, is_signed=is_signed)


def drawn_matrix(draw: st.DrawFn, vectors: int, elements: int) -> BitMatrix:
    bits, is_signed = draw(st.integers(1, 4)), draw(st.booleans())
    low = -(2 ** (bits - 1)) if is_signed else 0
    number = st.integers(low, low + 2**bits - 1)
    vector = st.lists(number, min_size=elements, max_size=elements)
    return matrix(draw(st.lists(vector, min_size=vectors, max_size=vectors)), bits, is_signed=is_signed)


@st.composite
def operands(draw: st.DrawFn) -> tuple[BitMatrix, BitMatrix]:
    elements = draw(st.integers(1, 11))
    return drawn_matrix(draw, draw(st.integers(1, 7)), elements), drawn_matrix(draw, draw(st.integers(1, 7)), elements)


def modelled_cycles(array: Bismo, weights: BitMatrix, activations: BitMatrix) -> int:
    """Return what the cost model says of the product as a pointwise convolution."""
    one = np.ones(1, dtype=np.int64)
    shapes = LayerShapes(
        names=("product",),
        input_channels=one * weights.values.shape[1],
        output_channels=one * len(weights.values),
        kernel_height=one,
        kernel_width=one,
        stride_height=one,
        stride_width=one,
        groups=one,
        input_height=one * len(activations.values),
        input_width=one,
        output_height=one * len(activations.values),
        output_width=one,
        is_dilated=one == 0,
        reads_network_input=one == 0,
        inputs_per_frame=1,
    )
    return int(array.compute_cycles(shapes, one * weights.bits, one * activations.bits)[0])


def integer_product(weights: BitMatrix, activations: BitMatrix) -> Int64Array:
    return weights.values @ activations.values.T


@settings(max_examples=40, deadline=None)
@given(small_arrays, operands())
def test_results_are_exact_and_cycles_are_the_models(array: Bismo, matrices: tuple[BitMatrix, BitMatrix]) -> None:
    done = execute(array, *matrices)
    assert done.product.tolist() == integer_product(*matrices).tolist()
    assert done.cycles == modelled_cycles(array, *matrices) + PIPELINE_LATENCY


@pytest.mark.parametrize(
    ("weight_signed", "activation_signed"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_the_extremes_of_eight_bits(weight_signed: bool, activation_signed: bool) -> None:
    extremes = {True: [-128, 127, -1, 0], False: [255, 128, 1, 0]}
    weights = matrix([[value] * 9 for value in extremes[weight_signed]], 8, is_signed=weight_signed)
    activations = matrix([[value] * 9 for value in extremes[activation_signed]], 8, is_signed=activation_signed)
    done = execute(Bismo(rows=4, depth=8, columns=3), weights, activations)
    assert done.product.tolist() == integer_product(weights, activations).tolist()
    assert done.cycles == 8 * 8 * 2 * 2 + PIPELINE_LATENCY


def test_the_shortest_run_is_one_pair_of_words_through_the_pipeline() -> None:
    done = execute(Bismo(rows=1, depth=1, columns=1), matrix([[1]], 1), matrix([[1]], 1))
    assert (done.product.tolist(), done.cycles) == ([[1]], 1 + 3)


def test_a_full_array_reaches_its_peak_in_every_cycle() -> None:
    array = Bismo(rows=2, depth=16, columns=3)
    weights, activations = matrix(np.ones((4, 32)), 2), matrix(np.ones((6, 32)), 3)
    binary_operations = 2 * 2 * 3 * 4 * 32 * 6  # an AND and an addition, per pair of planes and product
    busy = execute(array, weights, activations).cycles - PIPELINE_LATENCY
    assert binary_operations == busy * 2 * array.peak_macs_per_cycle(np.array(1), np.array(1))


@pytest.mark.parametrize(
    ("weights", "activations", "message"),
    [
        (matrix([[1, 1]], 1), matrix([[1]], 1), "weights of 2 elements, activations of 1"),
        (matrix(np.zeros((1, 40_000)), 8), matrix(np.zeros((1, 40_000)), 8), "40000 products of 8 by 8 bits"),
        (matrix(np.zeros((1, 70_000)), 1), matrix(np.zeros((1, 70_000)), 1), "70000 and 70000 words: .* 65536"),
    ],
)
def test_what_does_not_fit_is_refused(weights: BitMatrix, activations: BitMatrix, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        execute(Bismo(rows=1, depth=1, columns=1), weights, activations)


def test_the_example_of_the_page_says_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "circuit.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert example is not None
    exec(compile(example[1], "circuit.md", "exec"), {})
    assert f"# {capsys.readouterr().out}" in example[1]


def test_a_circuit_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExecuteStage, "elaborate", lambda stage, platform: Module())
    with pytest.raises(InvariantError, match="the circuit finished 0 of 1 tiles"):
        execute(Bismo(rows=1, depth=1, columns=1), matrix([[1]], 1), matrix([[1]], 1))
