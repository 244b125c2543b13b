"""Scenarios: defaults, overrides of the profile, contradictions, and what decides a result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bitmixer.errors import DocumentError
from hwsim.config.packaged import find
from hwsim.config.scenario import controller_of, load_scenario, resolved
from hwsim.config.time_series import PiecewiseLinear

Write = Callable[..., str]

MINIMAL = """\
schema_version: 1
name: minimal
profile: bismo_pynq_z1
duration: 60 s
queue: {capacity: 4, drop_expired: false}
streams:
  - name: camera
    network: resnet8
    data: digits
    inputs_per_frame: 1
    deadline: 50 ms
    arrivals: {kind: periodic, period: 33.333 ms}
environment:
  ambient: {kind: constant, temperature: 25 degC}
controller: {name: static}
"""
CONSTANT = "{kind: constant, temperature: 25 degC}"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(*changes: tuple[str, str]) -> str:
        text = MINIMAL
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return written


def test_defaults_are_those_of_the_design(write: Write) -> None:
    scenario, profile, path = load_scenario(write())
    assert (scenario.initial_state, scenario.outputs, scenario.decisions) == ("ambient", "lazy", "mid_frame")
    assert scenario.telemetry_period_picoseconds == 100 * 10**9
    assert scenario.duration_picoseconds == 60 * 10**12
    (stream,) = scenario.streams
    assert stream.arrivals.period_picoseconds == 33_333_000_000
    assert (stream.priority, stream.arrivals.jitter_picoseconds, stream.arrivals.bursts) == (0, 0, None)
    assert profile.name == "bismo_pynq_z1"
    assert path.name == "s.yaml"


def test_ambient_may_run_from_point_to_point(write: Write) -> None:
    warming = "{kind: piecewise_linear, points: [[0 s, 25 degC], [10 min, 45 degC]]}"
    ambient = load_scenario(write((CONSTANT, warming)))[0].environment.ambient
    assert isinstance(ambient, PiecewiseLinear)
    assert ambient.points == ((0, 25.0), (600 * 10**12, 45.0))


def test_a_scenario_varies_its_profile_and_the_command_line_has_the_last_word(write: Write) -> None:
    path = write(("duration:", "profile_overrides: {thermal.links.1.resistance.value: 12.95 K/W}\nduration:"))
    varied = load_scenario(path)[1].thermal.links[1].resistance_kelvin_per_watt
    assert (varied.value, varied.text) == (12.95, "12.95 K/W")
    assert varied.assumption is not None
    set_again = load_scenario(path, ["profile.thermal.links.1.resistance.value=7 K/W"])[1]
    assert set_again.thermal.links[1].resistance_kelvin_per_watt.value == 7.0


def test_a_profile_is_looked_for_beside_the_scenario(write: Write, tmp_path: Path) -> None:
    text = find("profiles", "bismo_pynq_z1").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("name: bismo_pynq_z1", "name: mine"), encoding="utf-8")
    assert load_scenario(write(("profile: bismo_pynq_z1", "profile: mine.yaml")))[1].name == "mine"


def test_options_of_controllers_can_be_set(write: Write) -> None:
    scenario, _, _ = load_scenario(write(), ["controller.options.gain=0.5", "streams.0.deadline=20 ms", "seed=7"])
    assert scenario.controller.options == {"gain": 0.5}
    assert (scenario.streams[0].deadline_picoseconds, scenario.seed) == (20 * 10**9, 7)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "period: 33",
            "perod: 33",
            "s.yaml:12:32: streams.0.arrivals.perod: unknown key 'perod': did you mean 'period'?",
        ),
        (
            "kind: constant",
            "kind: constnat",
            "s.yaml:14:19: environment.ambient.kind: unknown value 'constnat': did you mean",
        ),
        ("kind: constant, ", "", "s.yaml:14:12: environment.ambient.kind: missing"),
        (
            CONSTANT,
            "25 degC",
            "s.yaml:14:12: environment.ambient: expected a mapping with a key 'kind'; got '25 degC'",
        ),
        (
            "25 degC",
            "25 K",
            "s.yaml:14:42: environment.ambient.temperature: unit 'K' measures something else",
        ),
        ("25 degC", "-300 degC", "s.yaml:14:42: environment.ambient.temperature: -300 degC is out of bounds"),
        ("data: digits", "data: null", "s.yaml:9:11: streams.0.data: no data, but 'outputs: lazy' needs it"),
        ("capacity: 4", "capacity: 0", "s.yaml:5:19: queue.capacity: 0 is out of bounds"),
        (
            "33.333 ms",
            "33 ms, jitter: 40 ms",
            "s.yaml:12:55: streams.0.arrivals.jitter: is longer than the period",
        ),
        (
            "33.333 ms",
            "33 ms, bursts: {first: 1 s, every: 5 s, length: 6 s, period: 5 ms}",
            "s.yaml:12:88: streams.0.arrivals.bursts.length: a burst outlasts 'every'",
        ),
        (
            CONSTANT,
            "{kind: piecewise_linear, points: []}",
            "s.yaml:14:45: environment.ambient.points: must begin at 0 s",
        ),
        (
            CONSTANT,
            "{kind: piecewise_linear, points: [[0 s, 25 degC], [0 s, 30 degC]]}",
            "s.yaml:14:63: environment.ambient.points.1.0: is not later than the point before it",
        ),
        (
            "name: minimal",
            "name: minimal\noutputs: lasy",
            "s.yaml:3:10: outputs: unknown value 'lasy': did you mean 'lazy'?",
        ),
        (
            "profile: bismo_pynq_z1",
            "profile: bismo_pynk",
            "s.yaml:3:10: profile: no packaged profile 'bismo_pynk': did you mean 'bismo_pynq_z1'?",
        ),
        (
            "profile: bismo_pynq_z1",
            "profile: t.yaml",
            "s.yaml:3:10: profile: t.yaml: no such file; did you mean 's.yaml'?",
        ),
        (
            "duration:",
            "profile_overrides:\n  thermal.nodes.juntion.value: 1 J/K\nduration:",
            "s.yaml:5:32: thermal.nodes.juntion: 'juntion' is not in the file (did you mean 'junction'?",
        ),
        (
            "duration:",
            "profile_overrides:\n  thermal.links.1.resistance.value: 13 K/W\nduration:",
            "s.yaml:5:37: thermal.links.1.resistance.value: 13 K/W lies outside of [6.25 K/W, 12.95 K/W]",
        ),
    ],
)
def test_wrong_scenarios_are_explained(write: Write, tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load_scenario(write((old, new)))
    lines = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(message)


def test_a_scenario_without_streams_and_two_streams_of_one_name_are_refused(write: Write) -> None:
    stream = MINIMAL[MINIMAL.index("  - name") : MINIMAL.index("environment")]
    for streams, message in (
        ("streams: []\n", "streams: no streams: a scenario needs one at least"),
        ("streams:\n" + stream * 2, "streams.1.name: 'camera' is another stream's name: give each its own"),
    ):
        with pytest.raises(DocumentError, match=message):
            load_scenario(write(("streams:\n" + stream, streams)))


def test_streams_may_have_controllers_of_their_own_but_not_all_of_them(write: Write) -> None:
    stream = MINIMAL[MINIMAL.index("  - name") : MINIMAL.index("environment")]
    own = stream + "    controller: {name: static, options: {bits: 4}}\n"
    other = stream.replace("name: camera", "name: other", 1)
    scenario, _, _ = load_scenario(write((stream, own + other)))
    assert [controller_of(scenario, at).options.get("bits") for at in (0, 1)] == [4, None]
    with pytest.raises(DocumentError, match="controller: decides nothing, as every stream has its own"):
        load_scenario(write((stream, own)))


def test_no_data_is_needed_where_no_outputs_are_wanted(write: Write) -> None:
    scenario, _, _ = load_scenario(write(("data: digits", "data: null")), ["outputs=none"])
    assert scenario.streams[0].data is None


def test_resolved_holds_what_decides_a_result_and_nothing_else(write: Write) -> None:
    def text(*changes: tuple[str, str], sets: tuple[str, ...] = ()) -> str:
        scenario, profile, _ = load_scenario(write(*changes), sets)
        return json.dumps(resolved(scenario, profile), sort_keys=True, allow_nan=False)

    plain = text()
    assert text(("name: minimal", "name: other\ndescription: words")) == plain
    assert text(("33.333 ms", "33333 us")) == plain
    assert text(sets=("profile.thermal.nodes.board.assumption=other words",)) == plain
    assert text(sets=("seed=1",)) != plain
    assert text(sets=("controller.options.gain=1",)) != plain
    assert text(sets=("profile.thermal.nodes.board.value=31 J/K",)) != plain
    assert text(sets=("profile.energy.dram_device.heats=elsewhere",)) != plain
