"""A ladder of uniform widths, from the most bits to the fewest, as rule-based controllers climb it."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.controllers.base import NetworkView
from hwsim.errors import ConfigurationError


def checked_rungs(network: NetworkView, rungs: Sequence[int] | None) -> tuple[int, ...]:
    """Return the rungs, most bits first; all of the network's uniform widths if none are given.

    Raises:
        ConfigurationError: The network cannot run at one of them.
    """
    possible = network.graph.uniform_bits
    chosen = tuple(sorted(set(possible if rungs is None else rungs), reverse=True))
    for bits in chosen:
        if bits not in possible:
            raise ConfigurationError(
                f"controller: network {network.graph.network} cannot run at {bits} bits; "
                f"its layers allow {', '.join(map(str, possible))}"
            )
    return chosen
