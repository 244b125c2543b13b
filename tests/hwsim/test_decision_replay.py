"""Observations on record, asked again: the same decisions, or the first that differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hwsim import pipeline
from hwsim.controllers.base import Decision
from hwsim.decision_replay import replay_decisions
from hwsim.errors import ConfigurationError, RecordsError
from hwsim.records.observations import FILE, read_observations
from hwsim.simulation.control import ControlLoop

SETS = ("outputs=none",)


class Odd:
    """Draws widths before each frame; raises at the tenth question where it is told to."""

    wakes_on = frozenset({"frame"})
    tick_picoseconds = 0
    needs_outputs = False

    def __init__(self, fails: bool = False, shift: int = 0) -> None:
        self.fails = fails
        self.shift = shift

    def init(self, device: Any, network: Any) -> tuple[Decision, int]:
        self.graph = network.graph
        return Decision(widths=self.graph.uniform(8), reason="start"), 0

    def decide(self, observation: Any, state: int, generator: Any) -> tuple[Decision, int]:
        if self.fails and state == 9:
            raise RuntimeError("tenth")
        bits = self.graph.uniform_bits
        return Decision(
            widths=self.graph.uniform(bits[(int(generator.integers(len(bits))) + self.shift) % len(bits)]),
            reason=f"{len(observation.queued_deadlines_picoseconds)} wait",
        ), state + 1


def run(scenario: str, folder: Path, controller: str, *sets: str) -> Path:
    planned = pipeline.plan(scenario, controller=controller, sets=[*SETS, *sets])
    pipeline.run(planned, folder, figures=False)
    return folder


@pytest.mark.parametrize("controller", ["static", "hysteresis", "thompson", "pid"])
def test_every_decision_holds(controller: str, bursty: str, tmp_path: Path) -> None:
    folder = run(bursty, tmp_path / "run", controller)
    result = replay_decisions(folder)
    rows = pq.read_table(folder / FILE)
    assert result.differing == ()
    assert result.failed_picoseconds == {}
    assert result.asked == len(rows)
    assert result.decided == len(rows) - rows["decision"].null_count >= 1


def test_observations_are_those_that_the_controller_saw(
    bursty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    original = ControlLoop._tell_answer

    def tell(self: Any, observation: Any, decision: Any, **options: Any) -> None:
        seen.append(observation)
        original(self, observation, decision, **options)

    monkeypatch.setattr(ControlLoop, "_tell_answer", tell)
    folder = run(bursty, tmp_path / "run", "thompson")
    stream = pipeline.plan(bursty).streams[0].stream.name
    assert [asked.observation for asked in read_observations(folder, stream)] == seen
    assert any(each and each.finished for each in seen)


def test_the_first_decision_that_differs_is_named(bursty: str, tmp_path: Path) -> None:
    folder = run(bursty, tmp_path / "run", "thompson")
    table = pq.read_table(folder / FILE).to_pylist()
    at = next(place for place, row in enumerate(table) if place > 5 and row["decision"])
    decision = json.loads(table[at]["decision"])
    table[at]["decision"] = json.dumps({**decision, "reason": "another"})
    pq.write_table(pa.Table.from_pylist(table, schema=pq.read_schema(folder / FILE)), folder / FILE)
    (differing,) = replay_decisions(folder).differing
    assert differing.time_picoseconds == table[at]["time_picoseconds"]
    assert "recorded: another" in differing.told


def test_another_controller_decides_otherwise(bursty: str, tmp_path: Path) -> None:
    folder = run(bursty, tmp_path / "run", "hysteresis")
    (differing,) = replay_decisions(folder, controller="static:bits=2").differing
    assert differing.time_picoseconds == 0
    assert "widths of" in differing.told


def test_a_class_is_only_run_where_it_is_named_again(bursty: str, tmp_path: Path) -> None:
    name = f"{__name__}:Odd"
    folder = run(bursty, tmp_path / "run", name)
    with pytest.raises(ConfigurationError, match="name it again: --controller"):
        replay_decisions(folder)
    assert replay_decisions(folder, controller=name).differing == ()
    assert replay_decisions(folder, controller=f"{name}:shift=1").differing != ()


def test_where_the_controller_failed_the_replay_ends(bursty: str, tmp_path: Path) -> None:
    name = f"{__name__}:Odd:fails=true"
    folder = run(bursty, tmp_path / "run", name, "controller.safe={bits: 2}")
    result = replay_decisions(folder, controller=name)
    assert (result.asked, result.differing) == (10, ())
    (time,) = result.failed_picoseconds.values()
    assert time == pq.read_table(folder / FILE)["time_picoseconds"][10].as_py()


def test_a_folder_without_observations_says_so(bursty: str, tmp_path: Path) -> None:
    folder = run(bursty, tmp_path / "run", "static")
    (folder / FILE).unlink()
    with pytest.raises(RecordsError, match="observations"):
        replay_decisions(folder)
    (folder / FILE).write_bytes(b"PAR1")
    with pytest.raises(RecordsError, match="damaged"):
        replay_decisions(folder)
