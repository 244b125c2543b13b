"""CPU time of one decision of each controller, against the 200 microseconds of a control loop that nobody notices.

    python benchmarks/decisions.py

Every controller decides on the same observations (``hwsim.testing``), of the device and network of thermal_throttle, on
one thread; printed are the median and the ninth decile of the thread's own time, in microseconds, and the share of the
budget that the ninth decile takes. Where other work shares a core's caches, they come out higher.
"""

from __future__ import annotations

import time

import numpy as np

from hwsim.controllers import CONTROLLERS, build_controller
from hwsim.testing import observations, views

BUDGET_MICROSECONDS = 200.0
COUNT = 2000


def main() -> None:
    device, network = views("thermal_throttle")
    print(f"{'controller':16s} {'median':>8s} {'9 in 10':>8s} {'of 200 us':>10s}")
    for name in CONTROLLERS:
        controller = build_controller(name, {})
        _, state = controller.init(device, network)
        generator, taken = np.random.default_rng(0), []
        for seen in observations(device, network, controller.wakes_on, count=COUNT, seed=1):
            began = time.thread_time_ns()
            _, state = controller.decide(seen, state, generator)
            taken.append((time.thread_time_ns() - began) / 1000)
        if taken:
            median, most = np.percentile(taken, (50, 90))
            print(f"{name:16s} {median:8.1f} {most:8.1f} {most / BUDGET_MICROSECONDS:10.2f}")


if __name__ == "__main__":
    main()
