"""Draw what each throttling law does over the same course of temperature.

Usage:
    python docs/examples/throttling.py    # writes docs/images/throttling.svg
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwsim.plant.throttling import (
    BangBang,
    BangBangTrip,
    Divider,
    DividerTrip,
    Gains,
    PollPeriods,
    PowerAllocator,
    Reading,
    StepWise,
    StepWiseTrip,
    ThrottlingLaw,
    millicelsius,
)
from hwsim.report.style import BLUE, FAINT, GREEN, INK, ORANGE, VERMILION, save, styled, titled_figure

FIGURE = Path(__file__).parent.parent / "images" / "throttling.svg"
SECOND = 10**12
MILLISECOND = 10**9
MEGAHERTZ = 10**6
CLOCKS = tuple(megahertz * MEGAHERTZ for megahertz in (1000, 900, 800, 700, 600, 500, 400, 300, 250, 125))
POWERS = (4000, 3189, 2491, 1899, 1628, 1356, 1085, 814, 678, 339)
"""4 W at 1000 MHz, assumed; the others by f V^2 with RK3588's voltages of its slow bin, 0.70 V at the lowest."""
COURSE = (
    (0, 60),
    (25, 84),
    (35, 91),
    (45, 96.5),
    (50, 94),
    (58, 88),
    (62, 86.5),
    (70, 83),
    (80, 78.5),
    (95, 66),
    (100, 63),
)
"""Seconds and degrees Celsius: a die that is heated, stays hot for a while and cools."""


def laws() -> dict[str, tuple[ThrottlingLaw, str]]:
    """Return each law with its colour, by what the figure says of it."""
    return {
        "bang_bang\nRK3588: 800 MHz\n85 °C to 80 °C": (
            BangBang(
                trips=(
                    BangBangTrip(
                        temperature_millicelsius=85_000,
                        resume_millicelsius=80_000,
                        frequency_cap_hertz=800 * MEGAHERTZ,
                    ),
                ),
                poll_picoseconds=SECOND,
            ),
            VERMILION,
        ),
        "divider\nEdge TPU: /2 /4 /8\n85, 90, 95 °C": (
            Divider(
                trips=tuple(
                    DividerTrip(temperature_millicelsius=celsius * 1000, divisor=divisor)
                    for celsius, divisor in ((85, 2), (90, 4), (95, 8))
                ),
                fastest_hertz=CLOCKS[0],
                poll_picoseconds=5 * SECOND,
            ),
            ORANGE,
        ),
        "step_wise\none trip, 85 °C\n1 s between polls": (
            StepWise(
                trips=(StepWiseTrip(temperature_millicelsius=85_000, hysteresis_millicelsius=0, lower=0, upper=7),),
                frequencies_hertz=CLOCKS,
                periods=PollPeriods(idle_picoseconds=SECOND, passive_picoseconds=SECOND),
            ),
            GREEN,
        ),
        "power_allocator\nfrom 75 °C, holds 85 °C\n2.1 W, full load": (
            PowerAllocator(
                switch_on_millicelsius=75_000,
                control_millicelsius=85_000,
                sustainable_milliwatts=2100,
                gains=Gains.estimate(2100, 10_000),
                frequencies_hertz=CLOCKS,
                powers_milliwatts=POWERS,
                periods=PollPeriods(idle_picoseconds=SECOND, passive_picoseconds=20 * MILLISECOND),
            ),
            BLUE,
        ),
    }


def temperature(seconds: float) -> float:
    """Return the die's temperature in degrees Celsius."""
    times, celsius = zip(*COURSE, strict=True)
    return float(np.interp(seconds, times, celsius))


def caps(law: ThrottlingLaw) -> tuple[list[float], list[float]]:
    """Return the times (s) of a law's polls and the clocks (MHz) that it allows from then on."""
    now, state = 0, law.init()
    times, clocks = [], []
    cap = CLOCKS[0]
    while now <= COURSE[-1][0] * SECOND:
        reading = Reading(
            millicelsius=millicelsius(temperature(now / SECOND)),
            point=CLOCKS.index(cap),
            busy_picoseconds=SECOND,
            elapsed_picoseconds=SECOND,
        )
        state, verdict = law.poll(reading, state)
        cap = verdict.cap_hertz or CLOCKS[0]
        times.append(now / SECOND)
        clocks.append(cap / MEGAHERTZ)
        now += verdict.next_poll_picoseconds
    return times, clocks


def main(path: Path = FIGURE) -> Path:
    """Write the figure."""
    shown = laws()
    with styled():
        figure = titled_figure(
            "Four laws, one course of temperature",
            "Highest clock that each law allows. The course is given: the clock does not act back on it here.",
            height_inches=6.6,
        )
        grid = figure.add_gridspec(len(shown) + 1, 1, left=0.1, right=0.81, top=0.895, bottom=0.075, hspace=0.28)
        hot = figure.add_subplot(grid[0])
        hot.plot(*zip(*COURSE, strict=True), color=INK, linewidth=1.4)
        for celsius in (75, 80, 85, 90, 95):
            hot.axhline(celsius, color=FAINT, linewidth=0.6, linestyle="--", zorder=0)
        hot.set_yticks((60, 75, 85, 95))
        hot.set_ylabel("die\n(°C)")
        hot.tick_params(labelbottom=False)
        for row, (told, (law, colour)) in enumerate(shown.items(), start=1):
            axes = figure.add_subplot(grid[row], sharex=hot)
            axes.step(*caps(law), where="post", color=colour, linewidth=1.6)
            axes.set_ylim(0, 1080)
            axes.set_yticks((0, 500, 1000))
            axes.set_ylabel("cap\n(MHz)")
            axes.text(1.015, 0.95, told, transform=axes.transAxes, va="top", color=colour, fontsize=8.5)
            axes.tick_params(labelbottom=row == len(shown))
        hot.set_xlim(0, COURSE[-1][0])
        axes.set_xlabel("time (s)")
        return save(figure, path)


if __name__ == "__main__":
    main()
