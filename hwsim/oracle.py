"""What frames can be worth at most on a device that throttles itself: a mixed-integer linear program bounds it.

Time is cut into blocks. A frame belongs to the block in which its deadline lies; whoever decides, knowing all that is
to come, runs it in one of M *modes* (a rung at a clock) or not at all. Frames that are alike are counted, not named.
The program keeps of the device only what any decision must respect, so its optimum is a bound from above:

- *Time.* Work on time with deadlines in blocks i to j is done between their beginning less the longest allowed time D
  and their end, so it takes (j - i + 1) blocks + D at the most. As a backlog: q(j) = max(q(j-1), 0) + work(j) - block
  <= D.
- *Deadlines.* One frame takes D at the most. Where the clock changes in its middle it is part of one mode and part of
  another, so that holds for the mean over the clocks of a rung.
- *Heat.* The sensor's node is warmer than without any work (which it is at least: powers are never negative and leakage
  grows with temperature) by the response to the energy of those frames. Its response to a joule in node k is
  r(t) = sum_j c_jk exp(-lambda_j t), and the joule's age at the end of block h + m lies between m blocks and
  m + 1 blocks + D. So r is at least the sum over the modes with c_jk > 0 at the highest age, less that over those with
  c_jk < 0 at the lowest. For heat in the sensor's node all c are positive, and only the age is rounded.
- *Throttle.* A block is *free* of a trip, or the device is capped by it throughout, but for a grace in which the trip
  is noticed if the block before was free. It is not free only if the node is, by the bound above, warmer at its
  beginning than the trip by a margin for the sensor's noise; it cannot cool to the temperature at which the trip ends
  before the block does (blocks are so short).

Counts may be fractions, and the solver's own bound is returned where it stops before it has proved an optimum; both
only raise it. What is left out (the order of frames within a block, what switching and deciding cost, leakage that work
brings about, how far a capped device must cool, a queue's capacity) would only lower it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from hwsim.errors import InvariantError

FloatArray = NDArray[np.float64]
RELATIVE_GAP = 1e-3
"""The solver stops when it has proved its bound to be within this of an optimum."""
NODE_LIMIT = 200
"""Or after so many nodes of its search tree: not a time, so that the same input has the same bound."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trip:
    """A temperature from which the device caps its clock.

    Attributes:
        celsius: At the beginning of a block above this, the margin for the sensor included, it is capped.
        slower: [M] whether a mode's clock is allowed under the cap.
    """

    celsius: float
    slower: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Heat:
    """How the sensor's node warms. B blocks, J modes of the thermal network, N nodes.

    Attributes:
        resting_celsius: [B] at the beginning of each block, without any work.
        hottest_celsius: [B] the highest that work can bring about until then.
        rates_per_second: [J].
        responses_kelvin_per_joule: [J, N] the c of the module's text.
        trips: From cool to hot.
        grace_seconds: Longest time from the crossing of a trip to the cap.
    """

    resting_celsius: FloatArray
    hottest_celsius: FloatArray
    rates_per_second: FloatArray
    responses_kelvin_per_joule: FloatArray
    trips: tuple[Trip, ...]
    grace_seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Frames:
    """G kinds of frames, and the M modes in which they can run.

    Attributes:
        block: [G] position of the block in which their deadlines lie.
        count: [G] how many there are.
        worth: [G, M] of one that is on time.
        rung: [M] position of each mode's rung.
        seconds: [M] that one takes.
        joules: [M, N] that it spends in each node.
        block_seconds: Length of a block.
        allowed_seconds: D, the longest time from an arrival to its deadline.
    """

    block: NDArray[np.intp]
    count: FloatArray
    worth: FloatArray
    rung: NDArray[np.intp]
    seconds: FloatArray
    joules: FloatArray
    block_seconds: float
    allowed_seconds: float


