"""What a ``sweep:`` block may say, and which points it stands for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.errors import BitmixerError
from hwsim.config.sweep import Grid, Parameter, RandomSamples, number_of
from hwsim.errors import ConfigurationError
from hwsim.sweeps.points import Point, points_of
from hwsim.sweeps.reading import read_sweep
from hwsim.sweeps.shards import Shard, parse_shard


def in_range(**fields: object) -> Parameter:
    return Parameter.model_validate(fields)


def test_a_grid_has_every_value_with_every_other_the_last_changing_fastest() -> None:
    parameters = {"a": in_range(values=[1, 2]), "b": in_range(low="1 ms", high="100 ms", scale="log", points=3)}
    assert [tuple(point.values.values()) for point in points_of(parameters, Grid())] == [
        (1, "1 ms"), (1, "10.0 ms"), (1, "100 ms"), (2, "1 ms"), (2, "10.0 ms"), (2, "100 ms"),
    ]  # fmt: skip


def test_whole_numbers_have_whole_numbers_between_them_each_once() -> None:
    assert in_range(low=1, high=4, points=9).on_grid == (1, 2, 3, 4)
    assert in_range(low=1, high=100, scale="log", points=3).on_grid == (1, 7, 100)
    assert in_range(low=0.5, high=2, points=2).on_grid == (0.5, 2)


def test_each_whole_number_is_drawn_as_often_as_any_other() -> None:
    drawn = [in_range(low=1, high=4).at((step + 0.5) / 1000) for step in range(1000)]
    assert [drawn.count(value) for value in (1, 2, 3, 4)] == [250] * 4


ends = st.floats(min_value=1e-6, max_value=1e6)


@given(ends, ends, st.floats(min_value=0, max_value=1), st.sampled_from(["linear", "log"]))
def test_a_range_stays_between_its_ends_and_rises(one: float, other: float, share: float, scale: str) -> None:
    low, high = sorted((one, other))
    if f"{low:.4g}" == f"{high:.4g}":
        return
    parameter = in_range(low=f"{low!r} K/W", high=f"{high!r} K/W", scale=scale)
    value, unit = number_of(parameter.at(share))
    assert unit == "K/W"
    assert low <= value <= high
    assert value <= number_of(parameter.at(min(1, share + 0.1)))[0]


def test_more_samples_are_the_same_ones_and_others() -> None:
    parameters = {"a": in_range(low=0.0, high=1.0), "b": in_range(values=["x", "y"])}

    def drawn(samples: int, seed: int = 0, **others: Parameter) -> list[dict[str, object]]:
        method = RandomSamples(kind="random", samples=samples, seed=seed)
        return [dict(point.values) for point in points_of({**parameters, **others}, method)]

    assert drawn(20)[:5] == drawn(5)
    assert drawn(5) != drawn(5, seed=1)
    assert [row["a"] for row in drawn(5, c=in_range(values=[1, 2]))] == [row["a"] for row in drawn(5)]
    assert {row["b"] for row in drawn(20)} == {"x", "y"}


def test_equal_samples_are_one_point() -> None:
    assert len(points_of({"a": in_range(values=["x", "y"])}, RandomSamples(kind="random", samples=50))) == 2


def test_what_a_point_sets_is_what_set_takes() -> None:
    point = Point({"streams.0.deadline": "5 ms", "controller": {"name": "static", "options": {"bits": 4}}})
    assert point.sets == ('streams.0.deadline="5 ms"', 'controller={"name": "static", "options": {"bits": 4}}')


@given(st.integers(1, 7), st.lists(st.integers(), max_size=40))
def test_every_item_is_in_one_shard(count: int, items: list[int]) -> None:
    parts = [Shard(number, count).of(items) for number in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == sorted(items)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected I/N"):
        parse_shard(text)


def test_a_shard_is_read() -> None:
    assert parse_shard("2/8") == Shard(2, 8)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("\nsweep: {parameters: {streams.0.deadlin: [1 ms]}}\n", r"unknown key 'deadlin': did you mean 'deadline'"),
        ("\nsweep: {parameters: {streams.3.deadline: [1 ms]}}\n", "streams is a list of 1: expected position 0"),
        ("\nsweep: {parameters: {streams.0.deadline: [5 ms, 1 V]}}\n", "unit 'V' measures something else"),
        ("\nsweep: {parameters: {streams.0.deadline: []}}\n", "expected either a list of values, or a range"),
        ("\nsweep: {parameters: {streams.0.deadline: {low: 1 ms}}}\n", "a range needs both ends"),
        ("\nsweep: {parameters: {streams.0.deadline: {low: 1 ms, high: 2 s, points: 3}}}\n", "not in the unit of low"),
        ("\nsweep: {parameters: {streams.0.deadline: {low: 1 ms, high: 1 ms, points: 3}}}\n", "is not above low"),
        ("\nsweep: {parameters: {streams.0.deadline: {low: 1 ms, high: 2 ms}}}\n", "a grid needs the number of points"),
        ("\nsweep: {parameters: {a: {low: 0, high: 2, scale: log, points: 2}}}\n", "has no logarithm"),
        ("\nsweep: {parameters: {streams.0.deadline: [1 ms, 1 ms]}}\n", "has a value twice"),
        ("\nsweep: {parameters: {streams.0.deadline: {low: a, high: b, points: 2}}}\n", "is no end of a range"),
        ("\nsweep: {parameters: {seed: [1, 2]}}\n", "seeds are not varied: write replications: N"),
        ("\nsweep: {parameters: {sweep.replications: [1, 2]}}\n", "a sweep does not vary itself"),
        ("\nsweep: {parameters: {controller.name: [static, histeresis]}}\n", "did you mean 'hysteresis'"),
        ("\nsweep: {parameters: {profile: [bismo_pynq]}}\n", "did you mean 'bismo_pynq_z1'"),
        ("\nsweep: {parameters: {profile.clok: [1]}}\n", "unknown key 'clok'"),
        ("\nsweep: {paramters: {}}\n", "unknown key 'paramters': did you mean 'parameters'"),
        ("\nsweep: {method: {kind: gird}}\n", "unknown value 'gird': did you mean 'grid'"),
        ("\nsweep: {method: {kind: nsga2, trials: 4, population: 1}}\n", "crosses pairs of points"),
        (
            "\nsweep: {objectives: {energy_joule: minimise}, parameters: {streams.0.deadline: [1 ms]}}\n",
            "did you mean 'energy_joules'",
        ),
        ("\nsweep: {objectives: {energy_joules: minimize}}\n", "did you mean 'minimise'"),
        ("\nsweep: {}\n", "varies nothing"),
    ],
)
def test_a_wrong_sweep_is_refused_at_its_place(swept: Callable[..., str], block: str, message: str) -> None:
    with pytest.raises(BitmixerError, match=message) as refused:
        read_sweep(swept(block))
    assert "swept.yaml:24:" in str(refused.value)


def test_every_value_that_is_refused_is_told(swept: Callable[..., str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_sweep(swept("\nsweep: {parameters: {streams.0.deadline: [5 V], queue.capacity: [0, 2, -1]}}\n"))
    assert len(str(refused.value).splitlines()) == 3


def test_the_command_varies_more_and_other_values(swept: Callable[..., str]) -> None:
    plan = read_sweep(
        swept(), vary=["streams.0.deadline=[1 ms, 2 ms]", "controller=[{name: hysteresis}]"],
        sets=["sweep.replications=2", "queue.capacity=2"],
    )  # fmt: skip
    assert list(plan.sweep.parameters) == ["streams.0.inputs_per_frame", "controller", "streams.0.deadline"]
    assert plan.sweep.parameters["controller"].values == ({"name": "hysteresis"},)
    assert (list(plan.seeds), plan.sets) == ([3, 4], ("queue.capacity=2",))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("streams.0.deadline=5 ms", "--vary streams.0.deadline: .*expected a mapping"),
        ("streams.0.deadline", "--vary streams.0.deadline: expected PATH=VALUE"),
        ("streams.0.deadlin=[5 ms]", "--vary streams.0.deadlin: sweep.parameters: .*did you mean 'deadline'"),
    ],
)
def test_a_wrong_option_is_refused(swept: Callable[..., str], item: str, message: str) -> None:
    with pytest.raises(BitmixerError, match=message):
        read_sweep(swept(), vary=[item])
