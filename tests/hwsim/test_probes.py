"""Probes: a finished frame runs again in idle time, paid for, and the controller learns how far the answers agree."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from bitmixer.data import load_labels
from hwsim import outputs, pipeline
from hwsim.controllers.base import Decision, Observation, Probe
from hwsim.errors import ControllerError
from hwsim.outputs import Answers, LoadedNetwork
from hwsim.records.store import RunFolder
from hwsim.replay import replay

MODULE = '''
from hwsim.controllers.base import Decision, Probe

SEEN = []

class Curious:
    """Runs at two bits, and probes after each tick."""

    wakes_on = frozenset({"tick"})
    tick_picoseconds = 200_000_000_000
    needs_outputs = False
    probes = True

    def __init__(self, probing=True):
        self.probing = probing

    def init(self, device, network):
        return Decision(widths=network.graph.uniform(2), reason="start"), None

    def decide(self, observation, state, generator):
        SEEN.extend(observation.probes)
        probe = Probe() if self.probing else None
        return Decision(widths={}, reason="probe", probe=probe), state
'''


@pytest.fixture
def curious(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "curious_rules.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import curious_rules  # type: ignore[import-not-found]

    yield curious_rules
    sys.modules.pop("curious_rules", None)


def run(scenario: str, folder: Path, controller: str) -> dict[str, Any]:
    sets = ["outputs=lazy", "duration=5 s"]
    return pipeline.run(pipeline.plan(scenario, controller=controller, sets=sets), folder, figures=False)


def test_a_probe_is_paid_for_and_tells_how_far_both_runs_agree(curious: Any, bursty: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    summary = run(bursty, out, "curious_rules:Curious")
    without = run(bursty, tmp_path / "without", "curious_rules:Curious:probing=false")
    assert summary["probes"] > 5
    assert summary["energy_joules"] > without["energy_joules"]
    assert summary["probe_energy_joules"] > 0 == without["probe_energy_joules"]
    assert summary["mean_weight_bits"] == without["mean_weight_bits"], "probes are no frame's bits"

    records = RunFolder(out)
    layers = records.table("layers")
    probes = layers.filter(pc.equal(layers["purpose"], "probe"))
    assert set(probes["attempt"].to_pylist()) == {1}
    assert pc.sum(probes["energy_joules"]).as_py() == pytest.approx(summary["probe_energy_joules"])
    assert set(probes["weight_bits"].to_pylist()) == {8}
    assert set(records.table("frames")["final_attempt"].to_pylist()) == {0}

    planned = pipeline.plan(bursty, sets=["outputs=lazy"]).streams[0]
    assert planned.stream.data is not None
    loaded = LoadedNetwork(planned.checkpoint, planned.stream.data)
    inputs = dict(zip(*(records.table("frames")[name].to_pylist() for name in ("frame", "input_indices")), strict=True))
    assert len(curious.SEEN) > 5
    for told in curious.SEEN:
        two, eight = (
            loaded.predict([tuple(widths) for widths in planned.checkpoint.graph.uniform(bits).values()],
                           np.array(inputs[told.frame]))
            for bits in (2, 8)
        )  # fmt: skip
        assert (told.inputs, told.agreeing) == (len(two), int((two == eight).sum()))
    assert replay(out).differing == ()


def test_frames_do_not_wait_for_probes_longer_than_a_layer(
    simulate: Callable[..., Any], scripted: Any, small_plan: Any
) -> None:
    def always(observation: Observation, generator: Any) -> Decision:
        return Decision(widths={}, reason="probe", probe=Probe())

    def latencies(probing: bool) -> list[int]:
        controller = scripted(script=always if probing else lambda observation, generator: None)
        controller.wakes_on, controller.probes = frozenset({"tick"}), True
        log = simulate(controller)
        return [frame.finish_picoseconds - frame.arrival_picoseconds for frame in log.frames]

    costs = small_plan.streams[0].costs
    longest = int(costs.total_cycles[0].max()) / costs.frequencies_hertz[0] * 1e12
    for with_probes, without in zip(latencies(True), latencies(False), strict=True):
        assert with_probes <= without + longest + 1


def test_a_controller_that_does_not_declare_probes_gets_none(simulate: Callable[..., Any], scripted: Any) -> None:
    probing = scripted(script=lambda observation, generator: Decision(widths={}, reason="", probe=Probe()))
    with pytest.raises(ControllerError, match="does not declare probes = True"):
        simulate(probing)


def test_probes_need_outputs(curious: Any, hwsim: Callable[..., Any], bursty: str) -> None:
    asked = hwsim("run", bursty, "--controller", "curious_rules:Curious", "--set", "outputs=none")
    asked.refused("compares outputs by probes, but the scenario says outputs: none")


def test_no_decision_follows_from_labels(
    curious: Any, bursty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(bursty, tmp_path / "true", "curious_rules:Curious")
    told, curious.SEEN[:] = list(curious.SEEN), []
    monkeypatch.setattr(outputs, "load_labels", lambda data: (load_labels(data) + 3) % 10)
    garbled = run(bursty, tmp_path / "garbled", "curious_rules:Curious")
    assert garbled["accuracy"] < 0.5
    assert told == curious.SEEN
    tables = [RunFolder(tmp_path / name).table("decisions") for name in ("true", "garbled")]
    assert tables[0].equals(tables[1])


def test_answers_are_computed_once(bursty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = pipeline.plan(bursty, sets=["outputs=lazy"]).streams[0]
    assert planned.stream.data is not None
    loaded = LoadedNetwork(planned.checkpoint, planned.stream.data)
    widths = tuple(tuple(each) for each in planned.checkpoint.graph.uniform(4).values())
    answers = Answers(loaded, None)
    first = answers.of(widths, [3, 5, 3])  # type: ignore[arg-type]
    monkeypatch.setattr(loaded, "predict", lambda *_: pytest.fail("computed again"))
    assert answers.of(widths, [5, 3]).tolist() == first.tolist()[1:]  # type: ignore[arg-type]
