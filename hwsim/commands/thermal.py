"""``hwsim thermal``: temperatures from HotSpot's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
) -> None:
    """Print temperatures (kelvin) of HotSpot's input files as CSV: exact, a row for the end of each interval."""
    from hwsim.hotspot.temperatures import temperatures_csv

    print(temperatures_csv(floorplan, config, power, steady=steady, all_nodes=all_nodes), end="")
