"""Bounds on what a run could have been worth, against choices that are tried out one by one."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim import pipeline
from hwsim.attainable import Machine
from hwsim.controllers.actions import LadderOptions
from hwsim.errors import RecordsError
from hwsim.regret import Worths, worths

UNLIMITED = Machine(
    rung=np.arange(3), seconds=np.array([4.0, 2.0, 1.0]), joules=np.zeros((3, 1)), saved=np.zeros(3), block_seconds=1e3,
    heat=None,
)  # fmt: skip


def some(rungs: Any, *, available: float = 1e9, data: Any = None, realised: Any = None) -> Worths:
    rungs = np.asarray(rungs, dtype=float)
    count = len(rungs)
    return Worths(
        stream="camera", arrivals_seconds=np.arange(count, dtype=float), rungs=rungs,
        realised=np.zeros(count) if realised is None else np.asarray(realised),
        data=np.zeros(count, dtype=np.intp) if data is None else np.asarray(data),
        seconds=np.array([4.0, 2.0, 1.0]), available_seconds=available,
        deadlines_seconds=np.arange(count) + 10.0, machine=UNLIMITED,
    )  # fmt: skip


def test_who_is_informed_knows_data_and_not_luck() -> None:
    rungs = [[0.9, 0.5, 0.1], [0.7, 0.9, 0.1], [0.1, 0.2, 0.8], [0.3, 0.1, 0.2]]
    found = some(rungs, data=[0, 0, 1, 1], realised=[0.5, 0.5, 0.5, 0.1])
    assert found.best_rung.tolist() == [0.9, 0.7, 0.1, 0.3]
    assert found.informed.tolist() == [0.9, 0.7, 0.8, 0.2]
    assert found.clairvoyant == pytest.approx(np.mean([0.9, 0.9, 0.8, 0.3]))
    assert found.regret.tolist() == pytest.approx([0.4, 0.6, 0.9, 1.0])
    assert found.informed_on_device == pytest.approx(found.informed.mean())
    assert found.clairvoyant_on_device == pytest.approx(found.clairvoyant)
    assert found.shortfall == pytest.approx(1.0 / 4)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(5, 20))
def test_no_choice_within_the_arrays_time_is_worth_more_and_one_comes_near(seed: int, available: int) -> None:
    rungs = np.random.default_rng(seed).random((5, 3))
    found = some(rungs, available=float(available))
    seconds = np.array([4.0, 2.0, 1.0])
    best = max(
        rungs[range(5), choice].sum()
        for choice in map(list, itertools.product(range(3), repeat=5))
        if seconds[choice].sum() <= available
    )
    assert best <= 5 * found.clairvoyant * (1 + 1e-6) + 1e-9
    assert 5 * found.clairvoyant <= best + np.ptp(rungs, axis=1).max() + 1e-6


def test_a_run_is_compared_with_every_rung_on_its_own_inputs(bursty: str, tmp_path: Path) -> None:
    sets = ["outputs=lazy", "duration=2 s"]
    for bits, rung in ((8, 0), (4, 1), (2, 2)):
        folder = tmp_path / str(bits)
        summary = pipeline.run(
            pipeline.plan(bursty, controller=f"static:bits={bits}", sets=sets), folder, figures=False
        )
        (found,) = worths(folder, energy_weight=0.0)
        assert found.realised.mean() == pytest.approx(summary["correct_on_time_rate"])
        ran = found.realised > 0
        np.testing.assert_allclose(found.realised[ran], found.rungs[ran, rung])
        assert found.realised.mean() <= found.clairvoyant
        assert found.informed.mean() == found.best_rung.mean() <= found.clairvoyant
        assert found.realised.mean() <= found.clairvoyant_on_device <= found.rungs.max(axis=1).mean() + 1e-9


def test_without_outputs_nothing_is_known(bursty: str, tmp_path: Path) -> None:
    pipeline.run(pipeline.plan(bursty, sets=["outputs=none"]), tmp_path / "run", figures=False)
    with pytest.raises(RecordsError, match="has no outputs"):
        worths(tmp_path / "run")


def test_the_ladder_that_could_have_been_chosen_may_have_mixed_rungs(bursty: str, tmp_path: Path) -> None:
    pipeline.run(pipeline.plan(bursty, controller="static", sets=["outputs=lazy"]), tmp_path / "run", figures=False)
    (found,) = worths(tmp_path / "run", energy_weight=0.1, ladder=LadderOptions(rungs=(8, 2), steps=2))
    assert found.rungs.shape[1] == 4
    ran = found.realised > 0
    np.testing.assert_allclose(found.realised[ran], found.rungs[ran, 0], atol=0.02)
