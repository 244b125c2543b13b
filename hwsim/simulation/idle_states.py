"""Rests the device while it has nothing to do, and wakes it when work comes.

The rule is one of timeouts, as that of Linux' runtime power management (``autosuspend_delay_ms``): the device enters a
state once it has been idle for the state's minimum residency, and so goes from state to state down the ladder. If the
minimum residency is where a state's saving has paid for its transitions, this never spends more than twice what a
device would that knows when work comes (Irani, Shukla & Gupta, "Online strategies for dynamic power management in
systems with multiple power-saving states", ACM TECS 2, 2003: the lower envelope). With a minimum residency of 0 it is a
race to sleep.

An entry that has begun is finished before the device wakes. Sensors, gauge and controllers are served by what is always
on: they do not wake it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import simpy

from hwsim.device import IdleState, TransitionCost
from hwsim.plant.plant import Plant
from hwsim.simulation.activity import AWAKE, Activity
from hwsim.simulation.events import IdleStateSampled

Process = Generator[simpy.Event, Any, None]
Sums = tuple[tuple[int, int, int], ...]
"""Of each state since the start: picoseconds in it, entries, exits."""


class IdleStates:
    """How deep the device rests.

    Args:
        environment: The simulation's time.
        states: From shallow to deep; there may be none.
        activity: Told how deep the device rests.
        plant: Draws the energies of entries and exits.

    Attributes:
        entries: Times that each state was entered.
        exits: Times that the device woke from each.
    """

    def __init__(
        self, environment: simpy.Environment, states: Sequence[IdleState], activity: Activity, plant: Plant
    ) -> None:
        self._environment = environment
        self._states = states
        self._activity = activity
        self._plant = plant
        self._level = AWAKE
        self._entered = 0
        self._rests = 0
        self._rested_since: int | None = None
        self._is_on = True
        self._before: tuple[int, Sums] = (0, ((0, 0, 0),) * len(states))
        self.entries = [0] * len(states)
        self.exits = [0] * len(states)

    def rest(self) -> None:
        """There is nothing to do from now on."""
        self._rested_since = int(self._environment.now)
        self._rests += 1
        if self._states and self._is_on:
            self._environment.process(self._descend(self._rests, self._rested_since))

    def wake(self) -> Process:
        """Come back to work, which takes the time of leaving the state that the device is in."""
        self._rested_since = None
        self._rests += 1
        rests = self._rests
        if self._entered > self._environment.now:
            yield self._environment.timeout(self._entered - int(self._environment.now))
        if self._level == AWAKE or rests != self._rests:
            return
        state = self._states[self._level - 1]
        self.exits[self._level - 1] += 1
        self._go(AWAKE)
        self._spend(state.exit)
        if state.exit.time_picoseconds:
            yield self._environment.timeout(state.exit.time_picoseconds)

    def sample(self) -> tuple[IdleStateSampled, ...]:
        """Return what became of each state since the sample before; the plant must stand at now."""
        now = int(self._environment.now)
        sums = tuple(zip(self._activity.level_picoseconds[1:], self.entries, self.exits, strict=True))
        (before, sums_before), self._before = self._before, (now, sums)
        elapsed = max(now - before, 1)
        return tuple(
            IdleStateSampled((rested - rested_before) / elapsed, entries - entries_before, exits - exits_before)
            for (rested, entries, exits), (rested_before, entries_before, exits_before) in zip(
                sums, sums_before, strict=True
            )
        )

    def power_off(self) -> None:
        """The device goes off, and rests in no state."""
        self._is_on = False
        self._rests += 1
        self._entered = 0
        self._go(AWAKE)

    def power_on(self) -> None:
        """The device takes frames again, and is awake."""
        self._is_on = True
        if self._rested_since is not None:
            self.rest()

    def _descend(self, rests: int, since: int) -> Process:
        """Enter one state after the other, until the device is woken or goes off."""
        environment = self._environment
        for level, state in enumerate(self._states, start=1):
            due = since + state.min_residency_picoseconds
            if due > environment.now:
                yield environment.timeout(due - int(environment.now))
            if rests != self._rests:
                return
            self.entries[level - 1] += 1
            self._spend(state.entry)
            self._entered = int(environment.now) + state.entry.time_picoseconds
            if state.entry.time_picoseconds:
                yield environment.timeout(state.entry.time_picoseconds)
            if self._entered != environment.now:  # it went off amid the entry
                return
            self._go(level)
            if rests != self._rests:
                return

    def _go(self, level: int) -> None:
        self._level = level
        self._activity.rest(level, int(self._environment.now))

    def _spend(self, cost: TransitionCost) -> None:
        if cost.energy_joules:
            self._activity.settle(int(self._environment.now))
            self._plant.record_energy(cost.column, cost.energy_joules)
