"""What ``hwsim cost`` prints: a layer table, or a network at one width, priced on an array."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.config.profile import DeviceProfile, load_profile
from hwsim.cost import arrays, layer_csv
from hwsim.cost.arrays import ArrayModel
from hwsim.device import Device, array_parameters, build_device
from hwsim.errors import ConfigurationError


def price(
    array: str, *, layers: Path | None, network: str | None, bits: int | None, inputs: int, profile: str,
    sets: Sequence[str],
) -> str:  # fmt: skip
    """Return CSV, one row per layer.

    Raises:
        ConfigurationError: Neither or both of table and network, an unknown array, or a wrong parameter.
        DocumentError: The profile is invalid.
        CheckpointError: The network is unknown.
    """
    if (layers is None) == (network is None):
        raise ConfigurationError("hwsim cost: give either --layers FILE.csv or --network NAME")
    loaded = load_profile(profile)
    device = build_device(loaded)
    model = _array(array, loaded, sets)
    if layers is not None:
        priced = layer_csv.price_layers(
            layers, array=model, memory=device.memory, energy_table=device.energy_table,
            frequency_hertz=device.frequencies_hertz[0],
        )  # fmt: skip
        return layer_csv.to_csv(priced)
    assert network is not None
    return _network_csv(device, model, network, bits, inputs)


def _array(name: str, profile: DeviceProfile, sets: Sequence[str]) -> ArrayModel:
    """Return an array model with the profile's parameters, where it is the profile's, changed by ``sets``."""
    parameters = array_parameters(profile) if name == profile.array.kind else {}
    for item in sets:
        key, equals, value = item.partition("=")
        if not equals or not value.isdecimal():
            raise ConfigurationError(f"--set {item}: expected PARAMETER=WHOLE NUMBER, for example rows=16")
        parameters[key] = int(value)
    return arrays.build(name, **parameters)


def _network_csv(device: Device, model: ArrayModel, network: str, bits: int | None, inputs: int) -> str:
    graph = find_checkpoint(network).graph
    assignment = graph.uniform(bits if bits is not None else max(graph.uniform_bits))
    costs = dataclasses.replace(device, array=model).cost_table(graph, inputs)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([
        "layer", "weight_bits", "activation_bits", "compute_cycles", "total_cycles", "memory_stall_cycles",
        "dram_bits", "energy_joules",
    ])  # fmt: skip
    for position, layer in enumerate(graph.layers):
        widths = assignment[layer.name]
        following = widths if layer.key_consumer is None else assignment[layer.key_consumer]
        weight, activation = costs.width_index(widths.weight), costs.width_index(widths.activation)
        site = (position, weight, activation, costs.width_index(following.activation), 0)
        compute = int(costs.compute_cycles[position, weight, activation])
        total = int(costs.total_cycles[(0, *site)])
        dram = int(costs.dram_read_bits[site] + costs.dram_write_bits[site])
        writer.writerow([
            layer.name, widths.weight, widths.activation, compute, total, total - compute, dram,
            float(costs.energy_joules[site]),
        ])  # fmt: skip
    return text.getvalue()
