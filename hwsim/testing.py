"""What every controller must hold to, as tests that a user's own test class inherits.

    from hwsim.testing import ControllerConformance

    class TestMine(ControllerConformance):
        def make(self):
            return Mine(hot_celsius=70.0)

pytest then runs them all on the device and the network of the scenario ``thermal_throttle``; override ``scenario`` to
take another. Needs neither torch nor data.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator

import numpy as np

from hwsim.controllers.base import Controller, Decision, DeviceView, FinishedFrame, NetworkView, Observation, Wake
from hwsim.controllers.guard import Guard

PICOSECONDS_PER_MILLISECOND = 10**9
PICOSECONDS_PER_SECOND = 10**12


@functools.cache
def views(scenario: str) -> tuple[DeviceView, NetworkView]:
    """Return what controllers may know of a scenario's device, and of its first stream's network."""
    from hwsim.planning import plan
    from hwsim.simulation.control import device_view

    planned = plan(scenario, controller="static", sets=["outputs=none"])
    stream = planned.streams[0]
    return device_view(planned.told_device), NetworkView(
        graph=stream.checkpoint.graph, costs=stream.told_costs, accuracies=stream.checkpoint.accuracies
    )


def observations(
    device: DeviceView, network: NetworkView, wakes_on: frozenset[Wake], *, count: int, seed: int
) -> Iterator[Observation]:
    """Yield what a controller may see over time: heat and cold, silent sensors, long queues, late frames or none.

    Args:
        device: The device.
        network: The network.
        wakes_on: When the controller is asked; nothing is yielded if it never is.
        count: How many observations.
        seed: Of what is drawn.
    """
    random = np.random.default_rng(seed)
    sites, now = len(network.graph.layers), 0
    wakes = sorted(wakes_on)
    for frame in range(count if wakes else 0):
        now += int(random.integers(1, 200)) * PICOSECONDS_PER_MILLISECOND
        wake = wakes[int(random.integers(len(wakes)))]
        silent, running = random.random() < 0.1, random.random() < 0.8 or wake == "finish"
        yield Observation(
            time_picoseconds=now,
            wake=wake,
            die_celsius=None if silent else float(random.uniform(-20.0, 120.0)),
            die_age_picoseconds=None if silent and frame == 0 else int(random.integers(0, 10**12)),
            frequency_hertz=int(random.choice(device.frequencies_hertz)),
            throttle_cap_hertz=int(random.choice(device.frequencies_hertz)),
            queued_deadlines_picoseconds=tuple(
                sorted(now + int(each) * PICOSECONDS_PER_MILLISECOND for each in random.integers(-50, 500, frame % 5))
            ),
            frame=frame if running else None,
            frame_deadline_picoseconds=now + PICOSECONDS_PER_MILLISECOND * 30 if running else None,
            first_uncommitted=int(random.integers(0, sites + 1)) if running else 0,
            wanted=tuple(layer.allowed[int(random.integers(len(layer.allowed)))] for layer in network.graph.layers),
            confidences=tuple(random.uniform(0.1, 1.0, int(random.integers(0, 3)))),
            free_bandwidth_share=None if silent else float(random.random()),
            state_of_charge=None if silent else float(random.random()),
            finished=(_finished(network, frame, random),) if frame and running else (),
        )


def _finished(network: NetworkView, number: int, random: np.random.Generator) -> FinishedFrame:
    """Return what may have become of the frame before: at one width throughout, about as long as the table says."""
    costs, bits = network.costs, network.graph.uniform_bits
    assignment = network.graph.uniform(bits[int(random.integers(len(bits)))])
    seconds = costs.frame_cycles(assignment, 0) / costs.frequencies_hertz[0] * random.uniform(0.9, 1.3)
    return FinishedFrame(
        frame=number - 1, widths=tuple((weight, activation) for weight, activation in assignment.values()),
        inputs=costs.inputs_per_frame, on_time=bool(random.random() < 0.9),
        latency_picoseconds=round(seconds * PICOSECONDS_PER_SECOND) + int(random.integers(10**10)),
        service_picoseconds=round(seconds * PICOSECONDS_PER_SECOND),
        energy_joules=costs.frame_energy_joules(assignment) * float(random.uniform(0.9, 1.3)),
    )  # fmt: skip


class ControllerConformance:
    """Tests of one controller; inherit and override ``make``.

    Attributes:
        scenario: Whose device and network it is tested on.
        limit_seconds: Longest time of its thread for one of its answers.
    """

    scenario = "thermal_throttle"
    limit_seconds = 1.0

    def make(self) -> Controller:
        """Return a new controller, always the same."""
        raise NotImplementedError(f"{type(self).__name__}: override make() to return your controller")

    def test_has_what_the_protocol_asks_for(self) -> None:
        """It has the attributes and methods of ``Controller``, and is woken at times that exist."""
        controller = self.make()
        assert isinstance(controller, Controller)
        Guard(controller, limit_seconds=self.limit_seconds)

    def test_starts_with_possible_widths_for_every_site(self) -> None:
        """Its first decision names every site of the network, with widths that the site allows."""
        device, network = views(self.scenario)
        first, _ = Guard(self.make(), limit_seconds=self.limit_seconds).init(device, network)
        assert set(first.widths) == set(network.graph.index)

    def test_decides_what_exists_whatever_it_sees(self) -> None:
        """It answers in time, with sites, widths and clocks that exist, when sensors are silent, too."""
        for seed in range(5):
            self._decisions(self.make(), seed=seed, count=100)

    def test_decides_the_same_from_the_same(self) -> None:
        """The same observations and the same random numbers give the same decisions, in another object, too."""
        assert self._decisions(self.make(), seed=1) == self._decisions(self.make(), seed=1)

    def test_keeps_all_that_it_remembers_in_its_state(self) -> None:
        """One object that serves two runs in turn decides in each as if it were alone."""
        shared = self.make()
        alone = [self._decisions(self.make(), seed=seed) for seed in (1, 2)]
        assert [list(decisions) for decisions in self._in_turn(shared, (1, 2))] == alone

    def test_its_state_can_be_written_and_read_back(self) -> None:
        """It decides the same from a state that was pickled in between."""
        assert self._decisions(self.make(), seed=3, through_bytes=True) == self._decisions(self.make(), seed=3)

    def _decisions(
        self, controller: Controller, *, seed: int, count: int = 60, through_bytes: bool = False
    ) -> list[Decision | None]:
        device, network = views(self.scenario)
        guard = Guard(controller, limit_seconds=self.limit_seconds)
        first, state = guard.init(device, network)
        generator = np.random.default_rng(seed)
        decisions: list[Decision | None] = [first]
        for observation in observations(device, network, guard.wakes_on, count=count, seed=seed):
            if through_bytes:
                state = pickle.loads(pickle.dumps(state))
            decision, state = guard.decide(observation, state, generator, network.graph)
            decisions.append(decision)
        return decisions

    def _in_turn(self, controller: Controller, seeds: tuple[int, ...]) -> list[list[Decision | None]]:
        """Serve several runs at once with one object, an observation of each in turn."""
        device, network = views(self.scenario)
        guard = Guard(controller, limit_seconds=self.limit_seconds)
        begun = [guard.init(device, network) for _ in seeds]
        decisions: list[list[Decision | None]] = [[first] for first, _ in begun]
        states = [state for _, state in begun]
        generators = [np.random.default_rng(seed) for seed in seeds]
        sights = [observations(device, network, guard.wakes_on, count=60, seed=seed) for seed in seeds]
        for together in zip(*sights, strict=True):
            for run, observation in enumerate(together):
                decision, states[run] = guard.decide(observation, states[run], generators[run], network.graph)
                decisions[run].append(decision)
        return decisions
