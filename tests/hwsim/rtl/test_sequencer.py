"""The sequencer's steps against the loop nest that they stand for, several jobs on one circuit."""

from __future__ import annotations

import itertools
from typing import Any

from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.rtl.sequencer import Sequencer

jobs = st.fixed_dictionaries(
    {
        "weight_bits": st.integers(1, 8),
        "activation_bits": st.integers(1, 8),
        "weight_signed": st.booleans(),
        "activation_signed": st.booleans(),
        "depth_tiles": st.integers(1, 3),
        "row_tiles": st.integers(1, 2),
        "column_tiles": st.integers(1, 2),
    }
)
Job = dict[str, int]
FIELDS = "valid", "first", "last", "negate", "shift"


def steps_by_walking(job: Job) -> list[tuple[int, ...]]:
    """Return the addresses and what units are told, pair by pair."""
    w, a, depth_tiles = job["weight_bits"], job["activation_bits"], job["depth_tiles"]
    steps = []
    for row, column in itertools.product(range(job["row_tiles"]), range(job["column_tiles"])):
        walk = list(itertools.product(range(w), range(a), range(depth_tiles)))
        for weight_plane, activation_plane, depth_tile in walk:
            here = weight_plane, activation_plane, depth_tile
            signs = (
                job["weight_signed"] and weight_plane == w - 1,
                job["activation_signed"] and activation_plane == a - 1,
            )
            steps.append(
                (
                    (row * w + weight_plane) * depth_tiles + depth_tile,
                    (column * a + activation_plane) * depth_tiles + depth_tile,
                    1,
                    int(here == walk[0]),
                    int(here == walk[-1]),
                    int(sum(map(bool, signs)) == 1),
                    weight_plane + activation_plane,
                )
            )
    return steps


def simulate(jobs_in_turn: list[Job], idle_cycles: int) -> list[list[tuple[int, ...]]]:
    """Return the steps of each job, started ``idle_cycles`` after the last step of the one before; 0 is no gap."""
    sequencer = Sequencer()
    seen: list[list[tuple[int, ...]]] = []

    async def testbench(context: Any) -> None:
        for job in jobs_in_turn:
            context.set(sequencer.job, job)
            context.set(sequencer.start, 1)
            await context.tick()
            context.set(sequencer.start, 0)
            seen.append([])
            for remaining in reversed(range(len(steps_by_walking(job)))):
                step = [context.get(getattr(sequencer.step, field)) for field in FIELDS]
                seen[-1].append(
                    (context.get(sequencer.weight_address), context.get(sequencer.activation_address), *step)
                )
                if remaining or idle_cycles:
                    await context.tick()
            for _ in range(idle_cycles):
                assert not context.get(sequencer.step.valid)
                await context.tick()

    simulator = Simulator(sequencer)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


@settings(max_examples=20, deadline=None)
@given(st.lists(jobs, min_size=1, max_size=3), st.integers(0, 2))
def test_steps_are_those_of_the_loop_nest(jobs_in_turn: list[Job], idle_cycles: int) -> None:
    assert simulate(jobs_in_turn, idle_cycles) == [steps_by_walking(job) for job in jobs_in_turn]
