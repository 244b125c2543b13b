"""On the machines of a Ray cluster, which see one file system (extra ``scale``)."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from hwsim.errors import ConfigurationError, ExecutorError
from hwsim.sweeps.executors.base import Item, Result

RETRIES = 5
"""Times that work is begun anew whose process or machine died."""
IN_FLIGHT = 1000
"""Most pieces of work that Ray knows of at a time."""
PASSED_ON = ("BITMIXER_DATA", "HWSIM_CACHE")
"""Settings of this process that the others need."""


class RayExecutor:
    """Carries out work on the cluster that this process has or ``RAY_ADDRESS`` names; else on one of its own.

    Args:
        jobs: Processes of one of its own.

    Raises:
        ConfigurationError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, jobs: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise ConfigurationError(
                "--executor ray: Ray is not installed: pip install 'bitmixer-hwsim[scale]'"
            ) from None
        self._ray: Any = ray
        self._is_own = not ray.is_initialized()
        self._pending: dict[Any, int] = {}
        if self._is_own:
            settings: dict[str, Any] = (
                {} if "RAY_ADDRESS" in os.environ else {"num_cpus": jobs, "include_dashboard": False}
            )
            try:
                ray.init(log_to_driver=False, logging_level=logging.WARNING, **settings)
            except (ConnectionError, ValueError) as error:
                raise ConfigurationError(f"--executor ray: no cluster at RAY_ADDRESS: {error}") from None

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Yield the position of each item with its result; Ray begins anew what a lost process or machine was at."""
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        remote = self._ray.remote(num_cpus=1, max_retries=RETRIES, runtime_env={"env_vars": environment})(function)
        waiting = iter(enumerate(items))
        while True:
            for position, item in itertools.islice(waiting, IN_FLIGHT - len(self._pending)):
                self._pending[remote.remote(item)] = position
            if not self._pending:
                return
            ended, _ = self._ray.wait(list(self._pending))
            for reference in ended:
                yield self._pending.pop(reference), self._result(reference)

    def __enter__(self) -> Self:
        """The connection is there since it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up what is not done, and disconnect."""
        for reference in self._pending:
            self._ray.cancel(reference)
        self._pending.clear()
        if self._is_own:
            self._ray.shutdown()

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            reason = str(error).splitlines()[0]
            raise ExecutorError(
                f"Ray gave a run up after {RETRIES} retries: {reason}; what is finished is kept"
            ) from None
