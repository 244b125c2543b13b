"""Outputs of the real network, under exactly the bits that the simulated hardware used.

The only module of hwsim that runs a network (and so loads torch). Lazily: after the simulation, in large
batches, each (assignment, input) once, kept on disk across runs. In step: layer by layer as the simulation
goes on, where a controller reads confidences. Both give the same predictions, since a network's
results do not depend on the batch.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.data import data_identity, load_labels
from bitmixer.graph import LayerGraph
from bitmixer.networks.checkpoint import Checkpoint, require_weights
from bitmixer.operands import SiteOperands
from hwsim.drift import Drift
from hwsim.errors import RecordsError
from hwsim.provenance import source_sha256
from hwsim.simulation.events import FrameEnded, FrameStarted, LayerIssued, Observer, Widths
from hwsim.table_cache import UNKNOWN, TableCache, default_cache

if TYPE_CHECKING:
    from torch import Tensor

    from bitmixer.execution import StepwiseRun
    from bitmixer.network import MetaQuantizedNetwork

Predictions = dict[int, NDArray[np.int32]]


class RunUnderWay(Protocol):
    """A network on its way through some inputs, as hardware issues its sites."""

    def commit(self, site: str, widths: BitWidths) -> None:
        """Fix a site's widths."""
        ...

    def advance(self, site: str) -> None:
        """Take note that a committed site runs."""
        ...

    def finish(self) -> Tensor:
        """Return the logits (inputs, classes)."""
        ...


class LoadedNetwork:
    """A network and the test split that it is given; both are loaded when they are first run.

    Args:
        checkpoint: The network.
        data: Data name, corruption included.

    Raises:
        CheckpointError: The weights are missing or damaged.
        DataError: The data is unknown, missing or damaged.
    """

    def __init__(self, checkpoint: Checkpoint, data: str) -> None:
        require_weights(checkpoint)
        self.checkpoint = checkpoint
        self.data = data
        self.graph: LayerGraph = checkpoint.graph
        self.labels: NDArray[np.int32] = load_labels(data).astype(np.int32)
        self.identity = hashlib.sha256(
            json.dumps([checkpoint.sha256, data_identity(data), source_sha256("bitmixer")]).encode()
        ).hexdigest()

    @cached_property
    def network(self) -> MetaQuantizedNetwork:
        """The network, ready to run."""
        import torch

        from bitmixer.networks import load_network

        network: MetaQuantizedNetwork = load_network(self.checkpoint).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    @cached_property
    def inputs(self) -> Tensor:
        """The test split's inputs, images in the layout in which the network runs fastest."""
        import torch

        from bitmixer.data import load_data

        inputs = load_data(self.data)[0]
        return inputs.contiguous(memory_format=torch.channels_last) if inputs.dim() == 4 else inputs

    def require_ready(self) -> None:
        """Load the network.

        Raises:
            CheckpointError: It cannot be loaded.
        """
        _ = self.network

    def sharing(self, data: str) -> LoadedNetwork:
        """Return this very network, whatever becomes of it, with other data."""
        other = LoadedNetwork(self.checkpoint, data)
        other.network = self.network
        return other

    @contextmanager
    def changes_kept(self, file: Path) -> Iterator[None]:
        """Keep in a file what becomes of the network's state meanwhile."""
        from safetensors.torch import save_file

        from bitmixer.training.adaptation import changes_since

        before = {name: value.clone() for name, value in self.network.state_dict().items()}
        yield
        file.parent.mkdir(exist_ok=True)
        save_file(changes_since(before, self.network), file)

    def change(self, file: Path) -> None:
        """Change the network's state as a file says.

        Raises:
            RecordsError: The file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            self.network.load_state_dict(load_file(file), strict=False)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise RecordsError(f"{file}: not what a version of the network changed: {error}; run it again") from None

    def assignment(self, widths: Sequence[Widths]) -> BitAssignment:
        """Return the assignment of widths given in the order of issue."""
        return BitAssignment(
            {layer.name: BitWidths(*pair) for layer, pair in zip(self.graph.layers, widths, strict=True)}
        )

    def predict(self, widths: Sequence[Widths], indices: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the predicted classes of some inputs under one assignment."""
        from bitmixer.execution import run

        logits = run(self.network, self.inputs[indices], self.assignment(widths))
        return logits.argmax(dim=1).numpy().astype(np.int32)

    def batch(self, inputs: Sequence[tuple[LoadedNetwork, int]]) -> tuple[Tensor, Tensor]:
        """Return some inputs, of any data of the same set, with their labels."""
        import torch

        labels = [int(loaded.labels[index]) for loaded, index in inputs]
        return torch.stack([loaded.inputs[index] for loaded, index in inputs]), torch.tensor(labels)

    def confident_batch(
        self, inputs: Sequence[tuple[LoadedNetwork, int]], widths: Sequence[Widths], least: float
    ) -> tuple[Tensor, Tensor]:
        """Return those inputs of whose class the network is sure, with that class instead of their labels."""
        from bitmixer.execution import run

        images, _ = self.batch(inputs)
        probability, named = run(self.network, images, self.assignment(widths)).softmax(dim=1).max(dim=1)
        return images[probability >= least], named[probability >= least]

    def operands(self, widths: Sequence[Widths], indices: NDArray[np.int64]) -> Iterator[SiteOperands]:
        """Yield what each site multiplies for some inputs under one assignment, in the order of issue."""
        from bitmixer.execution import operands

        return operands(self.network, self.inputs[indices], self.assignment(widths))

    def stepwise(self, indices: Sequence[int]) -> StepwiseRun:
        """Begin to run the network layer by layer on some inputs."""
        from bitmixer.execution import StepwiseRun

        return StepwiseRun(self.network, self.inputs[list(indices)])

    def begin(self, indices: Sequence[int]) -> RunUnderWay:
        """Begin to run the network on some inputs as hardware issues its sites."""
        return self.stepwise(indices)


