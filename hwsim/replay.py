"""Recompute recorded predictions from the records alone, and say whether they hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.errors import RecordsError
from hwsim.field_learning import version_file
from hwsim.layer_statistics import ANSWERING, site_positions
from hwsim.loading import loaded_network
from hwsim.outputs import LoadedNetwork, Predictions, lazy_predictions
from hwsim.records.store import RunFolder
from hwsim.records.streams import StreamTables, streams_of
from hwsim.simulation.events import FrameEnded, Widths


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of it.

    Attributes:
        frames: Frames whose predictions were recomputed.
        inputs: Inputs in them.
        assignments: Distinct realised assignments among them.
        mixed_frames: Frames in which the sites that are not pinned ran at different widths.
        differing: Frames whose recomputed predictions are not the recorded ones.
    """

    frames: int
    inputs: int
    assignments: int
    mixed_frames: int
    differing: tuple[int, ...]


def replay(folder: Path, *, frame: int | None = None) -> Replay:
    """Run the network again on recorded frames under the bits that the layer rows say; nothing is cached.

    Args:
        folder: A run folder.
        frame: Only this frame.

    Raises:
        RecordsError: The run has no outputs, no such frame, incomplete layer rows, or another network.
        CheckpointError: The network is missing or damaged.
    """
    run = RunFolder(folder)
    if run.manifest["data"] is None:
        raise RecordsError(f"{folder}: the run has no outputs (outputs: none), so there is nothing to replay")
    streams = [(stream, _recorded(stream, frame)) for stream in streams_of(run)]
    _require_some(run, frame, sum(len(recorded) for _, recorded in streams))
    replays = [_replay(stream, recorded) for stream, recorded in streams if recorded]
    return Replay(
        frames=sum(each.frames for each in replays),
        inputs=sum(each.inputs for each in replays),
        assignments=sum(each.assignments for each in replays),
        mixed_frames=sum(each.mixed_frames for each in replays),
        differing=tuple(sorted(number for each in replays for number in each.differing)),
    )


class Recorded(NamedTuple):
    """A frame, its data and the version of the network that it had, and its predictions as recorded."""

    event: FrameEnded
    data: str
    version: int
    known: NDArray[np.int32]


def _replay(stream: StreamTables, recorded: Sequence[Recorded]) -> Replay:
    checkpoint = find_checkpoint(stream.manifest["network_path"])
    if checkpoint.sha256 != stream.manifest["network_sha256"]:
        raise RecordsError(f"{stream.path}: network {checkpoint.name} is not the one that ran; restore that checkpoint")
    predictions = _predictions(loaded_network(checkpoint, stream.manifest["data"]), stream, recorded)
    return Replay(
        frames=len(recorded),
        inputs=sum(len(each.event.inputs) for each in recorded),
        assignments=len({each.event.widths for each in recorded}),
        mixed_frames=sum(_is_mixed(stream, each.event.widths) for each in recorded),
        differing=tuple(
            frame.event.frame for frame in recorded if not np.array_equal(predictions[frame.event.frame], frame.known)
        ),
    )


def _predictions(loaded: LoadedNetwork, stream: StreamTables, recorded: Sequence[Recorded]) -> Predictions:
    """Return what the network answers on the data of each frame, version by version where it learned."""
    groups: dict[tuple[int, str], list[FrameEnded]] = defaultdict(list)
    for each in recorded:
        groups[each.version, each.data].append(each.event)
    predictions: Predictions = {}
    version = 0
    for (wanted, data), events in sorted(groups.items()):
        for later in range(version + 1, wanted + 1):
            loaded.change(version_file(stream.path, later))
        version = wanted
        predictions |= lazy_predictions(loaded.sharing(data), events)
    return predictions


def _recorded(stream: StreamTables, only: int | None) -> list[Recorded]:
    """Return the frames of a stream that have predictions, with the widths that their layer rows say."""
    columns = ["frame", "status", "data", "network_version", "final_attempt", "input_indices", "predictions"]
    table = stream.table("frames", columns)
    if only is not None:
        table = table.filter(pc.equal(table["frame"], only))
    widths = _realised_widths(stream, only)
    found = []
    for row in table.to_pylist():
        if not row["predictions"]:
            continue
        attempt = (row["frame"], row["final_attempt"])
        if attempt not in widths:
            raise RecordsError(f"{stream.path}: frame {row['frame']} has predictions but not one row for every layer")
        event = FrameEnded(row["frame"], row["status"], 0, 0, 0, 0, tuple(row["input_indices"]), widths[attempt], 0.0)
        found.append(Recorded(event, row["data"], row["network_version"], np.array(row["predictions"], dtype=np.int32)))
    return found


def _require_some(run: RunFolder, only: int | None, found: int) -> None:
    """Check that there are frames to run again, or say why not."""
    if found:
        return
    if only is None:
        raise RecordsError(f"{run.path}: the run has no predictions")
    if only not in run.table("frames", ["frame"])["frame"].to_pylist():
        raise RecordsError(f"{run.path}: no frame {only}; frames are numbered from 0 in the order of arrival")
    raise RecordsError(f"{run.path}: frame {only} was dropped and has no predictions")


def _realised_widths(run: StreamTables, only: int | None) -> dict[tuple[int, int], tuple[Widths, ...]]:
    """Return what every attempt that is complete ran at: (frame, attempt) -> widths."""
    table = run.table("layers", ["frame", "attempt", "purpose", "layer", "weight_bits", "activation_bits"])
    table = table.filter(pc.is_in(table["purpose"], value_set=pa.array(ANSWERING)))
    if only is not None:
        table = table.filter(pc.equal(table["frame"], only))
    positions = site_positions(table, run.graph)
    order = np.lexsort((positions, table["attempt"].to_numpy(), table["frame"].to_numpy()))
    frames, attempts = (table[name].to_numpy()[order] for name in ("frame", "attempt"))
    pairs = list(
        zip(
            table["weight_bits"].to_numpy()[order].tolist(),
            table["activation_bits"].to_numpy()[order].tolist(),
            strict=True,
        )
    )
    starts = np.flatnonzero(np.diff(frames, prepend=-1) | np.diff(attempts, prepend=-1))
    ends = [*starts[1:].tolist(), len(frames)][: len(starts)]
    every_site = list(range(len(run.graph.layers)))
    return {
        (int(frames[start]), int(attempts[start])): tuple(pairs[start:end])
        for start, end in zip(starts.tolist(), ends, strict=True)
        if positions[order[start:end]].tolist() == every_site
    }


def _is_mixed(run: StreamTables, widths: tuple[Widths, ...]) -> bool:
    free = {pair for layer, pair in zip(run.graph.layers, widths, strict=True) if not layer.pinned}
    return len(free) > 1
