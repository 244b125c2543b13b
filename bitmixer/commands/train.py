"""``bitmixer train``: a recipe becomes a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bitmixer.command_line import AsJson, Quiet, print_json
from bitmixer.commands.options import DataRoot, Threads, complete_recipe, set_threads
from bitmixer.data_folder import use_data_root
from bitmixer.progress import progress_on_stderr
from bitmixer.tables import print_accuracy

FOUND = {"bits_per_weight": "bits", "occupied_columns": "columns"}
"""What a row of a training's history says of bits that are emptied -> its name in the progress."""


def train(
    recipe: Annotated[str, typer.Argument(autocompletion=complete_recipe, help="A recipe's packaged name or path.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the checkpoint [runs/NAME].")] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, mps.")] = "cpu",
    tensorboard: Annotated[bool, typer.Option(help="Write TensorBoard logs beside the checkpoint.")] = False,
    threads: Threads = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Train a recipe to a checkpoint.

    Run again after an interruption, it goes on, to the same bits.

    Examples:
        bitmixer train resnet8_digits
        bitmixer train recipes/resnet8_digits.yaml --out runs/mine --threads 2
    """
    use_data_root(data_root)
    from bitmixer.allocation import keep_freed_memory
    from bitmixer.output_files import make_folder
    from bitmixer.training.recipe import find_recipe, load_recipe

    file = find_recipe(recipe)
    plan = load_recipe(file)
    folder = out or Path("runs") / plan.name
    make_folder(folder)
    set_threads(threads)
    keep_freed_memory()
    from bitmixer.training.loop import total_epochs, train
    from bitmixer.training.tensorboard import log_to

    done, total = 0, total_epochs(plan)
    log = log_to(folder / "tensorboard") if tensorboard else None
    try:
        with progress_on_stderr(total, quiet=quiet) as show:

            def report(row: dict[str, Any]) -> None:
                nonlocal done
                done = row["epoch"]
                if log is not None:
                    log(row)
                found = "".join(f" {what} {row[key]:.2f}" for key, what in FOUND.items() if key in row)
                show(done, f"epoch {done}/{total} {row['stage']} loss {row['loss']:.4f}{found} {row['seconds']:.1f} s")

            checkpoint = train(plan, file.read_text(encoding="utf-8"), folder, device=device, progress=report)
    except KeyboardInterrupt:
        print(
            f"interrupted after {done} of {total} epochs, which are kept in {folder}; "
            "run the same command again to go on",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None
    if checkpoint is None:
        return
    assert checkpoint.metrics is not None
    if as_json:
        print_json({"checkpoint": str(folder), **checkpoint.metrics})
    elif not quiet:
        print_accuracy(checkpoint.metrics, is_fixed=checkpoint.graph.is_fixed)
        if scheme := checkpoint.metrics.get("scheme"):
            print(
                f"Found {scheme['bits_per_weight']:.2f} bits of magnitude per weight, "
                f"{scheme['stored_bits_per_weight']:.2f} stored with the sign: {folder / 'scheme.json'}"
            )
        print(f"Checkpoint in {folder}")
