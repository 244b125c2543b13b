"""Frames that come over a network, whose link is down at times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hwsim.plant.sensor_faults import Failure


def over_link(times: Iterable[int], outages: Iterable[Failure]) -> Iterator[int]:
    """Yield when frames arrive that are sent at ``times``: those sent while the link is down, as it comes up.

    They wait at the link in their order, however many; the link itself takes no time.

    Args:
        times: When frames are sent, in picoseconds, in order.
        outages: When the link is down, in order, up for a while between them; none lasts for ever.
    """
    remaining = iter(outages)
    outage = next(remaining, None)
    for time in times:
        while outage is not None and outage.end <= time:
            outage = next(remaining, None)
        yield time if outage is None or time < outage.start else outage.end
