"""Who carries out work: everything once, whatever dies on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwsim.errors import ConfigurationError, ExecutorError
from hwsim.sweeps.executors import Executor, build_executor


def squared(number: int) -> int:
    return number * number


def refusing(number: int) -> int:
    raise ConfigurationError(f"not {number}")


def dying_once(flag: Path) -> str:
    """End the whole process, but not when called again."""
    if flag.exists():
        return flag.name
    flag.touch()
    os._exit(1)


def dying(_: int) -> int:
    os._exit(1)


@pytest.fixture(params=["serial", "processes"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with build_executor(request.param, 2) as chosen:
        yield chosen


def test_every_item_has_its_result_and_the_pool_is_there_for_more(executor: Executor) -> None:
    assert dict(executor.map(squared, [3, 1, 2])) == {0: 9, 1: 1, 2: 4}
    assert dict(executor.map(squared, [])) == {}
    assert dict(executor.map(squared, [5])) == {0: 25}


def test_an_error_ends_the_whole(executor: Executor) -> None:
    with pytest.raises(ConfigurationError, match="not 7"):
        list(executor.map(refusing, [7]))


def test_work_of_a_process_that_died_is_begun_anew(tmp_path: Path) -> None:
    flags = [tmp_path / name for name in "ab"]
    with build_executor("processes", 2) as executor:
        assert dict(executor.map(dying_once, flags)) == {0: "a", 1: "b"}


def test_processes_that_die_again_and_again_end_it() -> None:
    with build_executor("processes", 2) as executor, pytest.raises(ExecutorError, match="give fewer --jobs"):
        list(executor.map(dying, [1]))


def test_an_unknown_executor_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no executor 'proceses': did you mean 'processes'"):
        build_executor("proceses", 2)
