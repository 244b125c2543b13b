"""``hwsim thermal``: temperatures from HotSpot's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, print_json


def thermal(
    floorplan: Annotated[Path, typer.Option(help="HotSpot's floorplan, chip.flp.")],
    config: Annotated[Path, typer.Option(help="HotSpot's configuration, hotspot.config.")],
    power: Annotated[Path, typer.Option(help="HotSpot's power trace, power.ptrace.")],
    steady: Annotated[
        bool, typer.Option("--steady", help="One row: the steady state at the trace's mean power.")
    ] = False,
    all_nodes: Annotated[
        bool, typer.Option("--all-nodes", help="Columns for interface, spreader and sink, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print temperatures of HotSpot's input files as CSV.

    In kelvin and exact, a row for the end of each interval.

    Examples:
        hwsim thermal --floorplan chip.flp --config hotspot.config --power power.ptrace
        hwsim thermal --floorplan chip.flp --config hotspot.config --power power.ptrace --steady
    """
    from hwsim.hotspot.temperatures import temperatures

    found = temperatures(floorplan, config, power, steady=steady, all_nodes=all_nodes)
    if as_json:
        print_json({"nodes": found.nodes, "kelvin": found.kelvin.tolist()})
    else:
        print(found.to_csv(), end="")
