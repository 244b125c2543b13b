"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path | None, typer.Option("--out", help="Folder for the results [runs/SCENARIO-CONTROLLER-sSEED].")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one value: PATH=VALUE in the scenario, profile.PATH=VALUE in its profile."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no table.")]
DataRoot = Annotated[Path | None, typer.Option("--data-root", help="Folder of CIFAR-10 [BITMIXER_DATA].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
