"""``bitmixer import``: a network from other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, Quiet, print_json
from bitmixer.errors import BitWidthError


def import_network(
    file: Annotated[Path, typer.Argument(help="An ONNX or QONNX file.")],
    bits: Annotated[str, typer.Option(help="Widths of layers that the file does not quantise.")] = "2,3,4,8",
    out: Annotated[Path | None, typer.Option(help="File for the layer graph [FILE.json].")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write the layer graph of an ONNX or QONNX file.

    It can be priced, and simulated without outputs.

    Examples:
        bitmixer import network.onnx --bits 2,4,8
        bitmixer import network.onnx --out network.json
    """
    from bitmixer.interchange.onnx_import import graph_from_onnx
    from bitmixer.output_files import write_output

    graph = graph_from_onnx(file, _widths(bits))
    written = out or Path(f"{file.stem}.json")
    write_output(written, graph.to_json().encode())
    if as_json:
        print_json({"file": str(written), "layers": len(graph.layers), "macs": graph.macs})
    elif not quiet:
        print(f"{len(graph.layers)} layers, {graph.macs:,} multiply-accumulates per input, in {written}")


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise BitWidthError(f"--bits {text}: expected whole numbers with commas between, for example 2,4,8") from None