def most_worth(frames: Frames, heat: Heat | None = None) -> float:
    """Return a bound on the sum of what the frames can be worth; a frame that is not run is worth nothing.

    Args:
        frames: The frames.
        heat: The device's; ``None``: it never throttles. Its B is the number of blocks with frames, or higher.

    Raises:
        InvariantError: The solver fails, which it cannot on a program that doing nothing satisfies.
    """
    blocks = int(frames.block.max()) + 1
    program = _Program(frames, heat, blocks)
    found = milp(
        -program.worth,
        constraints=program.constraints(),
        integrality=program.integrality,
        bounds=Bounds(program.lowest, program.highest),
        options={"mip_rel_gap": RELATIVE_GAP, "node_limit": NODE_LIMIT},
    )
    bound = found.mip_dual_bound if program.integrality.any() else found.fun
    if bound is None or not np.isfinite(bound):
        raise InvariantError(f"oracle: the solver says {found.message!r}; expected a bound")
    return -float(bound)


def least_warming(frames: Frames, heat: Heat) -> tuple[FloatArray, FloatArray]:
    """Return what is kept of the heat over a block [J], and what a frame adds by its end at the least [M, J]."""
    block, responses = frames.block_seconds, heat.responses_kelvin_per_joule
    oldest = np.exp(-heat.rates_per_second * (block + frames.allowed_seconds))
    added = frames.joules @ np.where(responses > 0, oldest[:, None] * responses, responses).T
    return np.exp(-heat.rates_per_second * block), np.asarray(added)


