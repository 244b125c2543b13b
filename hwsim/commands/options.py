"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.commands import completion

ScenarioName = Annotated[
    str, typer.Argument(autocompletion=completion.scenarios, help="A scenario's packaged name or path.")
]
Folder = Annotated[Path, typer.Argument(help="A run folder.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        autocompletion=completion.settings,
        help="Change one value: PATH=VALUE in the scenario, profile.PATH=VALUE in its profile.",
    ),
]
ExecutorName = Annotated[
    str,
    typer.Option(
        autocompletion=completion.executors,
        help="Who carries out the runs: serial, processes, or ray (extra scale).",
    ),
]
DataRoot = Annotated[Path | None, typer.Option("--data-root", help="Folder of CIFAR-10 [BITMIXER_DATA].")]
