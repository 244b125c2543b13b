"""The part of a device profile about its idle states: what it switches off while it has nothing to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from bitmixer.documents.section import Problem, Section, Text
from bitmixer.errors import did_you_mean
from hwsim.config.quantity import Fraction, Joules, Picoseconds, Quantity, Watts

Powers = Mapping[Text, Quantity[Watts]]


class IdleTransition(Section):
    """The way into an idle state, or out of it.

    Attributes:
        latency_picoseconds: How long it takes.
        energy_joules: What it takes beyond what the device draws anyway.
    """

    latency_picoseconds: Quantity[Picoseconds]
    energy_joules: Quantity[Joules]


class IdleState(Section):
    """What a device draws in one idle state, and what it costs to be in it; in the words of Linux' device tree.

    Attributes:
        power: Entries of the profile's ``power`` that draw less in it, and what they draw; the others go on.
        leakage_share: Part of the leakage that is left.
        min_residency_picoseconds: Idle time from which on it pays. The device enters once it was idle for so long.
        entry: The way in; until its end the device draws what it drew before.
        exit: The way out; from its beginning on the device draws what it draws awake.
        heats: Where the energies of entry and exit go.
    """

    power: Powers
    leakage_share: Quantity[Fraction]
    min_residency_picoseconds: Quantity[Picoseconds]
    entry: IdleTransition
    exit: IdleTransition
    heats: Text


def idle_state_problems(states: Mapping[str, IdleState], awake: Powers) -> Iterator[Problem]:
    """Yield states that are not in order from shallow to deep, and powers that do not exist or are no saving.

    Args:
        states: In the order of the profile.
        awake: What the device always draws outside of them.
    """
    for name, state in states.items():
        for power, watts in state.power.items():
            place = ("power", power)
            if power not in awake:
                yield Problem((name, *place), f"unknown power {power!r}: {did_you_mean(power, awake)}", about_key=True)
            elif watts.value > awake[power].value:
                yield Problem((name, *place, "value"), f"is more than the {awake[power].text} awake: lower it")
    for (before, shallow), (name, deep) in pairwise(states.items()):
        if deep.min_residency_picoseconds.value < shallow.min_residency_picoseconds.value:
            sentence = (
                f"is shorter than that of {before!r}, which is entered first: sort the states from shallow to deep"
            )
            yield Problem((name, "min_residency", "value"), sentence)
        for power, watts in shallow.power.items():
            drawn = deep.power.get(power, awake.get(power))
            if drawn is not None and drawn.value > watts.value:
                sentence = (
                    f"{power} draws {drawn.text} in it, but {watts.text} in {before!r}: deeper states draw no more"
                )
                yield Problem((name, "power"), sentence)
        if deep.leakage_share.value > shallow.leakage_share.value:
            yield Problem((name, "leakage_share", "value"), f"is above that of {before!r}: deeper states leak no more")
