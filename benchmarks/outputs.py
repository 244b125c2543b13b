"""Model outputs in the loop against plain batched inference of the same distinct (assignment, input) pairs.

Usage: python benchmarks/outputs.py. Prints the median ratio of several rounds that alternate the two, in one
process, with an empty prediction cache each time; imports and loading are not in the time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch

from hwsim import pipeline
from hwsim.outputs import LoadedNetwork, PredictionCache, lazy_predictions
from hwsim.setting_up import simulation_setup
from hwsim.simulation.events import FrameEnded, Observer
from hwsim.simulation.simulator import Simulator

ROUNDS = 5


class Frames(Observer):
    """Keeps the frames that ended."""

    def __init__(self) -> None:
        self.frames: list[FrameEnded] = []

    def frame_ended(self, event: FrameEnded) -> None:
        self.frames.append(event)


def main() -> None:
    planned = pipeline.plan("thermal_throttle", sets=["duration=120 s"])
    stream = planned.scenario.streams[0]
    assert stream.data is not None
    loaded = LoadedNetwork(planned.streams[0].checkpoint, stream.data)
    frames = Frames()
    Simulator(simulation_setup(planned, len(loaded.labels)), [frames]).run()
    pairs: dict[tuple[tuple[int, int], ...], set[int]] = defaultdict(set)
    for frame in frames.frames:
        pairs[frame.widths].update(frame.inputs)
    ratios = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        plain(loaded, pairs)
        middle = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            lazy_predictions(loaded, frames.frames, cache=PredictionCache(loaded, Path(folder)))
        ratios.append((time.perf_counter() - middle) / (middle - began))
    print(
        f"{sum(map(len, pairs.values()))} distinct pairs of {len(pairs)} assignments, {len(frames.frames)} frames: "
        f"in the loop / plain = {statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})"
    )


@torch.no_grad()
def plain(loaded: LoadedNetwork, pairs: dict[tuple[tuple[int, int], ...], set[int]]) -> None:
    """Run the network as anyone would: set the bits, call it on batches."""
    network = loaded.network.eval()
    for widths, inputs in pairs.items():
        network.assign(loaded.assignment(widths))
        for batch in loaded.inputs[sorted(inputs)].split(250):
            network(batch).argmax(dim=1)


if __name__ == "__main__":
    main()
