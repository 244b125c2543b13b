"""One after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from hwsim.sweeps.executors.base import Item, Result


class SerialExecutor:
    """Carries out work in this process."""

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Yield the position of each item with its result."""
        for position, item in enumerate(items):
            yield position, function(item)

    def __enter__(self) -> Self:
        """There is nothing to get ready."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to end."""
