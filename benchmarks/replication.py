"""CPU time of one replication of thermal_throttle, part by part, without figures.

    python benchmarks/replication.py [--controller static] [--duration '600 s']

A comparison of 17 rules over 20 seeds is 340 of these. Predictions are on disk after the first run. Parts within the
simulation are told apart from the rest of it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from hwsim import metrics, pipeline
from hwsim.controllers.guard import Guard
from hwsim.records.recorder import Recorder
from hwsim.simulation.simulator import Simulator

PARTS: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("simulation", Simulator, ("run",)),
    ("  its controller", Guard, ("decide",)),
    ("  records of layers and questions", Recorder, ("_flush", "controller_asked")),
    ("tables written", Recorder, ("write_frames",)),
    ("ledgers", pipeline, ("close_ledgers",)),
    ("layer statistics", pipeline, ("layer_statistics",)),
    ("summary", metrics, ("summarise_streams",)),
    ("predictions", pipeline._Execution, ("predict",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--controller", default="static")
    parser.add_argument("--duration", default="600 s")
    asked = parser.parse_args()
    spent: dict[str, float] = defaultdict(float)
    for part, owner, names in PARTS:
        for name in names:
            setattr(owner, name, _timed(getattr(owner, name), part, spent))
    planned = pipeline.plan("thermal_throttle", controller=asked.controller, sets=[f"duration={asked.duration}"])
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        pipeline.run(planned, Path(folder) / "run", figures=False)
        print(f"{'whole run':36s} {time.process_time() - began:7.2f} s")
    for part, _, _ in PARTS:
        print(f"{part:36s} {spent[part]:7.2f} s")


def _timed(function: Any, part: str, spent: dict[str, float]) -> Any:
    def timed(*args: Any, **options: Any) -> Any:
        began = time.process_time()
        try:
            return function(*args, **options)
        finally:
            spent[part] += time.process_time() - began

    return timed


if __name__ == "__main__":
    main()
