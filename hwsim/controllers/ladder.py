"""A ladder of widths, from the most bits to the fewest, as rule-based controllers climb it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import StrictInt

from bitmixer.bitwidths import BitAssignment
from hwsim.controllers.base import NetworkView
from hwsim.errors import ConfigurationError

Widths = Mapping[str, tuple[StrictInt, StrictInt]]
"""Site -> [weight bits, activation bits], of every site."""


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


def named_rungs(network: NetworkView, rungs: Sequence[int | Widths] | None) -> list[tuple[str, BitAssignment]]:
    """Return the rungs with their names: uniform ones with the most bits first, with mixed ones as given.

    Raises:
        ConfigurationError: The network cannot run at a uniform width.
        BitmixerError: A mixed one has other sites than the network, or widths that it does not allow.
    """
    uniform = [rung for rung in rungs or () if isinstance(rung, int)]
    chosen = checked_rungs(network, uniform or None)
    ordered = chosen if len(uniform) == len(rungs or ()) else rungs or ()
    return [
        (f"{rung} bit", network.graph.uniform(rung))
        if isinstance(rung, int)
        else (f"rung {place}", BitAssignment.from_dict(rung).checked(network.graph.layers))
        for place, rung in enumerate(ordered, start=1)
    ]
