"""Cycles of arrays that skip work, from the values that really meet: of weights once, of activations at every issue."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.graph import LayerGraph
from bitmixer.networks.checkpoint import Checkpoint, require_weights
from hwsim.cost.arrays.base import Int64Array
from hwsim.cost.arrays.valued import ValueArray, network_cycles
from hwsim.outputs import LoadedNetwork, weight_operands
from hwsim.provenance import source_sha256
from hwsim.simulation.events import FrameStarted, LayerIssued, Observer, Widths
from hwsim.table_cache import UNKNOWN, TableCache, default_cache

if TYPE_CHECKING:
    from bitmixer.execution import StepwiseRun

LIMIT = int(np.iinfo(np.int64).max)
Key = tuple[int, tuple[tuple[int, Widths], ...]]
"""Position of a site, and the widths that are committed when it is issued: position -> widths, its own included."""


class ValueCycles(Observer):
    """Answers how long an issued layer occupies the array, from the codes of its frame's inputs.

    The operands of a site follow from the widths of the sites before it and of their key consumers, all of which are
    committed when it is issued. Each input, site and prefix of widths is computed once, by a resumable run of the
    network with these widths, and kept on disk: a stream that revisits its inputs, and other runs, compute nothing
    again.

    Args:
        array: The array; its cycles depend on activations.
        loaded: The network with its data.
        begin: Starts, or finds, the run of a frame's inputs; needed only where cycles are not yet known.
        cache: Where cycles are kept; in the user's cache folder if not given.
    """

    def __init__(
        self, array: ValueArray, loaded: LoadedNetwork, *, begin: Callable[[Sequence[int]], StepwiseRun] | None = None,
        cache: TableCache | None = None,
    ) -> None:  # fmt: skip
        self._array = array
        self._graph = loaded.graph
        self._begin = begin or loaded.stepwise
        self._cache = cache or cycle_cache(array, loaded)
        self._tables: dict[Key, Int64Array] = {}
        self._grown: set[Key] = set()

    def frame_started(self, event: FrameStarted) -> None:
        """Begin with the frame's inputs; nothing is committed."""
        self._inputs = list(event.inputs)
        self._committed: dict[int, Widths] = {}
        self._run: StepwiseRun | None = None

    def __call__(self, issued: LayerIssued) -> int:
        """Return the array's cycles for a layer of the frame that started last, over all its inputs."""
        layer = self._graph.layers[issued.position]
        self._committed[issued.position] = issued.widths
        key = issued.position, tuple(sorted(self._committed.items()))
        table = self._table(key)
        if (table[self._inputs] == UNKNOWN).any():
            table[self._inputs] = self._array.cycles(layer, self._stepwise().operands(layer.name))
            self._grown.add(key)
        if layer.key_consumer is not None and issued.consumer_widths is not None:
            self._committed[self._graph.index[layer.key_consumer]] = issued.consumer_widths
        return int(table[self._inputs].sum())

    def keep(self) -> None:
        """Write to disk what was computed since the last call."""
        for key in self._grown:
            self._cache.store(key, self._tables[key])
        self._grown.clear()

    def _table(self, key: Key) -> Int64Array:
        if key not in self._tables:
            self._tables[key] = self._cache.load(key)
        return self._tables[key]

    def _stepwise(self) -> StepwiseRun:
        if self._run is None:
            self._run = self._begin(self._inputs)
        for position, widths in self._committed.items():
            self._run.commit(self._graph.layers[position].name, BitWidths(*widths))
        return self._run


def cycle_cache(array: ValueArray, loaded: LoadedNetwork) -> TableCache:
    """Return where the cycles of a network's layers on an array are kept, a number per input of the test split."""
    folder = default_cache() / "cycles" / _identity(array, loaded.identity)
    return TableCache(folder, shape=(len(loaded.labels),), dtype=np.int64, limit=LIMIT)


def weight_cycles(array: ValueArray, checkpoint: Checkpoint, bits: Sequence[int]) -> Int64Array:
    """Return the cycles of each site for one input, where they depend on weights alone.

    Args:
        array: Such an array.
        checkpoint: The network.
        bits: Weight bits, one per column of the result.

    Returns:
        Cycles, shape (sites, bits); 0 where a site does not allow these bits.

    Raises:
        CheckpointError: The network has no weights, or they are damaged.
        ConfigurationError: The array cannot take codes of this kind.
    """
    require_weights(checkpoint)
    graph = checkpoint.graph
    folder = default_cache() / "cycles" / _identity(array, checkpoint.sha256)
    cache = TableCache(folder, shape=(len(graph.layers), len(bits)), dtype=np.int64, limit=LIMIT)
    table: Int64Array = cache.load(["weights", *bits])
    if (table == UNKNOWN).any():
        table = np.zeros_like(table)
        for assignment, operands in weight_operands(checkpoint, _covering(graph)):
            columns = [bits.index(assignment[layer.name].weight) for layer in graph.layers]
            table[np.arange(len(columns)), columns] = network_cycles(array, graph, operands)[:, 0]
        cache.store(["weights", *bits], table)
    return table


def _covering(graph: LayerGraph) -> Iterator[BitAssignment]:
    """Yield assignments in which each site takes each of its weight widths at least once."""
    choices = [list({widths.weight: widths for widths in layer.allowed}.values()) for layer in graph.layers]
    for turn in range(max(map(len, choices))):
        chosen = (widths[turn % len(widths)] for widths in choices)
        yield BitAssignment({layer.name: widths for layer, widths in zip(graph.layers, chosen, strict=True)})


def _identity(array: ValueArray, network: str) -> str:
    parts = [array.name, repr(array), network, source_sha256("bitmixer", "hwsim")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
