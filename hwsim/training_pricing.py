"""What ``hwsim cost --training`` prints: a training step in narrow floats, product by product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitmixer.errors import did_you_mean
from bitmixer.networks.checkpoint import find_checkpoint
from bitmixer.quantizers.float_formats import FLOAT16
from hwsim.accelerator import Accelerator, build_accelerator
from hwsim.config.array_profile import ArrayProfile
from hwsim.cost.arrays import ArrayModel
from hwsim.cost.priced_table import PricedTable
from hwsim.cost.training import FORMATS, Part, array_work, require_significands, training_parts, vector_cycles
from hwsim.device import Device, build_device
from hwsim.errors import ConfigurationError
from hwsim.pricing import build_array, profile_and_parameters


def price_training(
    array: str | None, *, network: str, training: str, inputs: int, profile: str | None, sets: Sequence[str]
) -> PricedTable:
    """Return one row per layer and product of a training step of ``inputs`` inputs, and one for each update.

    The first and the last layer multiply float16 (arXiv 1905.12334); nothing stays on chip from product to product.
    Column ``energy_per_sample_joules`` is a row's energy over the inputs: its total is what it costs to learn from one.

    Raises:
        ConfigurationError: No such training, an array that is not bit-serial, or a wrong parameter.
        DocumentError: The profile is invalid.
        CheckpointError: The network is unknown.
    """
    if training not in FORMATS:
        raise ConfigurationError(f"--training {training}: {did_you_mean(training, FORMATS)}")
    loaded, parameters = profile_and_parameters(profile, sets)
    model = build_array(array or loaded.array.kind, loaded, parameters)
    require_significands(model)
    graph = find_checkpoint(network).graph
    ends = {graph.layers[0].name, graph.layers[-1].name}
    formats = {layer.name: FORMATS["float16" if layer.name in ends else training] for layer in graph.layers}
    device = build_accelerator(loaded) if isinstance(loaded, ArrayProfile) else build_device(loaded)
    rows = [_row(part, model, device, inputs) for part in training_parts(graph.layers, formats, inputs)]
    return PricedTable(columns={name: [row[name] for row in rows] for name in rows[0]})


def _row(part: Part, array: ArrayModel, device: Accelerator | Device, inputs: int) -> dict[str, object]:
    compute, counts = array_work(array, part)
    hertz = device.frequencies_hertz[0]
    memory = int(device.memory.cycles(part.traffic, hertz))
    total = max(compute, memory, vector_cycles(part, device.vector_lanes))
    actions = {**counts, "vector_operation": part.vector_operations, "dram_bit": part.read_bits + part.write_bits}
    joules = float(device.energy_table.energy_joules({name: np.array(count) for name, count in actions.items()}))
    significands = np.array([form.significand_bits for form in part.operands] or [1, 1], dtype=np.int64)
    peak = float(array.peak_macs_per_cycle(*significands.reshape(2, 1))[0])
    return {
        "layer": part.layer,
        "product": part.product,
        "formats": " x ".join("float16" if form is FLOAT16 else form.name for form in part.operands),
        "macs": part.macs,
        "compute_cycles": compute,
        "total_cycles": total,
        "memory_stall_cycles": total - compute,
        "dram_bits": actions["dram_bit"],
        "energy_joules": joules,
        "utilisation": part.macs / (compute * peak) if compute else 0.0,
        "seconds": total / hertz,
        "energy_per_sample_joules": joules / inputs,
    }
