"""``bitmixer search``: bits per layer under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, print_json
from bitmixer.commands.options import CheckpointName, DataName, DataRoot, NoProgress, Threads, data_of, set_threads
from bitmixer.data_folder import use_data_root
from bitmixer.progress import progress_on_stderr
from bitmixer.tables import print_found


def search(
    name: CheckpointName,
    budget: Annotated[str, typer.Option(help="KIND<=NUMBER, for example 'average_bits<=3'.")],
    method: Annotated[str, typer.Option(help="greedy, exact, random, several (greedy,exact) or all.")] = "all",
    data: DataName = None,
    images: Annotated[int | None, typer.Option(min=1, help="Training images to search with [2000, or all].")] = None,
    random: Annotated[int, typer.Option(min=1, help="Assignments that method random draws.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the images and of random assignments.")] = 0,
    costs: Annotated[
        Path | None, typer.Option(help="Table of costs (CSV): its columns are kinds of budgets too.")
    ] = None,
    pareto: Annotated[bool, typer.Option("--pareto", help="Search under many budgets and draw the front.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for what is found [runs/search-NAME].")] = None,
    threads: Threads = None,
    quiet: NoProgress = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Search per-layer widths that lose least under a budget.

    Training images choose, test images judge.

    Examples:
        bitmixer search resnet8_digits --budget 'average_bits<=3'
        bitmixer search resnet8_digits --budget 'average_bits<=3' --method greedy --images 500
        bitmixer search resnet8_digits --budget 'energy_joules<=1e-4' --costs costs.csv --pareto
    """
    use_data_root(data_root)
    from bitmixer.networks import find_checkpoint
    from bitmixer.networks.checkpoint import require_weights
    from bitmixer.search.command import SearchRequest, run_search

    checkpoint = find_checkpoint(name)
    require_weights(checkpoint)
    request = SearchRequest(
        checkpoint=checkpoint, data=data_of(checkpoint, data), budget=budget, method=method, images=images,
        random_assignments=random, seed=seed, costs=costs, pareto=pareto,
        folder=out or Path("runs") / f"search-{checkpoint.name}",
    )  # fmt: skip
    set_threads(threads)
    with progress_on_stderr(None, quiet=quiet, only_bar=True) as show:
        found = run_search(request, progress=lambda step: show(0, step))
    if as_json:
        print_json(found)
    else:
        print_found(found)
        print(f"Assignments in {request.folder}")
