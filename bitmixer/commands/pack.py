"""``bitmixer pack``: a file of one bit per weight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, Quiet, print_json
from bitmixer.commands.options import PACKED_SUFFIX, CheckpointName


def pack(
    name: CheckpointName,
    out: Annotated[Path | None, typer.Option(help="File to write [NAME-1bit.safetensors].")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a network with one bit per weight.

    A binary network, or the one-bit mode of one that switches; evaluate runs the file.

    Examples:
        bitmixer pack resnet8_digits_one_bit
        bitmixer pack bcnn --out bcnn.safetensors
    """
    from bitmixer.networks import find_checkpoint
    from bitmixer.networks.checkpoint import require_weights
    from bitmixer.packed.file import pack_checkpoint

    checkpoint = find_checkpoint(name)
    before = require_weights(checkpoint).stat().st_size
    file = out or Path(f"{checkpoint.name}-1bit{PACKED_SUFFIX}")
    layers = pack_checkpoint(checkpoint, file).layers
    size = file.stat().st_size
    if as_json:
        print_json({"network": checkpoint.name, "file": str(file), "layers": len(layers), "bytes": size, "of": before})
    elif not quiet:
        print(f"{checkpoint.name} in {file}: {len(layers)} layers packed, {size:,} of {before:,} bytes")
