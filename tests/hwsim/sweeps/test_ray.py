"""A sweep on a Ray cluster of several nodes, of which processes and a node are lost on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from hwsim.errors import ConfigurationError, ExecutorError
from hwsim.sweeps import sweep as sweeping
from hwsim.sweeps.executors import build_executor
from hwsim.sweeps.reading import read_sweep
from hwsim.sweeps.sweep import run_sweep
from hwsim.sweeps.tasks import Outcome, Task, attempt

ray = pytest.importorskip("ray", reason="Ray is not installed: extra scale")
pytestmark = pytest.mark.cluster
TABLES = ("sweep.csv", "sweep.parquet", "sweep.json")


def dying_at_first(task: Task) -> Outcome:
    """End the process, as the kernel ends one, when records of the run lie open; not when begun anew."""
    from hwsim.simulation.simulator import Simulator

    flag = task.parent.parent / f"died-{crc32(repr(task.sets).encode())}"
    if not flag.exists():
        flag.parent.mkdir(exist_ok=True)
        flag.touch()
        Simulator.run = lambda *_: os._exit(9)  # type: ignore[method-assign]
    return attempt(task)


def refusing(number: int) -> int:
    raise ConfigurationError(f"not {number}")


def dying(number: int) -> int:
    os._exit(number)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        started.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", started.address)
        yield started
        ray.shutdown()
        started.shutdown()


def test_lost_processes_and_a_lost_node_lose_nothing(
    cluster: Any, swept: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = read_sweep(swept())
    run_sweep(plan, build_executor("serial", 1), folder=tmp_path / "alone")
    monkeypatch.setattr(sweeping, "attempt", dying_at_first)
    lost = [cluster.add_node(num_cpus=1)]

    def lose_a_node(stage: str, share: float) -> None:
        if share > 0 and lost:
            cluster.remove_node(lost.pop())

    executor = build_executor("ray", 2)
    assert len([node for node in ray.nodes() if node["Alive"]]) == 3
    result = run_sweep(plan, executor, folder=tmp_path / "together", progress=lose_a_node)
    assert len(cluster.list_all_nodes()) == 2
    assert (result.missing, result.failed, lost) == (0, (), [])
    assert len(list((tmp_path / "together").glob("died-*"))) == 4
    for name in TABLES:
        assert (tmp_path / "together" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_an_error_ends_the_whole_as_it_was_raised(cluster: Any) -> None:
    with build_executor("ray", 2) as executor, pytest.raises(ConfigurationError, match=r"^not 7$"):
        list(executor.map(refusing, [7]))


def test_what_dies_again_and_again_is_given_up(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwsim.sweeps.executors.ray.RETRIES", 1)
    with build_executor("ray", 2) as executor, pytest.raises(ExecutorError, match="gave a run up after 1 retries"):
        list(executor.map(dying, [1]))
