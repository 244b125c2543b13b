"""The story that ``scenarios/thermal_throttle.yaml`` tells in its head, on the shipped network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitmixer.bitwidths import BitAssignment
from hwsim import pipeline
from hwsim.outputs import LoadedNetwork


@pytest.fixture(scope="module")
def loaded() -> LoadedNetwork:
    planned = pipeline.plan("thermal_throttle")
    data = planned.scenario.streams[0].data
    assert data is not None
    return LoadedNetwork(planned.streams[0].checkpoint, data)


@pytest.fixture(scope="module")
def right(loaded: LoadedNetwork, one_thread: None) -> dict[int, np.ndarray[Any, Any]]:
    everything = np.arange(len(loaded.labels))

    def hits(bits: int) -> np.ndarray[Any, Any]:
        assignment = loaded.graph.uniform(bits)
        return loaded.predict([assignment[layer.name] for layer in loaded.graph.layers], everything) == loaded.labels

    return {bits: hits(bits) for bits in loaded.graph.uniform_bits}


def summary(folder: Path, controller: str) -> dict[str, Any]:
    return pipeline.run(
        pipeline.plan("thermal_throttle", controller=controller, sets=["outputs=none"]), folder, figures=False
    )


def test_the_lowest_width_errs_more_than_chance_explains(right: dict[int, np.ndarray[Any, Any]]) -> None:
    lost = right[max(right)].astype(float) - right[min(right)]
    assert lost.mean() >= 0.03
    assert lost.mean() >= 3 * lost.std() / len(lost) ** 0.5


def test_mixed_assignments_are_as_accurate_as_the_mean_of_the_uniform_ones(
    loaded: LoadedNetwork, right: dict[int, np.ndarray[Any, Any]]
) -> None:
    generator = np.random.default_rng(0)
    some = np.arange(0, len(loaded.labels), 3)
    accuracies = []
    for _ in range(10):
        assignment = BitAssignment.random(loaded.graph.layers, generator)
        widths = [assignment[layer.name] for layer in loaded.graph.layers]
        accuracies.append((loaded.predict(widths, some) == loaded.labels[some]).mean())
    uniform = np.mean([hits[some].mean() for hits in right.values()])
    assert np.mean(accuracies) >= uniform - 0.015


def test_at_8_bits_it_throttles_and_misses_and_with_hysteresis_it_does_not(tmp_path: Path) -> None:
    static, adaptive = summary(tmp_path / "static", "static"), summary(tmp_path / "hysteresis", "hysteresis")
    assert static["throttled_seconds"] > 60
    assert static["deadline_miss_rate"] > 0.2
    assert adaptive["deadline_miss_rate"] < 0.01
    assert adaptive["mean_weight_bits"] > 5
    assert adaptive["mid_frame_switches"] > 10


def test_at_2_bits_it_stays_cool(tmp_path: Path) -> None:
    lowest = summary(tmp_path / "lowest", "static:bits=2")
    assert lowest["throttled_seconds"] == 0
    assert lowest["deadline_miss_rate"] == 0
    assert lowest["peak_die_temperature_celsius"] < 75
