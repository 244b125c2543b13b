"""Hypervolumes against volumes known by hand and against counting points, and the laws that they obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.pareto import contributions, front, hypervolumes

POINTS = st.lists(st.tuples(*[st.integers(0, 8)] * 3), min_size=1, max_size=6)


def volume(*points: tuple[float, float, float]) -> float:
    return float(hypervolumes(np.array([points], dtype=float))[0])


def test_volumes_that_are_known_by_hand() -> None:
    assert volume((0, 0, 0)) == 1
    assert volume((0.5, 0.5, 0.5)) == pytest.approx(1 / 8)
    assert volume((0.5, 0, 0), (0, 0.5, 0)) == pytest.approx(3 / 4)
    assert volume((0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)) == pytest.approx(1 / 2)
    assert volume((2.0, 0, 0)) == 0


@settings(deadline=None, max_examples=60)
@given(POINTS)
def test_it_is_the_share_of_cells_that_a_point_dominates(eighths: list[tuple[int, int, int]]) -> None:
    cells = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    dominated = (np.array(eighths)[:, None] <= cells[None]).all(axis=2).any(axis=0)
    assert hypervolumes(np.array([eighths]) / 8)[0] == pytest.approx(dominated.mean())


@settings(deadline=None, max_examples=60)
@given(POINTS)
def test_a_point_adds_what_is_missing_without_it_and_one_off_the_front_nothing(
    points: list[tuple[int, int, int]],
) -> None:
    losses = np.array(points) / 8
    added, on_front = contributions(losses[None])[0], front(losses)
    assert on_front.any()
    assert added[~on_front] == pytest.approx(0, abs=1e-12)
    assert (added >= -1e-12).all()
    assert added.sum() <= hypervolumes(losses[None])[0] + 1e-12
