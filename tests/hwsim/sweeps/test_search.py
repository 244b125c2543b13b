"""A search proposes the same under the same results, and finds better points than chance."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hwsim.config.sweep import Nsga2, Parameter
from hwsim.sweeps.points import Point
from hwsim.sweeps.search import search

pytest.importorskip("optuna")
PARAMETERS = {
    "x": Parameter(low=0.0, high=1.0),
    "y": Parameter(low=0.0, high=1.0),
    "kind": Parameter(values=("good", "bad", "worse")),
}
METHOD = Nsga2(kind="nsga2", trials=120, population=12, seed=4)


def losses(point: Point) -> tuple[float, float]:
    """Both least at y = 0 and kind good, where they trade x."""
    x, y, kind = point.values["x"], point.values["y"], point.values["kind"]
    extra = y + {"good": 0, "bad": 1, "worse": 2}[kind]
    return x + extra, 1 - x + extra


def tried(method: Nsga2 = METHOD, failing: str = "") -> list[Point]:
    points: list[Point] = []

    def judge(asked: Sequence[Point]) -> list[tuple[float, float] | None]:
        points.extend(asked)
        return [None if point.values["kind"] == failing else losses(point) for point in asked]

    search(PARAMETERS, ("minimise", "minimise"), method, judge)
    return points


def test_the_same_seed_and_results_propose_the_same_points() -> None:
    assert [point.sets for point in tried()] == [point.sets for point in tried()]
    other = METHOD.model_copy(update={"seed": 5})
    assert [point.sets for point in tried()] != [point.sets for point in tried(other)]


def test_generations_get_better() -> None:
    points = tried()
    assert len(points) == METHOD.trials
    sums = [sum(losses(point)) for point in points]
    assert sum(sums[-24:]) < 0.6 * sum(sums[:24])


def test_the_last_generation_may_be_smaller() -> None:
    assert len(tried(METHOD.model_copy(update={"trials": 31}))) == 31


def test_points_that_failed_are_no_parents() -> None:
    points = tried(failing="good")
    kinds = [point.values["kind"] for point in points[-24:]]
    assert kinds.count("bad") > kinds.count("worse")
