"""What the accelerator is doing now, told to the plant piece by piece."""

from __future__ import annotations

from hwsim.plant.plant import Plant

IDLE = 0
"""Plant row of an idle accelerator."""
AWAKE = 0
"""Level at which it does not rest."""


class Activity:
    """Follows one piece of work at a time, so that the plant can be brought up to date amid it.

    Attributes:
        busy_picoseconds: For how long the array has worked.
        level_picoseconds: For how long it has rested at each level; at level 0 it is awake, at work or not.
    """

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._row = IDLE
        self._level = AWAKE
        self._start = self._end = self._told = 0
        self._share = self._spent = 0.0
        self.busy_picoseconds = 0
        self.level_picoseconds = [0] * len(plant.parameters.draws)

    def busy_until(self, now: int) -> int:
        """Return for how long the array has worked up to now, whether or not the plant has been told."""
        return self.busy_picoseconds + (0 if self._row == IDLE else now - self._told)

    def begin(self, row: int, now: int, duration: int, share: float) -> None:
        """Begin to execute a row of the plant; ``share`` of its energy is spent evenly."""
        self.settle(now)
        self._row, self._start, self._end = row, now, now + duration
        self._share, self._spent = share, 0.0

    def stop(self, now: int) -> float:
        """Go idle, and return the share of the row's energy that was spent."""
        self.settle(now)
        self._row = IDLE
        return self._spent

    def rest(self, level: int, now: int) -> None:
        """Rest this deep from now on, or be awake."""
        self.settle(now)
        self._level = level

    def settle(self, now: int) -> None:
        """Tell the plant what was done up to now."""
        elapsed = now - self._told
        if elapsed == 0:
            return
        if self._row == IDLE:
            self._plant.record(IDLE, elapsed, level=self._level)
            self.level_picoseconds[self._level] += elapsed
        else:
            whole = now == self._end
            share = self._share - self._spent if whole else self._share * (elapsed / (self._end - self._start))
            self._plant.record(self._row, elapsed, share)
            self._spent += share
            self.busy_picoseconds += elapsed
        self._told = now
