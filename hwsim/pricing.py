"""What ``hwsim cost`` prints: a layer table, or a network at some of its widths, priced on an array."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitmixer.assignment_file import load_assignment
from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer, LayerGraph
from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.accelerator import build_accelerator
from hwsim.config.array_profile import ArrayProfile, load_any_profile
from hwsim.config.overrides import PROFILE_PREFIX, split_sets
from hwsim.config.packaged import packaged_names
from hwsim.config.profile import DeviceProfile
from hwsim.cost import CostTable, arrays, layer_csv
from hwsim.cost.arrays import ArrayModel, LayerShapes, SchedulingArray
from hwsim.cost.arrays.base import utilisation
from hwsim.cost.energy import EnergyTable
from hwsim.cost.priced_table import PricedTable
from hwsim.device import build_device
from hwsim.errors import ConfigurationError

DEFAULT_PROFILE = "bismo_pynq_z1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """At which widths a network is priced; its highest uniform width if nothing is chosen.

    Attributes:
        bits: One uniform width.
        all_widths: Every site at every pair of widths that it allows. A site's results are written at its key
            consumer's activation bits, which such a table cannot know: it takes the site's own, or the consumer's where
            that is pinned. The rows of an assignment therefore add up to nearly what the assignment costs.
        assignment: File of an assignment.
    """

    bits: int | None = None
    all_widths: bool = False
    assignment: Path | None = None

    @property
    def options(self) -> list[str]:
        """What was chosen, as options of the command line."""
        given = {
            "--bits": self.bits is not None,
            "--all-widths": self.all_widths,
            "--assignment": bool(self.assignment),
        }
        return [option for option, is_given in given.items() if is_given]

    def require_one(self) -> None:
        """Check that no more than one choice was made.

        Raises:
            ConfigurationError: Several were, or no layer has so few bits.
        """
        if self.bits is not None and self.bits < 1:
            raise ConfigurationError(f"hwsim cost: --bits {self.bits}: expected a whole number from 1")
        if len(self.options) > 1:
            raise ConfigurationError(f"hwsim cost: {' and '.join(self.options)} exclude one another: give one")


def price(
    array: str | None, *, layers: Path | None, network: str | None, widths: Widths, inputs: int, profile: str | None,
    sets: Sequence[str],
) -> PricedTable:  # fmt: skip
    """Return one row per layer, or per layer and widths.

    The array is that of ``profile`` (a device's or an array's; ``DEFAULT_PROFILE`` if ``None``) unless ``array`` says
    otherwise; its parameters are the profile's where it is the profile's, changed by ``sets``, which also change the
    profile (``profile.PATH=VALUE``). An array with buffers, DRAM interface and energies of its own (bitfusion) is
    priced with them, others with the memory and the energies of the profile. ``inputs`` is for networks.

    Raises:
        ConfigurationError: Neither or both of table and network, more than one choice of widths or one for a table, an
            unknown array, a wrong parameter, or an array that is not the array profile's.
        DocumentError: The profile or the assignment is invalid.
        CheckpointError: The network is unknown.
    """
    _check_options(layers, network, widths, inputs)
    loaded, parameters = profile_and_parameters(profile, sets)
    kind = array or loaded.array.kind
    if isinstance(loaded, ArrayProfile) and kind != loaded.array.kind:
        raise ConfigurationError(
            f"profile {loaded.name} is that of an array of kind {loaded.array.kind}: leave --array {kind} out"
        )
    model = build_array(kind, loaded, parameters)
    device = build_accelerator(loaded) if isinstance(loaded, ArrayProfile) else build_device(loaded)
    if isinstance(model, SchedulingArray):
        is_own = kind == loaded.array.kind
        if not is_own and (profile is not None or len(parameters) < len(sets)):
            option = "--profile" if profile is not None else f"--set {PROFILE_PREFIX}PATH"
            raise ConfigurationError(f"array {kind} has its own memory and energies: leave {option} out")
        return _scheduled(model, layers, network, widths, inputs, device.frequencies_hertz[0] if is_own else None)
    if layers is not None:
        return layer_csv.price_layers(
            layers, array=model, memory=device.memory, energy_table=device.energy_table,
            frequency_hertz=device.frequencies_hertz[0],
        )  # fmt: skip
    assert network is not None
    graph = find_checkpoint(network).graph
    costs = dataclasses.replace(device, array=model).cost_table(graph, inputs)
    return _network_table(costs, list(priced_widths(graph, widths)), model, device.energy_table)


def _check_options(layers: Path | None, network: str | None, widths: Widths, inputs: int) -> None:
    if (layers is None) == (network is None):
        raise ConfigurationError("hwsim cost: give either --layers FILE.csv or --network NAME")
    if layers is not None and inputs != 1:
        raise ConfigurationError("hwsim cost: --inputs goes with --network: a layer table is priced for one input")
    if layers is not None and widths.options:
        raise ConfigurationError(f"hwsim cost: {widths.options[0]} goes with --network: a layer table holds its widths")
    widths.require_one()


def profile_and_parameters(profile: str | None, sets: Sequence[str]) -> tuple[DeviceProfile | ArrayProfile, list[str]]:
    """Return a profile as ``profile.PATH=VALUE`` among ``sets`` change it, and the others: parameters of its array.

    Raises:
        ConfigurationError: An item is not ``path=value``, or the profile is unknown.
        DocumentError: The profile is invalid.
    """
    changes = [item for item in sets if item.startswith(PROFILE_PREFIX)]
    _, overrides = split_sets(changes)
    found = load_any_profile(DEFAULT_PROFILE if profile is None else profile, overrides)
    return found, [item for item in sets if item not in changes]


def borrowed(array: str | None, profile: str | None) -> str | None:
    """Return a note on whose memory, clock and energies price an array, where they are not its own."""
    if array is None or profile is not None or array not in arrays.ARRAYS:
        return None
    if array == load_any_profile(DEFAULT_PROFILE).array.kind or hasattr(arrays.ARRAYS[array], "schedule"):
        return None
    own = f"; --profile {array} has its own" if array in packaged_names("profiles/arrays") else ""
    return f"array {array} is priced with the memory, clock and energies of profile {DEFAULT_PROFILE}{own}"


def _scheduled(
    model: SchedulingArray, layers: Path | None, network: str | None, widths: Widths, inputs: int, hertz: int | None
) -> PricedTable:
    if layers is not None:
        return layer_csv.schedule_layers(layers, model, hertz)
    assert network is not None
    graph = find_checkpoint(network).graph
    if any(layer.gather for layer in graph.layers):
        raise ConfigurationError(
            f"array {model.name} schedules dense layers in buffers of its own, and {graph.network} gathers over a "
            "graph: choose another array"
        )
    sites = [(layer, own) for layer, own, _ in priced_widths(graph, widths)]
    weight_bits, activation_bits = np.array([own for _, own in sites], dtype=np.int64).T
    shapes = LayerShapes.of([layer for layer, _ in sites], inputs_per_frame=graph.passes(inputs), trailing_axes=0)
    found = dict(layer_csv.scheduled(model, shapes, weight_bits, activation_bits, hertz).columns)
    names = found.pop("layer")
    bits = {"weight_bits": weight_bits.tolist(), "activation_bits": activation_bits.tolist()}
    return PricedTable(columns={"layer": names, **bits, **found})


def build_array(name: str, profile: DeviceProfile | ArrayProfile | None, sets: Sequence[str]) -> ArrayModel:
    """Return an array model with the profile's parameters, where it is the profile's, changed by ``sets``.

    Raises:
        ConfigurationError: The array does not exist, or a parameter is unknown, wrong or missing.
    """
    defaults = profile.array.parameters() if profile is not None and name == profile.array.kind else {}
    return arrays.build(name, **{**defaults, **arrays.parse_parameters(name, sets)})


def priced_widths(graph: LayerGraph, widths: Widths) -> Iterator[tuple[Layer, BitWidths, int]]:
    """Yield layers, their widths and the activation bits of their key consumers (its own, if a layer has none)."""
    if widths.all_widths:
        for layer in graph.layers:
            consumer = None if layer.key_consumer is None else graph[layer.key_consumer]
            for own in layer.allowed:
                yield layer, own, consumer.allowed[0].activation if consumer and consumer.pinned else own.activation
        return
    pinned = all(layer.pinned for layer in graph.layers)
    if pinned and widths.bits is not None and widths.bits not in graph.uniform_bits:
        raise ConfigurationError(
            f"--bits {widths.bits}: network {graph.network} is pinned throughout and cannot run at {widths.bits} bits: "
            f"its one assignment goes by the width of most of its sites, {graph.uniform_bits[0]}"
        )
    if widths.assignment is not None:
        assignment = load_assignment(widths.assignment, graph.layers, network=graph.network)
    else:
        assignment = graph.uniform(widths.bits if widths.bits is not None else max(graph.uniform_bits))
    for layer in graph.layers:
        own = assignment[layer.name]
        yield layer, own, own.activation if layer.key_consumer is None else assignment[layer.key_consumer].activation


def _network_table(
    costs: CostTable, priced: Sequence[tuple[Layer, BitWidths, int]], array: ArrayModel, energy_table: EnergyTable
) -> PricedTable:
    position, weight, activation, following = np.array([
        (costs.graph.index[layer.name], *map(costs.width_index, (*own, after))) for layer, own, after in priced
    ]).T  # fmt: skip
    site = (position, weight, activation, following, 0)
    bits = np.array([own for _, own, _ in priced], dtype=np.int64)
    compute, total = costs.compute_cycles[position, weight, activation], costs.total_cycles[(0, *site)]
    macs = costs.inputs_per_frame * np.array([layer.macs for layer, _, _ in priced], dtype=np.int64)
    columns = {
        "weight_bits": bits[:, 0],
        "activation_bits": bits[:, 1],
        "compute_cycles": compute,
        "total_cycles": total,
        "memory_stall_cycles": total - compute,
        "dram_bits": costs.dram_read_bits[site] + costs.dram_write_bits[site],
        "energy_joules": costs.energy_joules[site],
        "utilisation": utilisation(array, macs, compute, *bits.T),
        "seconds": total / costs.frequencies_hertz[0],
    }
    joules = energy_table.joules_by_action({action: count[site] for action, count in costs.counts.items()})
    return PricedTable(
        columns={
            "layer": [layer.name for layer, _, _ in priced],
            **{name: values.tolist() for name, values in columns.items()},
        },
        joules_by_action={action: values.tolist() for action, values in joules.items()},
    )
