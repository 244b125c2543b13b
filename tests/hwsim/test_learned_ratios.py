"""What is believed of a device that is off from its cost table."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.controllers.learned_ratios import FRAME_DEVIATION, OWN_DEVIATION, SHARED_DEVIATION, LearnedRatios

RUNGS = 3


def test_before_anything_is_seen_it_is_the_table_more_or_less() -> None:
    start = LearnedRatios(RUNGS).start()
    assert start.means == pytest.approx([1.0] * RUNGS)
    apart = np.sqrt(SHARED_DEVIATION**2 + OWN_DEVIATION**2 + FRAME_DEVIATION**2)
    assert start.deviations == pytest.approx([apart] * RUNGS)


def test_it_finds_each_rungs_ratio_and_knows_how_sure_it_is() -> None:
    truth, luck = np.array([1.0, 1.15, 1.3]), np.random.default_rng(1)
    learned = LearnedRatios(RUNGS)
    believed = learned.start()
    for frame in range(300):
        rung = frame % RUNGS
        believed = learned.after(believed, rung, luck.normal(truth[rung], FRAME_DEVIATION))
    assert believed.means == pytest.approx(truth, abs=0.02)
    assert np.all(believed.deviations < 1.02 * FRAME_DEVIATION)


def test_what_one_rung_takes_tells_something_of_the_others() -> None:
    learned = LearnedRatios(RUNGS)
    believed = learned.start()
    for _ in range(50):
        believed = learned.after(believed, 0, 1.2)
    seen, unseen = believed.means[0], believed.means[1]
    # Both parts are equally uncertain before, so half of what is seen is taken for shared.
    assert seen == pytest.approx(1.2, abs=0.002)
    assert unseen == pytest.approx(1.1, abs=0.002)
    assert believed.deviations[1] > 3 * believed.deviations[0]


def test_a_device_that_changes_is_followed() -> None:
    learned = LearnedRatios(RUNGS)
    believed = learned.start()
    for ratio in [1.0] * 1000 + [1.4] * 3000:
        believed = learned.after(believed, 1, ratio)
    assert believed.means[1] == pytest.approx(1.4, abs=0.03)
