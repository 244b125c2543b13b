"""The whole of ``scenarios/battery_day.yaml``, at 8 and at 2 bits: processor time, and that its day is as it says.

Usage: python benchmarks/battery_day.py. Prints one line for each; imports are not in the time.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from hwsim import pipeline

MOST_EXECUTIONS, MOST_SECONDS = 5_000_000, 90.0


def main() -> None:
    for controller in ("static", "static:bits=2"):
        planned = pipeline.plan("battery_day", controller=controller)
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            summary = pipeline.run(planned, Path(folder), figures=False)
            seconds = time.process_time() - began
        executions = summary["frames_completed"] * len(planned.streams[0].checkpoint.graph.layers)
        life = summary["battery_life_seconds"]
        print(
            f"{controller}: {executions} layer executions in a day of {summary['simulated_seconds']:.0f} s: "
            f"{seconds:.1f} s of processor time; {100 * summary['deadline_miss_rate']:.1f} % of frames lost, "
            f"{'never empty' if life is None else f'empty after {life / 3600:.1f} h'}, "
            f"asleep {100 * summary['resting_seconds'] / summary['simulated_seconds']:.1f} % of the time"
        )
        assert executions < MOST_EXECUTIONS
        assert seconds < MOST_SECONDS
        assert (life is None) == (controller != "static")


if __name__ == "__main__":
    main()
