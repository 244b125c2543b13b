"""The operations that can be written: what tells one -> function that appends it to the file under construction."""

from __future__ import annotations

from collections.abc import Callable

from torch import fx

from bitmixer import operations
from bitmixer.interchange.writers.elementwise import elementwise
from bitmixer.interchange.writers.export import Export
from bitmixer.interchange.writers.plain import concatenation, join, pool, response_norm, softmax
from bitmixer.interchange.writers.quantised import norm, site, stored
from bitmixer.interchange.writers.reshaping import reshape

WRITERS: tuple[tuple[Callable[[fx.Node], bool], Callable[[Export, fx.Node], str]], ...] = (
    (operations.is_site, site),
    (operations.is_norm, norm),
    (operations.is_stored, stored),
    (operations.is_join, join),
    (operations.is_concatenation, concatenation),
    (operations.is_elementwise, elementwise),
    (operations.is_softmax, softmax),
    (operations.is_response_norm, response_norm),
    (operations.is_reshape, reshape),
    (operations.is_average, pool),
    (operations.is_maximum, pool),
)

__all__ = ["WRITERS", "Export"]