def weight_operands(
    checkpoint: Checkpoint, assignments: Iterable[BitAssignment]
) -> Iterator[tuple[BitAssignment, Iterator[SiteOperands]]]:
    """Yield assignments with what each site multiplies under them: its weights, and activations of a blank input."""
    import torch

    from bitmixer.execution import operands
    from bitmixer.networks import load_network

    network = load_network(checkpoint)
    blank = torch.zeros(1, *checkpoint.graph.input_shape)
    for assignment in assignments:
        yield assignment, operands(network, blank, assignment)


def lazy_predictions(
    loaded: LoadedNetwork, frames: Iterable[FrameEnded], *, cache: PredictionCache | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Predictions:  # fmt: skip
    """Return the predictions of all frames that ran; each (assignment, input) is computed once."""
    ran = [frame for frame in frames if frame.widths]
    wanted: dict[tuple[Widths, ...], set[int]] = defaultdict(set)
    for frame in ran:
        wanted[frame.widths].update(frame.inputs)
    answers = Answers(loaded, cache)
    for done, (widths, inputs) in enumerate(wanted.items()):
        answers.of(widths, sorted(inputs))
        answers.keep()
        progress((done + 1) / len(wanted))
    return {frame.frame: answers.of(frame.widths, frame.inputs) for frame in ran}


class Answers:
    """Predictions when they are asked for, each (assignment, input) computed once.

    Args:
        loaded: The network and its data.
        cache: What earlier runs computed, and where ``keep`` puts the rest.
    """

    def __init__(self, loaded: LoadedNetwork, cache: PredictionCache | None) -> None:
        self._loaded = loaded
        self._cache = cache
        self._tables: dict[tuple[Widths, ...], NDArray[np.int32]] = {}
        self._new: set[tuple[Widths, ...]] = set()

    def of(self, widths: tuple[Widths, ...], inputs: Sequence[int]) -> NDArray[np.int32]:
        """Return the predicted classes of some inputs under one assignment."""
        if widths not in self._tables:
            unknown = np.full(len(self._loaded.labels), UNKNOWN, dtype=np.int32)
            self._tables[widths] = self._cache.load(widths) if self._cache else unknown
        table, needed = self._tables[widths], np.array(inputs)
        missing = np.unique(needed[table[needed] == UNKNOWN])
        if missing.size:
            table[missing] = self._loaded.predict(widths, missing)
            self._new.add(widths)
        found: NDArray[np.int32] = table[needed]
        return found

    def agreement(self, inputs: tuple[int, ...], own: tuple[Widths, ...], other: tuple[Widths, ...]) -> int:
        """Return for how many inputs two assignments give the same class."""
        return int((self.of(own, inputs) == self.of(other, inputs)).sum())

    def keep(self) -> None:
        """Write what is new to disk."""
        if self._cache is not None:
            for widths in self._new:
                self._cache.store(widths, self._tables[widths])
        self._new.clear()


class PredictionCache(TableCache):
    """Predictions on disk, one small file per assignment.

    Args:
        loaded: The network and data that they belong to.
        root: Folder; ``HWSIM_CACHE`` or the user's cache folder if not given.
    """

    def __init__(self, loaded: LoadedNetwork, root: Path | None = None) -> None:
        folder = (root or default_cache()) / "predictions" / loaded.identity[:24]
        super().__init__(folder, shape=(len(loaded.labels),), dtype=np.int32, limit=loaded.graph.classes)


class InStepExecution(Observer):
    """Runs the network layer by layer as the simulated hardware issues the layers.

    Args:
        loaded: The network with each data set that the stream has in the course of time.
        drift: When it has which.

    Attributes:
        predictions: Frame -> predicted classes.
        run: That of the frame which started last.
    """

    run: RunUnderWay

    def __init__(self, loaded: Sequence[LoadedNetwork], drift: Drift) -> None:
        self._loaded = loaded
        self._drift = drift
        self._names = [layer.name for layer in loaded[0].graph.layers]
        self._consumers = [layer.key_consumer for layer in loaded[0].graph.layers]
        self._confidences: list[float] = []
        self.predictions: Predictions = {}

    def stepwise(self) -> StepwiseRun:
        """Return that run, where values are asked of it: no graph's."""
        from bitmixer.execution import StepwiseRun

        assert isinstance(self.run, StepwiseRun)  # arrays that follow values are refused for graph networks
        return self.run

    def frame_started(self, event: FrameStarted) -> None:
        """Begin with the frame's inputs."""
        self.run = self._loaded[self._drift.position(event.arrival_picoseconds)].begin(event.inputs)

    def layer_issued(self, event: LayerIssued) -> None:
        """Run one layer at the widths that the hardware committed."""
        name, consumer = self._names[event.position], self._consumers[event.position]
        self.run.commit(name, BitWidths(*event.widths))
        if consumer is not None and event.consumer_widths is not None:
            self.run.commit(consumer, BitWidths(*event.consumer_widths))
        self.run.advance(name)

    def frame_ended(self, event: FrameEnded) -> None:
        """Keep the predictions, and the confidence for the controller."""
        if not event.widths:
            return
        logits = self.run.finish()
        self.predictions[event.frame] = logits.argmax(dim=1).numpy().astype(np.int32)
        self._confidences.append(_confidence(logits))

    def take_confidences(self, with_held: bool = False) -> tuple[float, ...]:
        """Return the mean top probability of each frame finished since the last call.

        Args:
            with_held: Also that of the frame whose layers are all done, but whose answer has not left.
        """
        taken, self._confidences = self._confidences, []
        return (*taken, _confidence(self.run.finish())) if with_held else tuple(taken)


def _confidence(logits: Tensor) -> float:
    return float(logits.softmax(dim=1).amax(dim=1).mean())
