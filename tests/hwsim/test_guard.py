"""A controller that raises, hangs or wants the impossible is named, and the records up to then are kept."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.controllers.base import Observation
from hwsim.controllers.guard import REAL_TIME_FACTOR, Guard
from hwsim.errors import ControllerError
from hwsim.records.store import RunFolder

MODULE = '''
import math
import time
from hwsim.controllers.base import Decision

class Rule:
    """Behaves for two seconds."""

    wakes_on = frozenset({"tick"})
    tick_picoseconds = 100_000_000_000
    needs_outputs = False

    def __init__(self, fault="none", bits=8):
        self.fault, self.bits = fault, bits

    def init(self, device, network):
        if self.fault == "init":
            raise KeyError("no such sensor")
        self.graph = network.graph
        return Decision(widths=network.graph.uniform(self.bits), reason="start"), 0

    def decide(self, observation, state, generator):
        site = self.graph.layers[1].name
        if observation.time_picoseconds >= 2 * 10**12:
            if self.fault == "raises":
                return 1 / 0
            if self.fault == "hangs":
                while True:
                    pass
            if self.fault == "nan":
                return Decision(widths={site: (math.nan, 4)}, reason=""), state
            if self.fault == "clock":
                return Decision(widths={}, frequency_hertz=math.nan, reason=""), state
            if self.fault == "nothing":
                return None
        return None, state + 1
'''
RAISING_LINE = MODULE[: MODULE.index("return 1 / 0")].count("\n") + 1
FAULTS = {
    "raises": f"raised ZeroDivisionError: division by zero (faulty_rules.py:{RAISING_LINE})",
    "hangs": "gave no answer within 0.5 s of its own time, or 5 s of real time",
    "nan": "cannot run at (nan, 4); it allows",
    "clock": "requests NaN Hz; expected a whole number above 0",
    "nothing": "returned None; expected (Decision or None, state)",
}


@pytest.fixture
def rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A user's module with a controller."""
    (tmp_path / "faulty_rules.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "faulty_rules:Rule"
    sys.modules.pop("faulty_rules", None)


SHORT = ("--set", "duration=4 s", "--set", "controller.answer_limit=500 ms")


@pytest.mark.parametrize("fault", FAULTS)
def test_what_it_does_wrong_ends_the_run_under_its_name_and_records_are_kept(
    hwsim: Callable[..., Any], bursty: str, rule: str, fault: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    ended = hwsim("run", bursty, "--out", out, "--controller", f"{rule}:fault={fault}", *SHORT)
    ended.refused("controller Rule", FAULTS[fault], code=3)
    summary = json.loads((out / "summary.json").read_text())
    assert FAULTS[fault] in summary["failed"]
    assert summary["frames_completed"] > 0
    frames = RunFolder(out).table("frames", ["finish_picoseconds"]).column(0).to_pylist()
    assert 0 < max(frames) <= 2 * 10**12


@pytest.mark.parametrize("fault", [*FAULTS, "init"])
def test_safe_widths_take_its_place(
    hwsim: Callable[..., Any], bursty: str, rule: str, fault: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    safe = ("--set", "controller.safe={bits: 2}")
    ended = hwsim("run", bursty, "--out", out, "--controller", f"{rule}:fault={fault}", *SHORT, *safe)
    assert ended.code == 0, ended.err
    summary = json.loads((out / "summary.json").read_text())
    assert len(summary["controller_failures"]) == 1
    assert "failed" not in summary
    decisions = RunFolder(out).table("decisions", ["reason", "assignment"]).to_pylist()
    assert decisions[-1]["reason"].startswith("safe widths: controller Rule")
    inner = {tuple(pair) for pair in json.loads(decisions[-1]["assignment"]).values()} - {(8, 8)}
    assert inner == {(2, 2)}


def test_safe_widths_are_checked_like_any_other(hwsim: Callable[..., Any], bursty: str) -> None:
    hwsim("run", bursty, "--set", "controller.safe={bits: 3}").refused("controller.safe", "cannot run at 3 bits")
    hwsim("run", bursty, "--set", "controller.safe={bit: 2}").refused("unknown option 'bit': did you mean 'bits'")


def test_a_class_is_named_on_the_command_line_alone(hwsim: Callable[..., Any], bursty: str, rule: str) -> None:
    hwsim("run", bursty, "--set", f"controller.name='{rule}'").refused("is a class: give it with --controller")


@pytest.mark.parametrize(
    ("controller", "messages"),
    [
        ("faulty_rules:Rul", ["no 'Rul' in faulty_rules: did you mean 'Rule'"]),
        ("faulty_rule:Rule", ["module faulty_rule cannot be imported"]),
        ("faulty_rules:Rule:fautl=raises", ["unknown option 'fautl': did you mean 'fault'"]),
    ],
)
def test_wrong_names_of_classes_are_explained(
    hwsim: Callable[..., Any], bursty: str, rule: str, controller: str, messages: list[str]
) -> None:
    hwsim("run", bursty, "--controller", controller).refused(*messages)


def test_what_is_no_controller_says_what_it_lacks(hwsim: Callable[..., Any], bursty: str) -> None:
    hwsim("run", bursty, "--controller", "collections:OrderedDict").refused("has no wakes_on", code=3)


LIMIT_SECONDS = 0.1


class _Slow:
    """Thinks in a loop or sleeps, and catches what can be caught."""

    wakes_on = frozenset[Any]()
    tick_picoseconds = 0
    needs_outputs = False

    def __init__(self, *, thinks_seconds: float = 0.0, sleeps_seconds: float = 0.0) -> None:
        self._thinks_seconds, self._sleeps_seconds = thinks_seconds, sleeps_seconds

    def init(self, device: Any, network: Any) -> Any:
        raise NotImplementedError

    def decide(self, observation: Observation, state: None, generator: np.random.Generator) -> tuple[None, None]:
        try:
            self._idle_away()
        except Exception:  # what cuts it off is none
            self._idle_away()
        return None, None

    def _idle_away(self) -> None:
        until = time.thread_time() + self._thinks_seconds
        while time.thread_time() < until:
            pass
        time.sleep(self._sleeps_seconds)


def asked(controller: _Slow, small_plan: Any) -> tuple[Any, Any]:
    observation = Observation(
        time_picoseconds=0, wake="tick", die_celsius=None, die_age_picoseconds=None, frequency_hertz=1,
        throttle_cap_hertz=1, queued_deadlines_picoseconds=(), frame=None, frame_deadline_picoseconds=None,
        first_uncommitted=0, wanted=(), confidences=(),
    )  # fmt: skip
    graph = small_plan.streams[0].checkpoint.graph
    guard = Guard(controller, limit_seconds=LIMIT_SECONDS)
    return guard.decide(observation, None, np.random.default_rng(0), graph)


OVERDUE = r"controller _Slow: decide at .* no answer within 0.1 s of its own time, or 1 s of real time"


def test_one_that_thinks_too_long_is_cut_off_by_the_time_of_its_thread(small_plan: Any) -> None:
    began = time.thread_time()
    with pytest.raises(ControllerError, match=OVERDUE):
        asked(_Slow(thinks_seconds=30.0), small_plan)
    assert LIMIT_SECONDS <= time.thread_time() - began < 10 * LIMIT_SECONDS


def test_one_that_sleeps_is_cut_off_by_real_time(small_plan: Any) -> None:
    began = time.perf_counter()
    with pytest.raises(ControllerError, match=OVERDUE):
        asked(_Slow(sleeps_seconds=30.0), small_plan)
    assert time.perf_counter() - began >= REAL_TIME_FACTOR * LIMIT_SECONDS


def test_one_that_waits_for_a_core_is_not_blamed(small_plan: Any) -> None:
    assert asked(_Slow(thinks_seconds=LIMIT_SECONDS / 4, sleeps_seconds=3 * LIMIT_SECONDS), small_plan) == (None, None)


def test_where_it_cannot_be_cut_off_a_late_answer_is_refused(small_plan: Any) -> None:
    with ThreadPoolExecutor(1) as another_thread, pytest.raises(ControllerError, match=OVERDUE):
        another_thread.submit(asked, _Slow(thinks_seconds=2 * LIMIT_SECONDS), small_plan).result()
