"""Recompute recorded predictions from the records alone, and say whether they hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.errors import RecordsError
from hwsim.layer_statistics import site_positions
from hwsim.outputs import LoadedNetwork, lazy_predictions
from hwsim.records.store import RunFolder
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
    recorded = _recorded(run, frame)
    checkpoint = find_checkpoint(run.manifest["network_path"])
    if checkpoint.sha256 != run.manifest["network_sha256"]:
        raise RecordsError(f"{folder}: network {checkpoint.name} is not the one that ran; restore that checkpoint")
    loaded = LoadedNetwork(checkpoint, run.manifest["data"])
    predictions = lazy_predictions(loaded, (event for event, _ in recorded))
    return Replay(
        frames=len(recorded),
        inputs=sum(len(event.inputs) for event, _ in recorded),
        assignments=len({event.widths for event, _ in recorded}),
        mixed_frames=sum(_is_mixed(run, event.widths) for event, _ in recorded),
        differing=tuple(
            event.frame for event, known in recorded if not np.array_equal(predictions[event.frame], known)
        ),
    )


def _recorded(run: RunFolder, only: int | None) -> list[tuple[FrameEnded, NDArray[np.int32]]]:
    """Return the frames that have predictions, with the widths that their layer rows say."""
    columns = ["frame", "status", "input_indices", "predictions"]
    table = run.table("frames", columns)
    if only is not None:
        table = table.filter(pc.equal(table["frame"], only))
        if not table.num_rows:
            raise RecordsError(f"{run.path}: no frame {only}; frames are numbered from 0 in the order of arrival")
    widths = _realised_widths(run, only)
    found = []
    for row in table.to_pylist():
        if not row["predictions"]:
            continue
        if row["frame"] not in widths:
            raise RecordsError(f"{run.path}: frame {row['frame']} has predictions but not one row for every layer")
        event = FrameEnded(
            row["frame"], row["status"], 0, 0, 0, 0, tuple(row["input_indices"]), widths[row["frame"]], 0.0
        )
        found.append((event, np.array(row["predictions"], dtype=np.int32)))
    if not found:
        what = "the run has no predictions" if only is None else f"frame {only} was dropped and has no predictions"
        raise RecordsError(f"{run.path}: {what}")
    return found


def _realised_widths(run: RunFolder, only: int | None) -> dict[int, tuple[Widths, ...]]:
    table = run.table("layers", ["frame", "layer", "weight_bits", "activation_bits"])
    if only is not None:
        table = table.filter(pc.equal(table["frame"], only))
    positions = site_positions(table, run.graph)
    order = np.lexsort((positions, table["frame"].to_numpy()))
    frames = table["frame"].to_numpy()[order]
    pairs = list(
        zip(
            table["weight_bits"].to_numpy()[order].tolist(),
            table["activation_bits"].to_numpy()[order].tolist(),
            strict=True,
        )
    )
    starts = np.flatnonzero(np.diff(frames, prepend=-1))
    ends = [*starts[1:].tolist(), len(frames)][: len(starts)]
    every_site = list(range(len(run.graph.layers)))
    return {
        int(frames[start]): tuple(pairs[start:end])
        for start, end in zip(starts.tolist(), ends, strict=True)
        if positions[order[start:end]].tolist() == every_site
    }


def _is_mixed(run: RunFolder, widths: tuple[Widths, ...]) -> bool:
    free = {pair for layer, pair in zip(run.graph.layers, widths, strict=True) if not layer.pinned}
    return len(free) > 1
