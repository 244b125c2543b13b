"""One hour of 30 frames/s through a ResNet-18 geometry: wall time, peak memory, and that torch stays out.

Usage: python benchmarks/long_run.py. Prints one line; imports are not in the time.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from hwsim import pipeline


def main() -> None:
    planned = pipeline.plan(str(Path(__file__).with_suffix(".yaml")))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        summary = pipeline.run(planned, Path(folder), figures=False)
        seconds = time.perf_counter() - began
    executions = summary["frames_completed"] * len(planned.streams[0].checkpoint.graph.layers)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{executions} layer executions, {summary['decisions']} decisions: {seconds:.1f} s "
        f"({1e6 * seconds / executions:.1f} us each), peak memory {megabytes:.0f} MB, "
        f"torch {'loaded' if 'torch' in sys.modules else 'not loaded'}"
    )


if __name__ == "__main__":
    main()
