"""CPU time of one decision of each controller, against the 200 microseconds of a control loop that nobody notices.

    python benchmarks/decisions.py

Every controller decides on the same observations (``hwsim.testing``), of the device and network of thermal_throttle, on
one thread, from the start and in the same order several times. A decision's time is the least of the thread's own time
over these, so that what else the computer does counts little. Printed are the median and the ninth decile over
decisions, in microseconds, and the share of the budget that the ninth decile takes.
"""

from __future__ import annotations

import time

import numpy as np

from hwsim.controllers import CONTROLLERS, build_controller
from hwsim.testing import observations, views

BUDGET_MICROSECONDS = 200.0
COUNT = 2000
REPEATS = 5


def main() -> None:
    print(f"{'controller':16s} {'median':>8s} {'9 in 10':>8s} {'of 200 us':>10s}")
    for name in CONTROLLERS:
        least = np.min([decision_microseconds(name) for _ in range(REPEATS)], axis=0)
        if len(least):
            median, most = np.percentile(least, (50, 90))
            print(f"{name:16s} {median:8.1f} {most:8.1f} {most / BUDGET_MICROSECONDS:10.2f}")


def decision_microseconds(name: str) -> list[float]:
    """Return what each of the same decisions takes the thread."""
    device, network = views("thermal_throttle")
    controller = build_controller(name, {})
    _, state = controller.init(device, network)
    generator, taken = np.random.default_rng(0), []
    for seen in observations(device, network, controller.wakes_on, count=COUNT, seed=1):
        began = time.thread_time_ns()
        _, state = controller.decide(seen, state, generator)
        taken.append((time.thread_time_ns() - began) / 1000)
    return taken


if __name__ == "__main__":
    main()