class _Program:
    """Variables: counts of frames [G, M] | backlogs [B] | heat [B, J] | free of a trip [trips, B]."""

    def __init__(self, frames: Frames, heat: Heat | None, blocks: int) -> None:
        self._frames, self._heat, self._blocks = frames, heat, blocks
        groups, modes = frames.worth.shape
        self._rates = 0 if heat is None else len(heat.rates_per_second)
        self._trips = 0 if heat is None else len(heat.trips)
        self._backlogs = groups * modes
        self._warmth = self._backlogs + blocks
        self._free = self._warmth + blocks * self._rates
        variables = self._free + blocks * self._trips
        self.worth, self.integrality = np.zeros(variables), np.zeros(variables)
        self.worth[: self._backlogs] = frames.worth.ravel()
        self.integrality[self._free :] = 1
        self.lowest, self.highest = np.zeros(variables), np.full(variables, np.inf)
        self.highest[: self._backlogs] = np.repeat(frames.count, modes)
        self.highest[self._backlogs : self._warmth] = frames.allowed_seconds
        self.lowest[self._warmth : self._free] = -np.inf
        self.highest[self._free :] = 1
        self._entries: list[tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]] = []
        self._lower: list[FloatArray] = []
        self._upper: list[FloatArray] = []
        self._rows = 0

    def constraints(self) -> LinearConstraint:
        """Return all rows."""
        self._each_frame_once()
        self._deadlines()
        self._time()
        if self._heat is not None:
            self._warming(self._heat)
            for at, trip in enumerate(self._heat.trips):
                self._throttle(self._heat, trip, at)
        rows, columns, values = (np.concatenate(parts) for parts in zip(*self._entries, strict=True))
        matrix = coo_array((values, (rows, columns)), shape=(self._rows, len(self.worth))).tocsc()
        return LinearConstraint(matrix, np.concatenate(self._lower), np.concatenate(self._upper))

    def _begin(self, lower: FloatArray | float, upper: FloatArray | float, rows: int) -> int:
        first, self._rows = self._rows, self._rows + rows
        self._lower.append(np.broadcast_to(np.asarray(lower, dtype=np.float64), rows))
        self._upper.append(np.broadcast_to(np.asarray(upper, dtype=np.float64), rows))
        return first

    def _put(self, rows: object, columns: object, values: object) -> None:
        row, column, value = np.broadcast_arrays(np.asarray(rows), np.asarray(columns), np.asarray(values, np.float64))
        self._entries.append((row.ravel().astype(np.intp), column.ravel().astype(np.intp), value.ravel()))

    def _runs(self, of_mode: FloatArray, first: int) -> None:
        """Put into the row of each block the sum over its frames of a number per mode."""
        groups, modes = self._frames.worth.shape
        rows = first + np.repeat(self._frames.block, modes)
        self._put(rows, np.arange(groups * modes), np.tile(of_mode, groups))

    def _each_frame_once(self) -> None:
        groups, modes = self._frames.worth.shape
        first = self._begin(-np.inf, self._frames.count, groups)
        self._put(first + np.repeat(np.arange(groups), modes), np.arange(groups * modes), 1.0)

    def _deadlines(self) -> None:
        """Sum over a rung's clocks of count x (seconds - D) <= 0, where a clock is too slow."""
        frames = self._frames
        groups, modes = frames.worth.shape
        for rung in np.unique(frames.rung[frames.seconds > frames.allowed_seconds]):
            own = np.flatnonzero(frames.rung == rung)
            first = self._begin(-np.inf, 0.0, groups)
            columns = np.arange(groups)[:, None] * modes + own
            self._put(first + np.arange(groups)[:, None], columns, frames.seconds[own] - frames.allowed_seconds)

    def _time(self) -> None:
        """q(b) >= q(b-1) + work(b) - block; bounds keep 0 <= q <= D."""
        blocks = np.arange(self._blocks)
        first = self._begin(-np.inf, self._frames.block_seconds, self._blocks)
        self._runs(self._frames.seconds, first)
        self._put(first + blocks, self._backlogs + blocks, -1.0)
        self._put(first + blocks[1:], self._backlogs + blocks[:-1], 1.0)

    def _warming(self, heat: Heat) -> None:
        """y_j(b+1) = exp(-lambda_j block) y_j(b) + what the frames of block b add; y(0) = 0."""
        kept, added = least_warming(self._frames, heat)
        blocks = np.arange(self._blocks)
        for at in range(self._rates):
            first = self._begin(0.0, 0.0, self._blocks)
            column = self._warmth + at * self._blocks
            self._put(first + blocks, column + blocks, 1.0)
            self._put(first + blocks[1:], column + blocks[:-1], -kept[at])
            inside = self._frames.block + 1 < self._blocks
            groups, modes = self._frames.worth.shape
            rows = first + np.repeat(self._frames.block + 1, modes)
            wanted = np.repeat(inside, modes)
            self._put(rows[wanted], np.arange(groups * modes)[wanted], -np.tile(added[:, at], groups)[wanted])

    def _throttle(self, heat: Heat, trip: Trip, at: int) -> None:
        """Bind being free of a trip to temperature, and fast work to being free."""
        frames, blocks = self._frames, np.arange(self._blocks)
        free = self._free + at * self._blocks
        resting = heat.resting_celsius[: self._blocks]
        hottest = np.minimum(resting + self._most_risen(heat), heat.hottest_celsius[: self._blocks])
        excess = np.maximum(hottest - trip.celsius, 0.0)
        first = self._begin(-np.inf, trip.celsius - resting + excess, self._blocks)
        for rate in range(self._rates):
            self._put(first + blocks, self._warmth + rate * self._blocks + blocks, 1.0)
        self._put(first + blocks, free + blocks, excess)
        first = self._begin(-np.inf, 0.0, self._blocks)
        self._runs(np.where(trip.slower, 0.0, frames.seconds), first)
        self._put(first + blocks, free + blocks, -frames.block_seconds)
        before = np.maximum(blocks - 1, 0)
        self._put(first + blocks, free + before, -(heat.grace_seconds + frames.allowed_seconds))
        self.lowest[free + np.flatnonzero(excess == 0.0)] = 1

    def _most_risen(self, heat: Heat) -> FloatArray:
        """Return [B] what these frames can add to the sensor's temperature by the beginning of each block."""
        frames = self._frames
        most = np.zeros((self._blocks, frames.joules.shape[1]))
        np.add.at(most, frames.block, frames.count[:, None] * frames.joules.max(axis=0))
        kept = np.exp(-heat.rates_per_second * frames.block_seconds)
        added = most @ np.maximum(heat.responses_kelvin_per_joule, 0.0).T
        warmth, risen = np.zeros(self._rates), np.zeros(self._blocks)
        for block in range(1, self._blocks):
            warmth = kept * warmth + added[block - 1]
            risen[block] = warmth.sum()
        return risen
