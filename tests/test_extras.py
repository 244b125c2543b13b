"""What the core does without any extra: everything but what an extra is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXTRAS = (
    "amaranth", "gymnasium", "numba", "onnx", "onnxruntime", "optuna", "polars", "pooch", "qonnx", "ray",
    "stable_baselines3", "tensorboard", "torch_geometric",
)  # fmt: skip
RUN = f"""
import sys
sys.modules.update(dict.fromkeys({EXTRAS!r}))  # importing one of them now fails
from hwsim.__main__ import main
sys.argv[1:] = ["run", "thermal_throttle", "--set", "duration=1 s", "--quiet", "--out", sys.argv[1]]
main()
"""


def test_a_scenario_runs_without_any_extra(tmp_path: Path) -> None:
    cache, root = tmp_path / "cache", Path(__file__).parent.parent  # nothing is cached: the network computes
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        env={"HWSIM_CACHE": str(cache), "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
