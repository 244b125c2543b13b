"""Controllers on observations made by hand, and what their options refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from bitmixer.errors import BitmixerError, DocumentError
from hwsim.controllers import build_controller, parse_controller
from hwsim.controllers.base import Controller, Decision, DeviceView, NetworkView, Observation
from hwsim.errors import ConfigurationError
from hwsim.pipeline import Plan

MILLISECOND = 10**9
DEVICE = DeviceView(
    frequencies_hertz=(200_000_000, 100_000_000),
    trip_celsius=(80.0, 85.0),
    maximum_junction_celsius=85.0,
    decision_picoseconds=200_000_000,
)


@pytest.fixture
def network(small_plan: Plan) -> NetworkView:
    return NetworkView(graph=small_plan.streams[0].checkpoint.graph, costs=small_plan.streams[0].costs)


def seen(
    milliseconds: float, celsius: float | None = 50.0, waiting: int = 0, age_milliseconds: float | None = 0.0
) -> Observation:
    """Return an observation of an idle array; hysteresis looks only at the time, the die and the queue."""
    return Observation(
        time_picoseconds=int(milliseconds * MILLISECOND),
        wake="tick",
        die_celsius=celsius,
        die_age_picoseconds=None if age_milliseconds is None else int(age_milliseconds * MILLISECOND),
        frequency_hertz=200_000_000,
        throttle_cap_hertz=200_000_000,
        queued_deadlines_picoseconds=tuple(range(waiting)),
        frame=None,
        frame_deadline_picoseconds=None,
        first_uncommitted=0,
        wanted=(),
        confidences=(),
    )


@dataclass
class Driven:
    """A controller that is shown one observation after another."""

    controller: Controller
    network: NetworkView
    bits: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        first, self.state = self.controller.init(DEVICE, self.network)
        self._note(first)

    def _note(self, decision: Decision) -> None:
        free = {decision.widths[layer.name] for layer in self.network.graph.layers if not layer.pinned}
        (widths,) = free
        assert widths.weight == widths.activation
        self.bits.append(widths.weight)
        self.reasons.append(decision.reason)

    def show(self, *observations: Observation) -> None:
        for observation in observations:
            before = self.state
            decision, self.state = self.controller.decide(observation, self.state, np.random.default_rng(0))
            again, _ = self.controller.decide(observation, before, np.random.default_rng(1))
            assert again == decision  # the state is explicit, and nothing is drawn
            if decision is not None:
                self._note(decision)


def test_static_keeps_widths_per_layer(network: NetworkView) -> None:
    widths = {
        layer.name: layer.allowed[position % len(layer.allowed)] for position, layer in enumerate(network.graph.layers)
    }
    controller = build_controller("static", {"assignment": {site: list(pair) for site, pair in widths.items()}})
    decision, _ = controller.init(DEVICE, network)
    assert decision.widths == widths
    assert len(set(widths.values())) > 1
    assert decision.reason == "static, widths per layer"


def test_static_refuses_an_assignment_of_another_network(network: NetworkView) -> None:
    widths = {layer.name: (8, 8) for layer in network.graph.layers}
    for changed, message in (
        ({**widths, "stm": (8, 8)}, "'stm' is not in this network: did you mean 'stem'"),
        ({**widths, "stages.0.0.conv1": (3, 3)}, "cannot run at w3a3"),
        ({"stem": (8, 8)}, "has no widths in this assignment"),
    ):
        with pytest.raises(BitmixerError, match=message):
            build_controller("static", {"assignment": changed}).init(DEVICE, network)
    with pytest.raises(ConfigurationError, match="bits and assignment exclude one another"):
        build_controller("static", {"assignment": widths, "bits": 4})
    with pytest.raises(ConfigurationError, match=r"option 'assignment\.stem\.0'.*integer"):
        build_controller("static", {"assignment": {"stem": (8.5, 8)}})


def hysteresis(network: NetworkView, **options: Any) -> Driven:
    return Driven(build_controller("hysteresis", options), network)


@pytest.mark.parametrize(("options", "bits"), [({}, 8), ({"bits": 4}, 4), ({"bits": 2}, 2)])
def test_static_keeps_one_width(network: NetworkView, options: dict[str, int], bits: int) -> None:
    driven = Driven(build_controller("static", options), network)
    driven.show(seen(5000, celsius=99.0, waiting=9))
    assert (driven.bits, driven.reasons) == ([bits], [f"static {bits} bit"])
    assert driven.controller.wakes_on == frozenset()


def test_heat_within_the_margin_steps_down_one_rung_at_a_time_and_holds(network: NetworkView) -> None:
    driven = hysteresis(network)
    driven.show(seen(1999, 79.0))
    assert driven.bits == [8]  # held for 2 s from the start
    driven.show(seen(2000, 77.9))
    assert driven.bits == [8]  # cooler than 80 - 2
    driven.show(seen(2010, 78.0))
    assert driven.bits == [8, 4]
    driven.show(*(seen(2010 + later, 84.0) for later in (10, 1000, 1999)))
    assert driven.bits == [8, 4]
    driven.show(seen(4010, 84.0), seen(6010, 84.0))
    assert driven.bits == [8, 4, 2]  # and no rung is below
    assert driven.reasons == [
        "start at 8 bit", "die reads 78.0 degC: down to 4 bit", "die reads 84.0 degC: down to 2 bit"
    ]  # fmt: skip


def test_a_silent_sensor_is_borne_for_a_while_and_then_taken_for_a_hot_die(network: NetworkView) -> None:
    driven = hysteresis(network)
    driven.show(seen(3000, None, age_milliseconds=999), seen(3000, 77.0))
    assert driven.bits == [8]
    driven.show(seen(3000, None, age_milliseconds=1000))
    assert driven.bits == [8, 4]
    driven.show(seen(4999, None, age_milliseconds=3000), seen(5000, None, age_milliseconds=None))
    assert driven.bits == [8, 4, 2]
    assert driven.reasons[1:] == ["the sensor is silent: down to 4 bit", "the sensor is silent: down to 2 bit"]
    driven.show(seen(7000, None, age_milliseconds=10), seen(7000, 60.0))
    assert driven.bits == [8, 4, 2, 4]  # silence alone never steps up


def test_frames_that_wait_count_while_the_sensor_is_silent(network: NetworkView) -> None:
    driven = hysteresis(network, silence_milliseconds=60_000)
    driven.show(seen(3000, None, waiting=2, age_milliseconds=5000))
    assert driven.bits == [8, 4]


def test_between_the_margins_nothing_moves_and_below_both_it_climbs(network: NetworkView) -> None:
    driven = hysteresis(network)
    driven.show(seen(3000, 78.0))
    driven.show(*(seen(5000 + 2000 * step, celsius) for step, celsius in enumerate((77.9, 74.1, 76.0))))
    assert driven.bits == [8, 4]
    driven.show(seen(20_000, 74.0))
    assert driven.bits == [8, 4, 8]
    assert driven.reasons[-1] == "die reads 74.0 degC: up to 8 bit"
    driven.show(seen(30_000, 20.0))
    assert driven.bits == [8, 4, 8]


def test_the_margins_and_the_hold_are_options(network: NetworkView) -> None:
    driven = hysteresis(network, hot_margin_kelvin=10, cool_margin_kelvin=20, hold_milliseconds=0)
    driven.show(seen(1, 69.9), seen(2, 70.0), seen(3, 60.1), seen(4, 60.0))
    assert driven.bits == [8, 4, 8]


def test_waiting_frames_step_down_at_once_and_calm_steps_up(network: NetworkView) -> None:
    driven = hysteresis(network)
    driven.show(seen(10, waiting=1))
    assert driven.bits == [8]
    driven.show(seen(20, waiting=2), seen(30, waiting=3), seen(40, waiting=4))
    assert driven.bits == [8, 4, 2]
    assert driven.reasons[1:] == ["2 frames wait: down to 4 bit", "3 frames wait: down to 2 bit"]
    driven.show(seen(400, waiting=1), seen(899))
    assert driven.bits == [8, 4, 2]  # one frame waited at 400 ms
    driven.show(seen(900), seen(901), seen(1399))
    assert driven.bits == [8, 4, 2, 4]
    driven.show(seen(1400), seen(9000))
    assert driven.bits == [8, 4, 2, 4, 8]
    assert driven.reasons[-1] == "nothing waited for 500 ms: up to 8 bit"


def test_the_lower_of_both_rungs_rules(network: NetworkView) -> None:
    driven = hysteresis(network)
    driven.show(seen(2500, 79.0))  # heat: 4 bit
    driven.show(seen(2600, 79.0, waiting=2))  # the queue goes on from there: 2 bit
    assert driven.bits == [8, 4, 2]
    driven.show(seen(3200, 79.0))  # calm: the queue would have 4 bit, and so has the heat
    assert driven.bits == [8, 4, 2, 4]
    driven.show(seen(3900, 79.0))  # calm again: the heat keeps 4 bit
    assert driven.bits == [8, 4, 2, 4]
    driven.show(seen(4500, 60.0))
    assert driven.bits == [8, 4, 2, 4, 8]


def test_only_the_given_rungs_are_climbed(network: NetworkView) -> None:
    driven = hysteresis(network, rungs=[2, 8])
    driven.show(seen(10, waiting=5), seen(20, waiting=5))
    assert driven.bits == [8, 2]


def test_rungs_may_have_widths_of_their_own(network: NetworkView) -> None:
    sites = network.graph.layers
    mixed = {site.name: list(site.allowed[-1] if at % 2 else site.allowed[0]) for at, site in enumerate(sites)}
    rule = build_controller("hysteresis", {"rungs": [8, mixed, 2]})
    start, state = rule.init(DEVICE, network)
    down, _ = rule.decide(seen(10, waiting=5), state, np.random.default_rng(1))
    assert start.widths == network.graph.uniform(8)
    assert down is not None
    assert {site: list(widths) for site, widths in down.widths.items()} == mixed
    assert down.reason == "5 frames wait: down to rung 2"


@pytest.mark.parametrize(
    ("rungs", "message"),
    [
        ([{"stem": [8, 8]}], "has no widths in this assignment"),
        ([8, "rich"], "option 'rungs.1"),
    ],
)
def test_rungs_that_are_no_widths_are_refused(network: NetworkView, rungs: list[Any], message: str) -> None:
    with pytest.raises(BitmixerError, match=message):
        build_controller("hysteresis", {"rungs": rungs}).init(DEVICE, network)


@pytest.mark.parametrize(
    ("options", "wakes", "period"),
    [({"period_milliseconds": 7}, {"tick"}, 7 * MILLISECOND), ({"wakes_on": "frame"}, {"frame"}, 10 * MILLISECOND)],
)
def test_when_it_looks_is_an_option(options: dict[str, Any], wakes: set[str], period: int) -> None:
    controller = build_controller("hysteresis", options)
    assert set(controller.wakes_on) == wakes
    assert controller.tick_picoseconds == period


def test_a_device_without_a_trip_has_nothing_to_stay_below(network: NetworkView) -> None:
    bare = DeviceView(frequencies_hertz=(1,), trip_celsius=(), maximum_junction_celsius=85.0, decision_picoseconds=0)
    with pytest.raises(ConfigurationError, match="no throttling trip"):
        build_controller("hysteresis", {}).init(bare, network)


@pytest.mark.parametrize(
    ("name", "options", "messages"),
    [
        ("histeresis", {}, ["unknown controller 'histeresis': did you mean 'hysteresis'? Known: "]),
        ("static", {"bit": 4}, ["controller static: unknown option 'bit': did you mean 'bits'"]),
        ("static", {"bits": "many"}, ["controller static: option 'bits': ", "got 'many'"]),
        ("static", {"bits": 0}, ["option 'bits': Input should be greater than or equal to 1, got 0"]),
        ("hysteresis", {"hot_margin_kelvin": 6, "cool_margin_kelvin": 6}, ["would flutter"]),
        ("hysteresis", {"rungs": []}, ["option 'rungs'"]),
        ("hysteresis", {"wakes_on": "layer"}, ["option 'wakes_on'", "'tick' or 'frame'"]),
        ("hysteresis", {"queue_hi": 1, "hold_millisecond": 1}, ["'queue_high'", "'hold_milliseconds'"]),
    ],
)
def test_unknown_names_and_values_are_refused(name: str, options: dict[str, Any], messages: Sequence[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build_controller(name, options)
    for message in messages:
        assert message in str(caught.value)


@pytest.mark.parametrize(("name", "options"), [("static", {"bits": 5}), ("hysteresis", {"rungs": (8, 5)})])
def test_widths_that_the_network_does_not_have_are_refused(
    network: NetworkView, name: str, options: dict[str, Any]
) -> None:
    with pytest.raises(
        ConfigurationError, match="network resnet8_digits cannot run at 5 bits; its layers allow 2, 4, 8"
    ):
        build_controller(name, options).init(DEVICE, network)


def test_options_are_written_after_the_name() -> None:
    assert parse_controller("static") == ("static", {})
    assert parse_controller("hysteresis:rungs=[8, 2]:wakes_on=frame:cool_margin_kelvin=7.5") == (
        "hysteresis", {"rungs": [8, 2], "wakes_on": "frame", "cool_margin_kelvin": 7.5}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("static:4", "controller 'static:4': expected NAME:option=value, got '4'"),
        ("hysteresis:rungs=[8", "controller hysteresis: option 'rungs':.*not valid YAML"),
        ("hysteresis:hot_margin_kelvin=.nan", "option 'hot_margin_kelvin':.*nan is not a finite number"),
    ],
)
def test_options_that_cannot_be_read_are_refused(text: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        parse_controller(text)
