"""What is believed of a device that is off from its cost table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.controllers.information_directed.linear_model import LinearModel
from hwsim.controllers.learned_ratios import (
    FRAME_VARIANCE,
    MEMORY,
    OWN_VARIANCE,
    SHARED_VARIANCE,
    no_ratios,
    with_frame,
)

RUNGS = 3


@given(st.lists(st.tuples(st.integers(0, RUNGS - 1), st.floats(0.5, 2.0)), max_size=30))
def test_it_is_the_posterior_of_the_linear_model(seen: list[tuple[int, float]]) -> None:
    features = np.hstack([np.ones((RUNGS, 1)), np.eye(RUNGS)])
    model = LinearModel(
        mean=np.array([1.0, 0.0, 0.0, 0.0]),
        deviations=np.sqrt([SHARED_VARIANCE, *[OWN_VARIANCE] * RUNGS]),
        noise_deviation=FRAME_VARIANCE**0.5, memory=MEMORY,
    )  # fmt: skip
    believed, sums = no_ratios(2, RUNGS), model.start()
    for rung, ratio in seen:
        believed = with_frame(believed, rung, (ratio, 1.0))
        sums = model.learn(model.forget(sums), features[rung], ratio)
    means, deviations = model.predict(sums, features)
    assert believed.means[0] == pytest.approx(means, rel=1e-9)
    assert believed.means[1] == pytest.approx([1.0] * RUNGS)
    assert believed.deviations == pytest.approx(np.hypot(deviations, FRAME_VARIANCE**0.5), rel=1e-9)


def test_it_finds_each_rungs_ratio_and_knows_how_sure_it_is() -> None:
    truth, luck = np.array([1.0, 1.15, 1.3]), np.random.default_rng(1)
    believed = no_ratios(1, RUNGS)
    for frame in range(300):
        rung = frame % RUNGS
        believed = with_frame(believed, rung, (luck.normal(truth[rung], FRAME_VARIANCE**0.5),))
    assert believed.means[0] == pytest.approx(truth, abs=0.02)
    assert np.all(believed.deviations < 1.02 * FRAME_VARIANCE**0.5)


def test_what_one_rung_takes_tells_something_of_the_others() -> None:
    believed = no_ratios(1, RUNGS)
    for _ in range(50):
        believed = with_frame(believed, 0, (1.2,))
    # Both parts are equally uncertain before, so half of what is seen is taken for shared.
    assert believed.means[0] == pytest.approx([1.2, 1.1, 1.1], abs=0.002)
    assert believed.deviations[1] > 3 * believed.deviations[0]


def test_a_device_that_changes_is_followed() -> None:
    believed = no_ratios(1, RUNGS)
    for ratio in [1.0] * 1000 + [1.4] * 3000:
        believed = with_frame(believed, 1, (ratio,))
    assert believed.means[0, 1] == pytest.approx(1.4, abs=0.03)
