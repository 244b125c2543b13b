"""Accuracy of a packed file's network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from bitmixer.data import load_data, require_shape
from bitmixer.errors import DataError
from bitmixer.evaluation import Evaluation
from bitmixer.execution import BATCH_SIZE
from bitmixer.packed.file import load_packed


def evaluate_packed(file: Path, data: str | None) -> Evaluation:
    """Measure a packed network on the test split of ``data``.

    Args:
        file: What :func:`bitmixer.packed.file.pack_checkpoint` wrote.
        data: Data name, corruption included; that of the training where not given.

    Raises:
        CheckpointError: The file is no packed network, of another version, incomplete or changed.
        DataError: The data name is unknown or not given, or its inputs are of another shape than the network's.
        MissingExtraError: numba is not installed.
    """
    network, description = load_packed(file)
    chosen = data or description.data
    if chosen is None:
        raise DataError(f"{file} does not say what its network was trained on: give --data")
    require_shape(chosen, description.input_shape, description.name)
    inputs, labels = load_data(chosen)
    predictions = torch.cat([network(batch).argmax(dim=1) for batch in torch.split(inputs, BATCH_SIZE)])
    return Evaluation(
        network=description.name,
        data=chosen,
        data_sha256=hashlib.sha256(inputs.numpy().tobytes() + labels.numpy().tobytes()).hexdigest(),
        inputs=len(labels),
        uniform={1: float((predictions == labels).double().mean())},
        random=(),
        seed=0,
    )
