"""Which points no other beats."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.config.sweep import Direction
from hwsim.sweeps.pace import Pace
from hwsim.sweeps.points import Point
from hwsim.sweeps.results import JudgedPoint, pareto_front
from hwsim.sweeps.table import short_names, shown


def judged(*values: float | None) -> JudgedPoint:
    return JudgedPoint(point=Point({}), objectives=dict(zip("ab", values, strict=True)), run_ids=())


few = st.integers(0, 5).map(float)


@given(st.lists(st.tuples(few, few), max_size=12), st.sampled_from([("minimise", "maximise"), ("maximise",) * 2]))
def test_the_front_is_what_no_other_point_beats(
    values: list[tuple[float, float]], directions: tuple[Direction]
) -> None:
    points = [judged(*pair) for pair in values]
    front = pareto_front(points, directions)

    def beats(one: JudgedPoint, other: JudgedPoint) -> bool:
        gains = [
            (theirs - ours) if direction == "minimise" else (ours - theirs)
            for ours, theirs, direction in zip(one.values or (), other.values or (), directions, strict=True)
        ]
        return min(gains) >= 0 and max(gains) > 0

    assert {id(each) for each in front} == {
        id(each) for each in points if not any(beats(other, each) for other in points)
    }
    ordered = [each.objectives["a"] for each in front]
    assert ordered == sorted(ordered, reverse=directions[0] == "maximise")


def test_a_point_without_a_value_is_no_candidate() -> None:
    assert pareto_front([judged(None, 1.0)], ("minimise", "maximise")) == ()


def test_the_rest_is_estimated_from_runs_that_were_made() -> None:
    now = [0.0]
    pace = Pace(10, lambda: now[0])
    assert pace.told == "0 of 10 runs"
    for _ in range(4):
        pace.count(is_new=False)
    assert (pace.told, pace.share) == ("4 of 10 runs", 0.4)
    now[0] = 120.0
    pace.count(is_new=True)
    assert pace.told == "5 of 10 runs, 10 min left"


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["duration"], ["duration"]),
        (["controller.name", "environment.ambient.kind"], ["controller.name", "ambient.kind"]),
        (["streams.0.deadline", "streams.1.deadline", "queue.capacity"], ["0.deadline", "1.deadline", "capacity"]),
        (["profile.leakage.power.value", "profile.idle.power.value"], ["leakage.power", "idle.power"]),
        (["power.value", "profile.idle.power.value"], ["power.value", "idle.power"]),
    ],
)
def test_a_field_is_called_by_what_tells_it_from_the_others(paths: list[str], names: list[str]) -> None:
    assert list(short_names(paths).values()) == names


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5 ms", "5 ms"), (0.25, "0.25"), ([8, 2], "[8, 2]"), ({"name": "static"}, "static"),
        ({"name": "static", "options": {"bits": 4}}, "static bits=4"),
        ({"name": "a", "safe": {}}, '{"name": "a", "safe": {}}'),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_people_write_it(value: Any, text: str) -> None:
    assert shown(value) == text
