"""The constructive proof: networks of signs approximate continuous functions, as well as the bound says."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def program() -> ModuleType:
    file = Path(__file__).parents[1] / "docs" / "examples" / "binary_approximation.py"
    spec = importlib.util.spec_from_file_location("binary_approximation", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("dimensions", "cells"), [(1, 1), (1, 3), (1, 16), (1, 64), (2, 3), (2, 12)])
@pytest.mark.parametrize("bases", [1, 3, 10])
def test_the_error_stays_below_the_bound(program: ModuleType, dimensions: int, cells: int, bases: int) -> None:
    assert program.error(dimensions, cells, bases) <= program.bound(dimensions, cells, bases)


def test_the_error_falls_with_cells_until_the_bases_end_it(program: ModuleType) -> None:
    fine = [program.error(1, cells, 16) for cells in (8, 16, 32, 64)]
    assert all(0.4 < after / before < 0.6 for before, after in itertools.pairwise(fine))
    coarse = [program.error(1, 256, bases) for bases in (1, 2, 3, 4)]
    assert all(0.4 < after / before < 0.65 for before, after in itertools.pairwise(coarse))
    assert program.error(1, 256, 2) > 0.9 * 2.0**-2  # more cells do not help


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_every_cell_is_found_whatever_the_values(program: ModuleType, dimensions: int, cells: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.uniform(-1, 1, (cells,) * dimensions)

    def f(points: np.ndarray) -> np.ndarray:
        return values[tuple(np.minimum(points * cells, cells - 1).astype(int).T)]

    network = program.build(f, dimensions=dimensions, cells=cells, bases=20, largest=1.0)
    corners = generator.integers(0, 2, (20, dimensions)).astype(float)
    points = np.concatenate([generator.random((50, dimensions)), corners])
    assert np.abs(network(points) - f(points)).max() <= 2.0**-20
