"""Hashes of what decides the course of a training, which its state must belong to."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from bitmixer.data import ImageSet
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.training.recipe import Training


def identity_of(training: Training, fields: set[str] | None = None) -> str:
    """Return a hash of what was chosen; a key that a later version adds, at its default, does not change it."""
    chosen = training.model_dump(mode="json", include={*fields, "stages"} if fields else None, exclude_defaults=True)
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def identity_of_all(training: Training, network: MetaQuantizedNetwork, images: ImageSet) -> str:
    """Return a hash of everything that decides where a training ends."""
    content = hashlib.sha256(identity_of(training).encode() + network.body.code.encode())
    for name, tensor in network.state_dict().items():
        content.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    for array in (images.train_inputs, images.train_labels):
        content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()
