"""A trained network of one's own becomes a checkpoint, which needs none of the code that it was made by."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from bitmixer.capturing import capture
from bitmixer.errors import CheckpointError
from bitmixer.evaluation import evaluate
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks.checkpoint import Checkpoint, original_of, save_checkpoint, twin_of


def save_network(
    network: MetaQuantizedNetwork, folder: str | Path, *, example: Tensor, data: str | None = None,
    name: str | None = None,
) -> Checkpoint:  # fmt: skip
    """Write a network that was trained or calibrated as a checkpoint, and return it.

    It is a network like those that come along: ``load_network``, ``bitmixer evaluate``, ``bitmixer search`` and the
    ``network:`` of a scenario take its folder. Loading runs no code of yours: the file names operations that
    ``bitmixer`` knows. That what is loaded computes the same is tried out here.

    Args:
        network: What ``convert`` made, with its quantisers fitted.
        folder: Where it goes.
        example: Some inputs, batch included; they tell the input's shape, and outputs are compared on them.
        data: Name of a data set, or path of a file that ``ImageSet.save`` wrote: accuracies at every uniform width are
            measured on its test split and kept, for controllers that ask for them.
        name: Name in records [the folder's].

    Raises:
        CheckpointError: The network has a part that cannot be built again from a file.
        QuantizerError: Its quantisers were never fitted.
        DataError: The data is unknown, damaged or of another shape.
    """
    place = Path(folder)
    network.quantize()
    network.eval()
    before = network.assignment
    called = name or place.resolve().name
    graph = capture(network, example[:1], name=called)
    again = twin_of(original_of(network.form), network.form)
    _require_equal(network, again, example)
    again.input_shape = tuple(example.shape[1:])
    metrics = None if data is None else evaluate(again, graph, data).as_dict()
    network.assign(before)
    return save_checkpoint(place, network, graph, network.form, metrics, name=called, recipe=None)


def _require_equal(network: MetaQuantizedNetwork, again: MetaQuantizedNetwork, example: Tensor) -> None:
    """Check that a network that was built again computes the same at every uniform width.

    Raises:
        CheckpointError: It has other parameters, or other results.
    """
    try:
        again.load_state_dict(network.state_dict())
    except RuntimeError as error:
        raise CheckpointError(f"the network cannot be built again from a file: {str(error).splitlines()[1]}") from None
    again.quantize()
    again.eval()
    for widths in network.uniform_widths:
        network.assign(network.uniform(widths))
        again.assign(again.uniform(widths))
        with torch.no_grad():
            same = torch.equal(network(example), again(example))
        if not same:
            raise CheckpointError(
                "the network that is built again computes otherwise: one of its layers changes what its class in torch "
                "does; write that as an operation of its own"
            )
