"""Layer tables: bare shapes with bits, one row per layer, read from CSV and priced one by one."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import did_you_mean
from bitmixer.graph import NETWORK_INPUT, Layer
from hwsim.cost.arrays.base import ArrayModel, Int64Array, LayerShapes, utilisation
from hwsim.cost.arrays.schedule import SchedulingArray
from hwsim.cost.energy import EnergyTable
from hwsim.cost.memory import Memory, Traffic, layer_traffic
from hwsim.cost.priced_table import PricedTable
from hwsim.errors import ConfigurationError

MAX_TABLE_BITS = 32
MAX_TABLE_ELEMENTS = 10**12
"""Largest multiply-accumulates or elements of one layer: above, 64-bit counts could overflow."""

SIZES = (
    *("input_channels", "output_channels", "kernel_height", "kernel_width", "stride", "padding"),
    *("input_height", "input_width", "output_height", "output_width"),
)
BITS = ("activation_bits", "weight_bits")
REQUIRED = ("layer", *SIZES, "macs", *BITS)
OPTIONAL = ("groups", "flattened_kernel")
RESULTS = (
    *("compute_cycles", "total_cycles", "total_cycles_with_prefetch", "memory_stall_cycles"),
    *("static_bound_cycles", "value_dependent", "energy_joules", "energy_picojoules"),
    *("dram_bits", "dram_read_bits", "dram_write_bits"),
    *("weight_buffer_read_bits", "weight_buffer_write_bits"),
    *("activation_buffer_read_bits", "activation_buffer_write_bits"),
    *("output_buffer_read_bits", "output_buffer_write_bits"),
    *("tile_output_size", "tile_input_channels"),
    *("utilisation", "seconds"),
)
"""Columns that simulators add to such tables; they are not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One line of the file, which knows where its cells stand."""

    path: Path
    line: int
    cells: dict[str, str]

    def fail(self, column: str, problem: str) -> NoReturn:
        before = list(self.cells)[: list(self.cells).index(column)]
        # Quotation marks are gone here: where cells are quoted, the column is a little to the left.
        position = 1 + sum(len(self.cells[name]) + 1 for name in before)
        raise ConfigurationError(f"{self.path}:{self.line}:{position}: {column}: {problem}")

    def integer(self, column: str, *, low: int, high: int) -> int:
        text = self.cells[column].strip()
        if not (text.isascii() and text.isdigit() and len(text) <= 18 and low <= int(text) <= high):
            self.fail(column, f"expected a whole number from {low} to {high}, found {text!r}")
        return int(text)


def read_layers(path: Path) -> tuple[Layer, ...]:
    """Read a layer table as layers that stand alone, each pinned at the bits of its row.

    The columns are those of ``REQUIRED`` and, if layers have groups, ``groups`` (default 1). ``macs`` must
    be output_height * output_width * kernel_height * kernel_width * input_channels / groups *
    output_channels. ``flattened_kernel`` is 1 for convolutions of the network's input, which some arrays do in
    another way; without this column, the first row is taken for one. Columns of results (``RESULTS``) are passed over.

    Raises:
        ConfigurationError: The file cannot be read, or is not such a table; says ``file:line:column``.
    """
    layers: dict[str, Layer] = {}
    lines: dict[str, int] = {}
    for row in _rows(path):
        layer = _layer(row, is_first=not layers)
        if layer.name in layers:
            row.fail("layer", f"{layer.name!r} is already on line {lines[layer.name]}: give each row its own name")
        layers[layer.name], lines[layer.name] = layer, row.line
    return tuple(layers.values())


def price_layers(
    path: Path, *, array: ArrayModel, memory: Memory, energy_table: EnergyTable, frequency_hertz: int
) -> PricedTable:
    """Price each layer of the table at ``path`` by itself, for one input.

    A bare table says nothing of what lies between layers: weights and input are read once, at the row's
    bits; outputs are written once, at the row's activation bits; there is no work for the vector unit, and no buffer.
    Total cycles are max(compute, memory), memory stalls what compute does not hide.

    Raises:
        ConfigurationError: The file cannot be read, or is not a layer table.
    """
    layers = read_layers(path)
    weight_bits, activation_bits = np.array([layer.allowed[0] for layer in layers], dtype=np.int64).T
    shapes = LayerShapes.of(layers, inputs_per_frame=1, trailing_axes=0)
    compute = array.compute_cycles(shapes, weight_bits, activation_bits)
    traffic = _bare_traffic(layers, weight_bits, activation_bits)
    total = np.maximum(compute, memory.cycles(traffic, frequency_hertz))
    counts = {**array.action_counts(shapes, weight_bits, activation_bits), "dram_bit": traffic.bits}
    columns = {
        "compute_cycles": compute,
        "total_cycles": total,
        "memory_stall_cycles": total - compute,
        "dram_bits": traffic.bits,
        "energy_joules": energy_table.energy_joules(counts),
        "utilisation": utilisation(array, shapes.macs, compute, weight_bits, activation_bits),
        "seconds": total / frequency_hertz,
    }
    return PricedTable(
        columns={"layer": shapes.names, **{name: values.tolist() for name, values in columns.items()}},
        joules_by_action={name: each.tolist() for name, each in energy_table.joules_by_action(counts).items()},
    )


def schedule_layers(path: Path, array: SchedulingArray, frequency_hertz: int | None) -> PricedTable:
    """Price a layer table on an array with its own memory and energies; seconds only where its clock is known.

    Raises:
        ConfigurationError: The file is not a layer table, or a layer cannot run on the array.
    """
    layers = read_layers(path)
    weight_bits, activation_bits = np.array([layer.allowed[0] for layer in layers], dtype=np.int64).T
    shapes = LayerShapes.of(layers, inputs_per_frame=1, trailing_axes=0)
    return scheduled(array, shapes, weight_bits, activation_bits, frequency_hertz)


def scheduled(
    array: SchedulingArray, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array,
    frequency_hertz: int | None,
) -> PricedTable:  # fmt: skip
    """Price layers on an array with its own memory and energies.

    Raises:
        ConfigurationError: A layer cannot run on the array.
    """
    found = array.schedule(shapes, weight_bits, activation_bits)
    part = utilisation(array, shapes.macs, found.compute_cycles, weight_bits, activation_bits)
    columns = {"layer": shapes.names, **found.columns(), "utilisation": part.tolist()}
    if frequency_hertz is not None:
        columns["seconds"] = (found.total_cycles / frequency_hertz).tolist()
    return PricedTable(columns=columns)


def _bare_traffic(layers: Sequence[Layer], weight_bits: Int64Array, activation_bits: Int64Array) -> Traffic:
    return layer_traffic(
        layers,
        inputs_per_frame=1,
        trailing_axes=0,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        stream_bits=activation_bits,
        residual_bits=0,
        weight_codes="nested",
    )


def _rows(path: Path) -> list[_Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not a text file in UTF-8 (byte {error.start})") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(reader, [])
        _check_header(path, header)
        rows = []
        for cells in filter(None, reader):
            if len(cells) != len(header):
                problem = f"{len(cells)} cells, but the header has {len(header)}"
                raise ConfigurationError(f"{path}:{reader.line_num}:1: {problem}")
            cells_by_column = dict(zip(header, cells, strict=True))
            rows.append(_Row(path=path, line=reader.line_num, cells=cells_by_column))
    except csv.Error as error:
        raise ConfigurationError(f"{path}:{reader.line_num}:1: not CSV: {error}") from None
    if not rows:
        raise ConfigurationError(f"{path}:2:1: no layers below the header: expected one row per layer")
    return rows


def _check_header(path: Path, header: Sequence[str]) -> None:
    known = {*REQUIRED, *OPTIONAL, *RESULTS}
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            raise ConfigurationError(f"{path}:1:1: columns are separated by {name}: separate them by commas")
    position = 1
    for index, name in enumerate(header):
        if name not in known:
            raise ConfigurationError(f"{path}:1:{position}: unknown column {name!r}: {did_you_mean(name, known)}")
        if name in header[:index]:
            raise ConfigurationError(f"{path}:1:{position}: column {name!r} stands twice: remove one")
        position += len(name) + 1
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise ConfigurationError(f"{path}:1:1: missing column {', '.join(missing)}: add it to the header and rows")


def _layer(row: _Row, *, is_first: bool) -> Layer:
    if not row.cells["layer"].strip():
        row.fail("layer", "expected a name, found nothing")
    sizes = {name: row.integer(name, low=0 if name == "padding" else 1, high=MAX_TABLE_ELEMENTS) for name in SIZES}
    groups = row.integer("groups", low=1, high=MAX_TABLE_ELEMENTS) if "groups" in row.cells else 1
    for name in ("input_channels", "output_channels"):
        if sizes[name] % groups:
            row.fail(name, f"{sizes[name]} channels do not divide into {groups} groups")
    for side in ("height", "width"):
        _check_side(row, sizes, side)
    weight, activation = (row.integer(f"{n}_bits", low=1, high=MAX_TABLE_BITS) for n in ("weight", "activation"))
    geometry: dict[str, Any] = {**sizes, **{name: (sizes[name], sizes[name]) for name in ("stride", "padding")}}
    linear = sizes["input_height"] == sizes["input_width"] == 1
    layer = Layer(
        name=row.cells["layer"].strip(),
        kind="linear" if linear else "convolution",
        **geometry,
        groups=groups,
        allowed=(BitWidths(weight, activation),),
        producers=(NETWORK_INPUT,) if _reads_network_input(row, is_first=is_first, linear=linear) else (),
        consumers=(),
        key_consumer=None,
        is_key_consumer=True,
        stream_write_elements=sizes["output_channels"] * sizes["output_height"] * sizes["output_width"],
        residual_write_elements=0,
        residual_read_elements=0,
        vector_operations=0,
    )
    _check_macs(row, layer)
    return layer


def _reads_network_input(row: _Row, *, is_first: bool, linear: bool) -> bool:
    if "flattened_kernel" not in row.cells:
        return is_first
    flattened = row.integer("flattened_kernel", low=0, high=1)
    if flattened and linear:
        row.fail("flattened_kernel", "1, but a layer on a 1x1 map is fully connected and has no kernel: write 0")
    return bool(flattened)


def _check_side(row: _Row, sizes: dict[str, int], side: str) -> None:
    """Refuse outputs that a kernel on this input cannot have; simulators round up where strides leave a rest."""
    kernel, reach = sizes[f"kernel_{side}"], sizes[f"input_{side}"] + 2 * sizes["padding"]
    if kernel > reach:
        row.fail(f"kernel_{side}", f"{kernel} does not fit into an input of {reach} with its padding")
    most = -(-(reach - kernel) // sizes["stride"]) + 1
    if sizes[f"output_{side}"] > most:
        row.fail(
            f"output_{side}",
            f"{sizes[f'output_{side}']}, but a kernel of {kernel} at stride {sizes['stride']} has at most {most} "
            f"places on an input of {reach} with its padding: correct one of them",
        )


def _check_macs(row: _Row, layer: Layer) -> None:
    macs = row.integer("macs", low=1, high=MAX_TABLE_ELEMENTS)
    if macs != layer.macs:
        found = f"output size, kernel, channels and {layer.groups} group(s)"
        row.fail("macs", f"{macs}, but {found} make {layer.macs}: correct one of them")
    if layer.input_elements > MAX_TABLE_ELEMENTS:
        row.fail("input_channels", f"the input has more than {MAX_TABLE_ELEMENTS} elements")
