"""What ``hwsim cost --data`` prints: the cycles that each input of a data set takes on an array that skips work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitmixer.bitwidths import BitAssignment
from bitmixer.data import require_shape
from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.cost.arrays import ARRAYS, VALUE_ARRAYS, ValueArray
from hwsim.cost.arrays.base import Int64Array
from hwsim.cost.arrays.valued import bound_cycles, network_cycles
from hwsim.cost.priced_table import PricedTable
from hwsim.errors import ConfigurationError
from hwsim.outputs import LoadedNetwork
from hwsim.pricing import Widths, build_array, priced_widths, profile_and_parameters

BATCH_SIZE = 50
"""Inputs whose operands are held at once."""


def count_values(
    array: str | None, *, network: str, data: str, inputs: int, widths: Widths, profile: str | None, sets: Sequence[str]
) -> PricedTable:
    """Return one row per layer: the least, mean and most array cycles of an input, beside the bound.

    Args:
        array: Name of an array whose cycles depend on values; the profile's where not given.
        network: A network with weights.
        data: Data set; its first test inputs are counted, each by itself.
        inputs: How many.
        widths: Of the network; one assignment.
        profile: Gives the array's parameters, where it is its own.
        sets: Parameters of the array, instead of those.

    Raises:
        ConfigurationError: The array does not depend on values, the set has fewer inputs, or a parameter is wrong.
        DataError: The data is unknown, or does not fit the network.
        CheckpointError: The network is unknown, or has no weights.
    """
    checkpoint = find_checkpoint(network)
    require_shape(data, checkpoint.graph.input_shape, checkpoint.name)
    loaded_profile, parameters = (None, list(sets)) if profile is None else profile_and_parameters(profile, sets)
    array = array or (None if loaded_profile is None else loaded_profile.array.kind)
    if array is None:
        raise ConfigurationError(
            f"--data: say which array skips work: --array or --profile with one of {', '.join(VALUE_ARRAYS)}"
        )
    if array in ARRAYS and array not in VALUE_ARRAYS:
        raise ConfigurationError(
            f"--data: array {array} takes the same cycles whatever the values: leave it out, or choose one of "
            f"{', '.join(VALUE_ARRAYS)}"
        )
    model: ValueArray = build_array(array, loaded_profile, parameters)  # type: ignore[assignment]
    widths.require_one()
    if widths.all_widths:
        raise ConfigurationError("--data: values flow under one assignment: give --bits or --assignment")
    loaded = LoadedNetwork(checkpoint, data)
    if inputs > len(loaded.labels):
        raise ConfigurationError(f"--inputs {inputs}: the test split of {data} has {len(loaded.labels)} inputs")
    assignment = BitAssignment({layer.name: own for layer, own, _ in priced_widths(loaded.graph, widths)})
    return _table(model, loaded, assignment, _cycles(model, loaded, assignment, inputs))


def _cycles(model: ValueArray, loaded: LoadedNetwork, assignment: BitAssignment, inputs: int) -> Int64Array:
    """Return the cycles of each site and input."""
    widths = [assignment[layer.name] for layer in loaded.graph.layers]
    batches = np.split(np.arange(inputs), range(BATCH_SIZE, inputs, BATCH_SIZE))
    counted = [network_cycles(model, loaded.graph, loaded.operands(widths, batch)) for batch in batches]
    return np.concatenate(counted, axis=1)


def _table(model: ValueArray, loaded: LoadedNetwork, assignment: BitAssignment, cycles: Int64Array) -> PricedTable:
    layers = loaded.graph.layers
    frames = cycles.sum(axis=0)
    columns = {
        "layer": [layer.name for layer in layers],
        "weight_bits": [assignment[layer.name].weight for layer in layers],
        "activation_bits": [assignment[layer.name].activation for layer in layers],
        "min_cycles": cycles.min(axis=1).tolist(),
        "mean_cycles": cycles.mean(axis=1).tolist(),
        "max_cycles": cycles.max(axis=1).tolist(),
        "bound_cycles": [bound_cycles(model, layer, assignment[layer.name]) for layer in layers],
    }
    # No input need be the quickest in every layer.
    whole = {"min_cycles": int(frames.min()), "mean_cycles": float(frames.mean()), "max_cycles": int(frames.max())}
    return PricedTable(columns=columns, whole=whole)
