"""Sparse products, held against dense ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.graphs.sparse_pattern import SparsePattern


@given(seed=st.integers(0, 10_000), heads=st.sampled_from([None, 1, 3]))
def test_products_and_gradients_are_those_of_dense_matrices(seed: int, heads: int | None) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows, columns, entries, width = 5, 4, 9, 3
    places = torch.randperm(rows * columns, generator=generator)[:entries]
    pattern = SparsePattern(places // columns, places % columns, (rows, columns))
    between = () if heads is None else (heads,)
    values = torch.randn(entries, *between, generator=generator, dtype=torch.float64, requires_grad=True)
    dense = torch.randn(columns, *between, width, generator=generator, dtype=torch.float64, requires_grad=True)
    matrix = torch.zeros(rows, columns, *between, dtype=torch.float64).index_put(
        (pattern.rows, pattern.columns), values
    )
    expected = torch.einsum("rc...,c...w->r...w", matrix, dense)
    torch.testing.assert_close(pattern.product(values, dense), expected)
    weight = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    found = torch.autograd.grad((pattern.product(values, dense) * weight).sum(), (values, dense))
    wanted = torch.autograd.grad((expected * weight).sum(), (values, dense))
    torch.testing.assert_close(found, wanted)


def test_a_softmax_sums_to_one_at_every_target_and_survives_large_scores() -> None:
    pattern = SparsePattern(torch.tensor([2, 0, 2, 0, 2]), torch.arange(5), (4, 5))
    scores = torch.tensor([[1000.0], [998.0], [-1000.0], [3.0], [3.0]])
    attention = pattern.softmax(scores)
    sums = torch.zeros(4, 1).index_add(0, pattern.rows, attention)
    assert sums[:, 0].tolist() == pytest.approx([1, 0, 1, 0])
    torch.testing.assert_close(attention[:2, 0], scores[:2, 0].softmax(dim=0))
