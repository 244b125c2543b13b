"""The frames of all streams, in the order in which they arrive."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Controller, Decision, NetworkView
from hwsim.cost import CostTable
from hwsim.plant.sensor_faults import FailureTimes
from hwsim.simulation.arrivals import Arrivals, over_link
from hwsim.simulation.lane import Frame
from hwsim.simulation.randomness import generator


@dataclass(frozen=True, kw_only=True)
class StreamSetup:
    """All that a simulation needs to know of one stream.

    Attributes:
        name: Name in the records.
        priority: A higher one goes first.
        graph: The network.
        costs: Its cost table on the device, for ``inputs_per_frame``.
        told_costs: As its controller is told that they are; ``None``: as they are.
        controller: Who decides for its frames.
        safe: Widths that take its place if it fails; ``None``: the run ends then.
        answer_limit_seconds: Longest time of its thread for one of its answers.
        accuracies: Uniform width -> accuracy, as measured after training.
        arrivals: When frames come, or are sent.
        link_outages: When the network between is down; ``None``: nothing lies between.
        inputs_per_frame: Inputs in each frame.
        available_inputs: Size of the test split that inputs are drawn from.
        deadline_picoseconds: From arrival.
    """

    name: str
    priority: int = 0
    graph: LayerGraph
    costs: CostTable
    controller: Controller
    arrivals: Arrivals
    link_outages: FailureTimes | None = None
    inputs_per_frame: int
    available_inputs: int
    deadline_picoseconds: int
    safe: Decision | None = None
    answer_limit_seconds: float = 10.0
    accuracies: Mapping[int, float] = field(default_factory=dict)
    told_costs: CostTable | None = None

    @property
    def view(self) -> NetworkView:
        """What its controller may know of the network."""
        return NetworkView(graph=self.graph, costs=self.told_costs or self.costs, accuracies=self.accuracies)


def frames(streams: Sequence[StreamSetup], duration_picoseconds: int, seed: int) -> Iterator[Frame]:
    """Yield the frames that arrive; of those that do in the same picosecond, the highest priority comes first."""
    inputs = [
        _shuffled_inputs(stream.available_inputs, source(seed, "inputs", streams, at))
        for at, stream in enumerate(streams)
    ]
    arriving = heapq.merge(*(_arriving(streams, at, duration_picoseconds, seed) for at in range(len(streams))))
    for number, (time, _, at) in enumerate(arriving):
        stream = streams[at]
        yield Frame(
            number=number,
            arrival_picoseconds=time,
            deadline_picoseconds=time + stream.deadline_picoseconds,
            inputs=tuple(next(inputs[at]) for _ in range(stream.inputs_per_frame)),
            stream=at,
        )


def source(seed: int, what: str, streams: Sequence[StreamSetup], at: int) -> np.random.Generator:
    """Return a stream's random stream of a source; the first one's is that of a scenario with one stream."""
    return generator(seed, f"{what} {streams[at].name}" if at else what)


def _arriving(
    streams: Sequence[StreamSetup], at: int, duration_picoseconds: int, seed: int
) -> Iterator[tuple[int, int, int]]:
    """Yield when a stream's frames arrive, with what decides between those of one moment."""
    stream = streams[at]
    times = stream.arrivals.times(duration_picoseconds, source(seed, "arrivals", streams, at))
    if stream.link_outages is not None:
        times = over_link(times, stream.link_outages.failures(source(seed, "link", streams, at)))
    for time in times:
        yield time, -stream.priority, at


def _shuffled_inputs(available: int, shuffle: np.random.Generator) -> Iterator[int]:
    """Yield positions in the test split for ever: each once per round, in a new order each round."""
    while True:
        yield from shuffle.permutation(available).tolist()
