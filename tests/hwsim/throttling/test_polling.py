"""The process that polls: when it looks, what it sees, and a device that is held by the kernel's laws."""

from __future__ import annotations

from typing import Any

import pytest

from hwsim.plant.throttling import (
    BangBang,
    Gains,
    Mark,
    PollPeriods,
    PowerAllocator,
    Reading,
    StepWise,
    StepWiseTrip,
    Verdict,
)
from hwsim.simulation.arrivals import PeriodicArrivals

MICROSECOND = 10**6
SECOND = 10**12


class Watching:
    """A law that looks twice after 30 us each, then every 20 us, and caps the clock from its third look on."""

    marks: tuple[Mark, ...] = ()

    def __init__(self) -> None:
        self.seen: list[tuple[int, Reading]] = []

    def init(self) -> int:
        return 0

    def poll(self, reading: Reading, state: int) -> tuple[int, Verdict]:
        self.seen.append((state, reading))
        cap = 100_000_000 if state >= 2 else None
        return state + 1, Verdict(cap_hertz=cap, next_poll_picoseconds=(30 if state < 2 else 20) * MICROSECOND)


def test_it_looks_as_often_as_the_law_asks_and_sees_how_busy_the_array_was(simulate: Any, scripted: Any) -> None:
    law = Watching()
    log = simulate(scripted(wakes_on=frozenset()), device_changes={"throttling": law})
    assert [state for state, _ in law.seen] == list(range(len(law.seen)))
    readings = [reading for _, reading in law.seen]
    assert [reading.elapsed_picoseconds // MICROSECOND for reading in readings[:5]] == [0, 30, 30, 20, 20]
    assert {reading.millicelsius for reading in readings} == {30_000}
    first = log.frames[0]
    assert readings[0].load == 1
    assert readings[1].busy_picoseconds == first.finish_picoseconds < 30 * MICROSECOND
    assert readings[2].busy_picoseconds == 0
    assert [reading.point for reading in readings[:4]] == [0, 0, 0, 2]
    # Frame 1 is amid its work at the poll of 120 us: what it did until then is seen.
    times = [sum(reading.elapsed_picoseconds for reading in readings[: at + 1]) for at in range(len(readings))]
    amid = readings[times.index(120 * MICROSECOND)]
    assert amid.busy_picoseconds == 20 * MICROSECOND
    assert amid.load == 1024


PERIODS = PollPeriods(idle_picoseconds=SECOND, passive_picoseconds=SECOND // 10)
CLOCKS = (200_000_000, 125_000_000, 100_000_000, 62_500_000, 50_000_000, 25_000_000)
STEP_WISE = StepWise(
    trips=(StepWiseTrip(temperature_millicelsius=40_000, hysteresis_millicelsius=0, lower=0, upper=5),),
    frequencies_hertz=CLOCKS,
    periods=PERIODS,
)
POWER_ALLOCATOR = PowerAllocator(
    switch_on_millicelsius=38_000, control_millicelsius=40_000, sustainable_milliwatts=600,
    gains=Gains.estimate(600, 2000), frequencies_hertz=CLOCKS, powers_milliwatts=(2458, 1536, 1229, 768, 614, 307),
    periods=PERIODS,
)  # fmt: skip


NEVER = BangBang(trips=(), poll_picoseconds=SECOND)


@pytest.mark.parametrize("law", [STEP_WISE, POWER_ALLOCATOR])
def test_the_kernel_s_laws_hold_a_busy_device(simulate: Any, scripted: Any, law: Any) -> None:
    """Frames come for 30 s, almost as many as 200 MHz can do: without a law the die gets hotter than 43 C."""

    def temperatures_and_caps(law: Any) -> tuple[float, set[int]]:
        log = simulate(
            scripted(wakes_on=frozenset()),
            inputs_per_frame=5000,
            arrivals=PeriodicArrivals(period=SECOND // 12),
            duration_picoseconds=30 * SECOND,
            deadline_picoseconds=SECOND,
            telemetry_picoseconds=SECOND // 10,
            device_changes={"throttling": law},
        )
        return max(row.node_celsius[0] for row in log.telemetry), {row.throttle_cap_hertz for row in log.telemetry}

    hottest, caps = temperatures_and_caps(law)
    assert 39.0 < hottest < 42.0
    assert len(caps) >= 3
    assert caps <= set(CLOCKS)
    assert temperatures_and_caps(NEVER)[0] > 43.0
