"""Outputs of the real network, under exactly the bits that the simulated hardware used.

The only module of hwsim that runs a network (and so loads torch). Lazily: after the simulation, in large
batches, each (assignment, input) once, kept on disk across runs. In step: layer by layer as the simulation
goes on, where a controller reads confidences. Both give the same predictions, since a network's
results do not depend on the batch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.data import load_labels
from bitmixer.graph import LayerGraph
from bitmixer.networks.checkpoint import Checkpoint, require_weights
from bitmixer.operands import SiteOperands
from hwsim.provenance import source_sha256
from hwsim.simulation.events import FrameEnded, FrameStarted, LayerIssued, Observer, Widths

if TYPE_CHECKING:
    from torch import Tensor

    from bitmixer.network import MetaQuantizedNetwork

Predictions = dict[int, NDArray[np.int32]]
UNKNOWN = -1


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
        self._checkpoint = checkpoint
        self._data = data
        self.graph: LayerGraph = checkpoint.graph
        self.labels: NDArray[np.int32] = load_labels(data).astype(np.int32)
        self.identity = hashlib.sha256(
            json.dumps([checkpoint.sha256, data, source_sha256("bitmixer")]).encode()
        ).hexdigest()

    @cached_property
    def network(self) -> MetaQuantizedNetwork:
        """The network, ready to run."""
        import torch

        from bitmixer.networks import load_network

        network: MetaQuantizedNetwork = load_network(self._checkpoint).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    @cached_property
    def inputs(self) -> Tensor:
        """The test split's inputs, in the layout in which the network runs fastest."""
        import torch

        from bitmixer.data import load_data

        return load_data(self._data)[0].contiguous(memory_format=torch.channels_last)

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

    def operands(self, widths: Sequence[Widths], indices: NDArray[np.int64]) -> Iterator[SiteOperands]:
        """Yield what each site multiplies for some inputs under one assignment, in the order of issue."""
        from bitmixer.execution import operands

        return operands(self.network, self.inputs[indices], self.assignment(widths))


def lazy_predictions(
    loaded: LoadedNetwork, frames: Iterable[FrameEnded], *, cache: PredictionCache | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Predictions:  # fmt: skip
    """Return the predictions of all frames that ran; each (assignment, input) is computed once."""
    ran = [frame for frame in frames if frame.widths]
    wanted: dict[tuple[Widths, ...], set[int]] = defaultdict(set)
    for frame in ran:
        wanted[frame.widths].update(frame.inputs)
    known: dict[tuple[Widths, ...], NDArray[np.int32]] = {}
    for done, (widths, inputs) in enumerate(wanted.items()):
        table = cache.load(widths) if cache else np.full(len(loaded.labels), UNKNOWN, dtype=np.int32)
        needed = np.array(sorted(inputs))
        missing = needed[table[needed] == UNKNOWN]
        if missing.size:
            table[missing] = loaded.predict(widths, missing)
            if cache:
                cache.store(widths, table)
        known[widths] = table
        progress((done + 1) / len(wanted))
    return {frame.frame: known[frame.widths][list(frame.inputs)] for frame in ran}


class PredictionCache:
    """Predictions on disk, one small file per assignment; damaged files are computed again.

    Args:
        loaded: The network and data that they belong to.
        root: Folder; ``HWSIM_CACHE`` or the user's cache folder if not given.
    """

    def __init__(self, loaded: LoadedNetwork, root: Path | None = None) -> None:
        self._inputs = len(loaded.labels)
        self._classes = loaded.graph.classes
        self._folder = (root or default_cache()) / "predictions" / loaded.identity[:24]

    @property
    def is_started(self) -> bool:
        """Whether this very network has run on this data before, and so loads and runs."""
        return self._folder.is_dir()

    def load(self, widths: Sequence[Widths]) -> NDArray[np.int32]:
        """Return the known predictions of an assignment; -1 where unknown."""
        try:
            table = np.load(self._file(widths), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            table = None
        if (
            table is None
            or table.shape != (self._inputs,)
            or table.dtype != np.int32
            or not ((table >= UNKNOWN) & (table < self._classes)).all()
        ):
            return np.full(self._inputs, UNKNOWN, dtype=np.int32)
        known: NDArray[np.int32] = table
        return known

    def store(self, widths: Sequence[Widths], table: NDArray[np.int32]) -> None:
        """Keep the predictions of an assignment."""
        file = self._file(widths)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.part")
        with temporary.open("wb") as stream:
            np.save(stream, table)
        temporary.replace(file)

    def _file(self, widths: Sequence[Widths]) -> Path:
        return self._folder / f"{hashlib.sha256(json.dumps(list(widths)).encode()).hexdigest()[:24]}.npy"


def default_cache() -> Path:
    """Return the cache folder: ``HWSIM_CACHE``, or ``hwsim`` in the user's cache folder."""
    given = os.environ.get("HWSIM_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hwsim"


class InStepExecution(Observer):
    """Runs the network layer by layer as the simulated hardware issues the layers.

    Attributes:
        predictions: Frame -> predicted classes.
    """

    def __init__(self, loaded: LoadedNetwork) -> None:
        from bitmixer.execution import StepwiseRun

        self._loaded = loaded
        self._begin: Callable[[Sequence[int]], StepwiseRun] = lambda inputs: StepwiseRun(
            loaded.network, loaded.inputs[list(inputs)]
        )
        self._names = [layer.name for layer in loaded.graph.layers]
        self._consumers = [layer.key_consumer for layer in loaded.graph.layers]
        self._confidences: list[float] = []
        self.predictions: Predictions = {}

    def frame_started(self, event: FrameStarted) -> None:
        """Begin with the frame's inputs."""
        self._run = self._begin(event.inputs)

    def layer_issued(self, event: LayerIssued) -> None:
        """Run one layer at the widths that the hardware committed."""
        name, consumer = self._names[event.position], self._consumers[event.position]
        self._run.commit(name, BitWidths(*event.widths))
        if consumer is not None and event.consumer_widths is not None:
            self._run.commit(consumer, BitWidths(*event.consumer_widths))
        self._run.advance(name)

    def frame_ended(self, event: FrameEnded) -> None:
        """Keep the predictions, and the confidence for the controller."""
        if not event.widths:
            return
        logits = self._run.finish()
        self.predictions[event.frame] = logits.argmax(dim=1).numpy().astype(np.int32)
        self._confidences.append(float(logits.softmax(dim=1).amax(dim=1).mean()))

    def take_confidences(self) -> tuple[float, ...]:
        """Return the mean top probability of each frame finished since the last call."""
        taken, self._confidences = tuple(self._confidences), []
        return taken
