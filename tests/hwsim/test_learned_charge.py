"""What is foretold of a battery, against the plant's own; and that ids heeds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import pipeline
from hwsim.controllers.base import BatteryView
from hwsim.controllers.learned_charge import ChargeState, LearnedCharge
from hwsim.errors import ConfigurationError
from hwsim.plant.battery import KineticBattery

SECOND = 10**12


@given(
    st.floats(0.1, 0.9), st.floats(1e-4, 1e-2), st.floats(0.0, 6.0), st.floats(1.0, 300.0), st.floats(0.0, 6.0),
    st.floats(1.0, 300.0),
)  # fmt: skip
def test_it_is_the_plants_battery(
    share: float, valve: float, before_watts: float, before_seconds: float, watts: float, seconds: float
) -> None:
    capacity = 1e4
    plant = KineticBattery(
        capacity_joules=capacity, available_share=share, valve_per_second=valve, charging_efficiency=0.9
    )
    charge, _ = plant.advance(plant.at_rest(0.9), np.array([before_seconds]), np.array([before_watts]))
    after, _ = plant.advance(charge, np.array([seconds]), np.array([watts]))
    believed = LearnedCharge(
        BatteryView(
            capacity_joules=capacity, available_share=share, valve_per_second=valve, cut_off=0.05, resting_watts=1.0
        )
    )
    state = believed.after(ChargeState(), picoseconds=round(before_seconds * SECOND), watts=before_watts)
    fall, _ = believed.forecast(state, seconds=seconds, watts=np.array([watts])).moments()
    gauge = charge.joules / capacity
    assert gauge - fall[0] == pytest.approx(after.available_joules / (share * capacity), abs=1e-6)


def test_a_battery_that_is_to_last_bars_what_would_empty_it(tmp_path: Path) -> None:
    sets = ["duration=122 s"]
    told = pipeline.plan("brown_out", controller="ids:charged_at_seconds=122:energy_weight=0", sets=sets)
    untold = pipeline.plan("brown_out", controller="ids:energy_weight=0", sets=sets)
    lasts, empties = (
        pipeline.run(planned, tmp_path / name, figures=False) for name, planned in (("told", told), ("untold", untold))
    )
    assert lasts["battery_empty_seconds"] == 0
    assert lasts["deadline_miss_rate"] < 0.01
    assert empties["battery_empty_seconds"] > 0
    assert empties["deadline_miss_rate"] > 0.1
    # It knows nothing of the sun, and still takes more than the fewest bits while there is charge to spare.
    assert 2.02 < lasts["mean_weight_bits"] < empties["mean_weight_bits"]


def test_on_the_mains_there_is_nothing_to_charge() -> None:
    with pytest.raises(ConfigurationError, match="no battery to charge"):
        pipeline.plan("thermal_throttle", controller="ids:charged_at_seconds=60")
