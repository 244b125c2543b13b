"""Who carries out many independent pieces of work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Carries out work, within a ``with`` that ends what it has started.

    A function and its items are pickled. What it raises ends the whole; a process that dies does not: its work is
    begun anew.
    """

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Yield the position of each item with its result, in the order in which they end.

        Raises:
            ExecutorError: Processes die again and again.
        """
        ...

    def __enter__(self) -> Self:
        """Get ready."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all that was started; an error leaves what has not begun undone."""
        ...
