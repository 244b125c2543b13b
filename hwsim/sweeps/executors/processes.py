"""Side by side, in processes of this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from hwsim.errors import ExecutorError
from hwsim.sweeps.executors.base import Item, Result

FRESH_POOLS = 3
"""Times that a pool is made anew without any work done in between."""


class ProcessExecutor:
    """Carries out work in processes, each with one thread.

    Args:
        jobs: How many.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool = self._fresh_pool()

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Yield the position of each item with its result; where a process dies, what it left is begun anew."""
        left, chances = set(range(len(items))), FRESH_POOLS
        while left:
            try:
                pending = {self._pool.submit(function, items[position]): position for position in sorted(left)}
                for position, result in _as_they_end(pending):
                    left.remove(position)
                    chances = FRESH_POOLS
                    yield position, result
            except BrokenProcessPool:
                self._pool.shutdown(wait=False, cancel_futures=True)
                if not chances:
                    raise ExecutorError(
                        f"processes died {FRESH_POOLS + 1} times without ending a run, as they do where memory is "
                        "short: give fewer --jobs; what is finished is kept"
                    ) from None
                chances -= 1
                self._pool = self._fresh_pool()

    def __enter__(self) -> Self:
        """The processes start with the first piece of work."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes; after an error at once, in the middle of their work."""
        processes = list((self._pool._processes or {}).values())  # ``terminate_workers`` is public from Python 3.14 on
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:
            for process in processes:
                process.terminate()

    def _fresh_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._jobs, mp_context=get_context("spawn"), initializer=_begin)


def _as_they_end(pending: dict[Future[Result], int]) -> Iterator[tuple[int, Result]]:
    waiting = set(pending)
    while waiting:
        ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in ended:
            yield pending[future], future.result()


def _begin() -> None:
    """Set a process up: one thread for numerical libraries, and interruptions from the keyboard are its parent's."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
