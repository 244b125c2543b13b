"""What a network answers while it learns on: steps and frames in the order in which the simulation had them.

The simulation says when a step ran; which inputs had been answered by then follows from the records. So the network
learns after the run, and a frame is answered by the version that was there as its first layer was issued.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.config.learning import Learning
from hwsim.drift import Drift
from hwsim.outputs import LoadedNetwork, Predictions, lazy_predictions
from hwsim.records.folder import VERSIONS
from hwsim.simulation.events import FrameEnded

if TYPE_CHECKING:
    from bitmixer.training.adaptation import FieldLearner


def version_file(folder: Path, version: int) -> Path:
    """Return the file of what one version changed in the one before it."""
    return folder / VERSIONS / f"{version:05d}.safetensors"


@dataclass(kw_only=True, eq=False)
class FieldLearning:
    """Learns what a run's steps learned.

    Attributes:
        loaded: The network, which is changed in place, with the stream's data.
        data: Data of its inputs, over time.
        settings: How it learns.
        folder: The run's folder, which takes each version's changes.
        seed: Of rounding at random.
        samples: Inputs that it has learned from.
    """

    loaded: LoadedNetwork
    data: Drift
    settings: Learning
    folder: Path
    seed: int
    samples: int = 0
    _loaded_by_data: dict[str, LoadedNetwork] = field(default_factory=dict)

    def predictions(self, frames: Sequence[FrameEnded], steps: Sequence[FrameEnded]) -> Predictions:
        """Learn, and return the predictions of all frames that ran to their end.

        Args:
            frames: The stream's frames.
            steps: The training steps that were done, in the order of time.
        """
        from bitmixer.training.adaptation import FieldLearner

        ran = sorted((frame for frame in frames if frame.widths), key=lambda frame: frame.start_picoseconds)
        learner = FieldLearner(
            self.loaded.network, self.loaded.graph.uniform(self.settings.bits), learned=self.settings.learned,
            form=self.settings.format, learning_rate=self.settings.learning_rate, seed=self.seed,
        )  # fmt: skip
        known: Predictions = {}
        ends = [step.finish_picoseconds for step in steps]
        by_version: dict[int, list[FrameEnded]] = {}
        for frame in ran:
            by_version.setdefault(bisect_right(ends, frame.start_picoseconds), []).append(frame)
        for version in range(len(steps) + 1):
            if version:
                self._learn(learner, ran, steps[version - 1].start_picoseconds, version)
            known |= self._answers(by_version.get(version, []))
        return known

    def _learn(self, learner: FieldLearner, ran: Sequence[FrameEnded], started: int, version: int) -> None:
        batch = self._known_inputs(ran, started)
        with self.loaded.changes_kept(version_file(self.folder, version)):
            if self.settings.labels == "late":
                taught = self.loaded.batch(batch)
            else:
                widths = [tuple(pair) for pair in self.loaded.graph.uniform(self.settings.bits).values()]
                taught = self.loaded.confident_batch(batch, widths, self.settings.confidence)  # type: ignore[arg-type]
            if len(taught[1]) > 1:  # norms have no statistics of one input
                learner.learn(*taught)
                self.samples += len(taught[1])

    def _known_inputs(self, ran: Sequence[FrameEnded], started: int) -> list[tuple[LoadedNetwork, int]]:
        """Return the inputs that were answered last before a step, whose labels are known where labels count."""
        known = [frame for frame in ran if frame.finish_picoseconds + self.settings.delay_picoseconds <= started]
        inputs = [
            (self._with(frame), index)
            for frame in sorted(known, key=lambda frame: frame.finish_picoseconds)
            for index in frame.inputs
        ]
        return inputs[-self.settings.inputs :]

    def _answers(self, frames: Sequence[FrameEnded]) -> Predictions:
        known: Predictions = {}
        for loaded, group in self._by_data(frames):
            known |= lazy_predictions(loaded, group)
        return known

    def _by_data(self, frames: Sequence[FrameEnded]) -> Iterator[tuple[LoadedNetwork, list[FrameEnded]]]:
        groups: dict[LoadedNetwork, list[FrameEnded]] = {}
        for frame in frames:
            groups.setdefault(self._with(frame), []).append(frame)
        yield from groups.items()

    def _with(self, frame: FrameEnded) -> LoadedNetwork:
        """Return the network with the data of a frame."""
        data = self.data.name(frame.arrival_picoseconds)
        if data not in self._loaded_by_data:
            self._loaded_by_data[data] = self.loaded.sharing(data)
        return self._loaded_by_data[data]
