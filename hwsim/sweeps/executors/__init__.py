"""Who carries out the runs of a sweep: in this process, in several, or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from bitmixer.errors import did_you_mean
from hwsim.errors import ConfigurationError
from hwsim.sweeps.executors.base import Executor
from hwsim.sweeps.executors.processes import ProcessExecutor
from hwsim.sweeps.executors.ray import RayExecutor
from hwsim.sweeps.executors.serial import SerialExecutor

__all__ = ["EXECUTORS", "Executor", "build_executor", "usable_cores"]

EXECUTORS: Mapping[str, Callable[[int], Executor]] = {
    "serial": lambda jobs: SerialExecutor(),
    "processes": lambda jobs: ProcessExecutor(jobs) if jobs > 1 else SerialExecutor(),
    "ray": RayExecutor,
}
"""Name -> what makes one of so many processes."""


def build_executor(name: str, jobs: int) -> Executor:
    """Return the executor of this name.

    Raises:
        ConfigurationError: There is none.
    """
    if name not in EXECUTORS:
        raise ConfigurationError(f"no executor {name!r}: {did_you_mean(name, EXECUTORS)}")
    return EXECUTORS[name](jobs)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
