"""What the schemes of bsq.md earn on bit-serial arrays: cycles and energy of one image, from the trained weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bitmixer import capture, load_data
from bitmixer.bitwidths import BitWidths
from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint, original_of, save_checkpoint, twin_of
from bitmixer.operands import SiteOperands
from hwsim.accelerator import build_accelerator
from hwsim.config.array_profile import ArrayProfile, load_any_profile
from hwsim.cost import cost_table
from hwsim.cost.arrays import ArrayModel
from hwsim.cost.arrays.valued import BitVert, BitWave, ValueArray, network_cycles
from hwsim.value_cycles import weight_cycles

GROUPS = (8, 16, 32)
DENSE = "dense, 8 bits"
STATIC = ("stripes", "loom")
CALIBRATION_IMAGES = 256


def priced(checkpoint: Checkpoint) -> dict[str, dict[str, float]]:
    """Return array -> cycles of the array and joules of one image, memory and vector unit included in the latter."""
    assignment = {layer.name: layer.allowed[0] for layer in checkpoint.graph.layers}
    found = {name: _cost(checkpoint, assignment, name, None) for name in STATIC}
    for group in GROUPS:
        wave = BitWave(group=group, rows=32, columns=16)
        vert = BitVert(group=group, multipliers=group // 2, rows=32, columns=16)
        found[f"bit-serial, groups of {group}"] = _cost(
            checkpoint, assignment, "bitwave", wave, _every_column(wave, checkpoint)
        )
        for name, array in (("bitwave", wave), ("bitvert", vert)):
            counted = weight_cycles(array, checkpoint, checkpoint.graph.widths)
            found[f"{name}, groups of {group}"] = _cost(checkpoint, assignment, name, array, counted)
    return found


def priced_at_widths(checkpoint: Checkpoint, rows: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return array -> uniform weight bits -> cycles and joules of one image, of a network that switches its widths.

    Args:
        checkpoint: The network; its codes are two's complement, so that without skipping a width takes as many cycles.
        rows: Output channels at once, of BitWave and BitVert.
    """
    group = GROUPS[0]
    wave = BitWave(group=group, rows=rows, columns=16)
    vert = BitVert(group=group, multipliers=group // 2, rows=rows, columns=16)
    arrays: dict[str, tuple[str, ValueArray, Any]] = {"bit-serial": ("bitwave", wave, None)}
    for name, array in (("bitwave", wave), ("bitvert", vert)):
        arrays[name] = name, array, weight_cycles(array, checkpoint, checkpoint.graph.widths)
    graph = checkpoint.graph
    assignments = {str(bits): graph.uniform(bits) for bits in graph.uniform_bits}
    return {
        title: {bits: _cost(checkpoint, own, name, array, counted) for bits, own in assignments.items()}
        for title, (name, array, counted) in arrays.items()
    }


def _cost(
    checkpoint: Checkpoint,
    assignment: Mapping[str, BitWidths],
    profile: str,
    array: ArrayModel | None,
    cycles: Any = None,
) -> dict[str, float]:
    loaded = load_any_profile(profile)
    assert isinstance(loaded, ArrayProfile)
    chip = build_accelerator(loaded)
    graph = checkpoint.graph
    table = cost_table(
        graph, widths=graph.widths, inputs_per_frame=1, array=array or chip.array, memory=chip.memory,
        vector_lanes=chip.vector_lanes, energy_table=chip.energy_table, nodes=(),
        frequencies_hertz=chip.frequencies_hertz, weight_cycles=cycles,
    )  # fmt: skip
    sites = [(table.width_index(own.weight), table.width_index(own.activation)) for own in assignment.values()]
    total = sum(int(table.compute_cycles[site, w, a]) for site, (w, a) in enumerate(sites))
    return {"cycles": total, "joules": table.frame_energy_joules(assignment)}


def _every_column(array: ValueArray, checkpoint: Checkpoint) -> Any:
    """Return [site, width] the cycles where every plane of magnitude takes one, whatever it holds.

    Codes of two's complement, which reach one lower, have as many as their width: ``None``, the bound.
    """
    assert checkpoint.form is not None
    if checkpoint.form.quantizer != "symmetric":
        return None
    graph = checkpoint.graph
    full = np.zeros((len(graph.layers), len(graph.widths)), dtype=np.int64)
    counted = network_cycles(array, graph, (_full(layer) for layer in graph.layers))[:, 0]
    for site, layer in enumerate(graph.layers):
        full[site, graph.widths.index(layer.allowed[0].weight)] = counted[site]
    return full


def _full(layer: Any) -> SiteOperands:
    largest = 2 ** (layer.allowed[0].weight - 1) - 1
    shape = (layer.output_channels, layer.input_channels // layer.groups, layer.kernel_height, layer.kernel_width)
    read = (1, layer.input_channels, layer.input_height, layer.input_width)
    return SiteOperands(
        site=layer.name, widths=layer.allowed[0], weights=np.full(shape, largest, np.int32),
        activations=np.zeros(read, np.int32),
    )  # fmt: skip


def dense(searched: Checkpoint, float_state: Path, folder: Path) -> Checkpoint:
    """Return the float network that a search started from, with its weights rounded to 8 bits and not trained on.

    Args:
        searched: A checkpoint of the search.
        float_state: The state of its float stage.
        folder: Where the checkpoint goes.
    """
    if (folder / "checkpoint.json").is_file():
        return find_checkpoint(folder)
    assert searched.form is not None
    assert searched.form.scheme is not None
    original = original_of(searched.form)
    original.load_state_dict(torch.load(float_state, weights_only=True)["network"])
    scheme = {site: BitWidths(8, widths.activation) for site, widths in searched.form.scheme.items()}
    form = dataclasses.replace(searched.form, scheme=scheme)
    network = twin_of(original.eval(), form)
    images, _ = load_data("cifar10")
    network.calibrate_activations(images[:CALIBRATION_IMAGES])
    network.calibrate_weights()
    network.quantize()
    graph = capture(network, images[:1], name=folder.name)
    return save_checkpoint(folder, network, graph, form, None, name=folder.name, recipe=None)


def hardware(runs: Path, measured: dict[str, Any]) -> dict[str, Any] | None:
    """Return network -> array -> costs, of every arm that is trained and of the dense network; ``None`` before any is."""
    done = {name: arm for name, arm in measured.items() if arm is not None and arm["kind"] in ("bsq", "csq", "uniform")}
    searched = next((arm for arm in done.values() if arm["kind"] == "bsq"), None)
    if searched is None:
        return None
    first = find_checkpoint(runs / searched["recipe"])
    found = {DENSE: priced(dense(first, first.path / "float_state.pt", runs / "bsq_dense"))}
    return found | {name: priced(find_checkpoint(runs / arm["recipe"])) for name, arm in done.items()}
