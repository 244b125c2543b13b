"""Reruns: a frame's answer is held, and the frame runs again at more bits where the controller is unsure of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from hwsim import pipeline
from hwsim.controllers.base import Decision, Observation
from hwsim.errors import ControllerError
from hwsim.records.store import RunFolder
from hwsim.replay import replay


def run(scenario: str, folder: Path, controller: str, *sets: str) -> dict[str, Any]:
    planned = pipeline.plan(scenario, controller=controller, sets=["outputs=lazy", "duration=4 s", *sets])
    return pipeline.run(planned, folder, figures=False)


def test_unsure_frames_run_again_at_the_most_bits_and_answer_from_there(bursty: str, tmp_path: Path) -> None:
    few = run(bursty, tmp_path / "few", "static:bits=2")
    gated = run(bursty, tmp_path / "gated", "confidence_gated:threshold=0.97", "streams.0.deadline=1 s")
    records = RunFolder(tmp_path / "gated")
    frames = records.table("frames")
    attempts = np.array(frames["final_attempt"].to_pylist())
    assert 0 < attempts.mean() < 1, "some frames are sure, and some are not"
    layers = records.table("layers")
    again = layers.filter(pc.equal(layers["purpose"], "rerun"))
    assert set(again["attempt"].to_pylist()) == {1}
    assert set(again["weight_bits"].to_pylist()) == {8}
    assert set(again["frame"].to_pylist()) == set(np.array(frames["frame"])[attempts == 1].tolist())
    assert gated["energy_joules"] > few["energy_joules"]
    assert replay(tmp_path / "gated").differing == (), "each answer is that of its final attempt's bits"


def test_where_it_is_always_sure_it_only_takes_the_time_to_decide(bursty: str, tmp_path: Path) -> None:
    few = run(bursty, tmp_path / "few", "static:bits=2")
    gated = run(bursty, tmp_path / "gated", "confidence_gated:threshold=0")
    assert gated["probes"] == 0
    assert gated["accuracy"] == few["accuracy"]
    decision = pipeline.plan(bursty).device.decision.time_picoseconds / 1e12
    assert gated["latency_p50_seconds"] == pytest.approx(few["latency_p50_seconds"] + decision, abs=1e-6)


def test_a_rerun_that_would_be_late_is_not_begun(bursty: str, tmp_path: Path) -> None:
    gated = run(bursty, tmp_path / "gated", "confidence_gated:threshold=1", "streams.0.deadline=1 ms")
    assert gated["frames_completed"] > 0
    assert set(RunFolder(tmp_path / "gated").table("frames")["final_attempt"].to_pylist()) == {0}


def test_only_a_held_answer_can_be_asked_for_again(simulate: Callable[..., Any], scripted: Any) -> None:
    def again(observation: Observation, generator: Any) -> Decision:
        return Decision(widths={}, rerun={}, reason="")

    with pytest.raises(ControllerError, match="asks for a rerun at a wake 'frame'; expected 'finish'"):
        simulate(scripted(script=again, wakes_on=frozenset({"frame"})))
