"""``bitmixer export``: a network for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, Quiet, print_json
from bitmixer.commands.options import CheckpointName
from bitmixer.errors import BitWidthError


def export(
    name: CheckpointName,
    bits: Annotated[int | None, typer.Option(help="Uniform width [its highest].")] = None,
    assignment: Annotated[
        Path | None, typer.Option(help="Widths by site, instead: JSON, site -> [weight bits, activation bits].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write [NAME-8bit.onnx, or after the assignment].")] = None,
    batch: Annotated[int, typer.Option(min=0, help="Inputs per batch; 0 leaves it open.")] = 1,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint under one assignment as QONNX.

    Examples:
        bitmixer export resnet8_digits --bits 4
        bitmixer export resnet8_digits --assignment found.json --batch 0 --out mixed.onnx
    """
    from bitmixer.assignment_file import load_assignment
    from bitmixer.interchange.qonnx_export import export_qonnx
    from bitmixer.networks import find_checkpoint, load_network

    if bits is not None and assignment is not None:
        raise BitWidthError("bitmixer export: --bits and --assignment exclude one another: give one")
    checkpoint = find_checkpoint(name)
    graph = checkpoint.graph
    if assignment is not None:
        widths, label = load_assignment(assignment, graph.layers, network=checkpoint.name), assignment.stem
    else:
        width = max(graph.uniform_bits) if bits is None else bits
        widths, label = graph.uniform(width), f"{width}bit"
    file = out or Path(f"{checkpoint.name}-{label}.onnx")
    network = load_network(checkpoint)
    metadata = {"bitmixer.weights_sha256": str(checkpoint.weights_sha256)}
    export_qonnx(network, widths, file, name=checkpoint.name, batch=batch or None, metadata=metadata)
    if as_json:
        print_json({"network": checkpoint.name, "assignment": label, "file": str(file)})
    elif not quiet:
        print(f"{checkpoint.name} at {label} in {file}")
