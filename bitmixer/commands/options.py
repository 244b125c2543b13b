"""Options that several commands have, and what several do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitmixer.errors import DataError

if TYPE_CHECKING:
    from bitmixer.networks.checkpoint import Checkpoint

PACKED_SUFFIX = ".safetensors"
"""A network's name that ends so is the file of a packed one."""


def complete_checkpoint(incomplete: str) -> list[str]:
    """Return the shipped checkpoints whose names start so."""
    from bitmixer.networks import shipped_checkpoints

    return [name for name in shipped_checkpoints() if name.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """Return the packaged recipes whose names start so."""
    from bitmixer.training.recipe import packaged_recipes

    return sorted(file.stem for file in packaged_recipes().glob(f"{incomplete}*.yaml"))


def complete_data(incomplete: str) -> list[str]:
    """Return the data sets whose names start so."""
    from bitmixer.data import DATA_SETS

    return [name for name in DATA_SETS if name.startswith(incomplete)]


CheckpointName = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        autocompletion=complete_checkpoint,
        help="A shipped checkpoint's name, or a checkpoint's folder.",
    ),
]
DataName = Annotated[
    str | None,
    typer.Option(autocompletion=complete_data, help="Data, for example digits+noise0.4@7 [what it was trained on]."),
]
DataRoot = Annotated[Path | None, typer.Option("--data-root", help="Folder of CIFAR-10 [BITMIXER_DATA].")]
NoProgress = Annotated[bool, typer.Option("--quiet", help="No progress; the answer is printed.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads [as many as there are cores].")]


def data_of(checkpoint: Checkpoint, data: str | None) -> str:
    """Return the data that the user names, or else what the checkpoint was trained on.

    Raises:
        DataError: Neither the user nor the checkpoint says.
    """
    chosen = data or (checkpoint.metrics or {}).get("data")
    if chosen is None:
        raise DataError(f"{checkpoint.name} does not say what it was trained on: give --data")
    return str(chosen)


def set_threads(threads: int | None) -> None:
    """Let torch compute on so many threads."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
