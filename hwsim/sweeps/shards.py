"""A part of the runs, for batch systems that start many commands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from hwsim.errors import ConfigurationError

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Shard:
    """Every ``count``-th item, beginning with the ``number``-th (from 1)."""

    number: int
    count: int

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Return the items of this part."""
        return list(items[self.number - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Read ``2/8``.

    Raises:
        ConfigurationError: Not of that form, or there is no such part.
    """
    match = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", text.strip())
    if match is None or int(match[1]) > int(match[2]):
        raise ConfigurationError(f"--shard {text}: expected I/N, for example 2/8: the second of eight parts")
    return Shard(int(match[1]), int(match[2]))
