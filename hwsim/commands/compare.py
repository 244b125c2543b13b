"""``hwsim compare``: controllers side by side."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, Quiet
from bitmixer.data_folder import use_data_root
from hwsim.commands import completion
from hwsim.commands.options import DataRoot, ExecutorName, ScenarioName, Sets
from hwsim.progress import progress_bar


def compare(
    scenario: ScenarioName,
    controllers: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.controllers,
            help="Comma-separated, each NAME or NAME:option=value:... [static at every width, hysteresis].",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.controllers,
            help="Give differences from this one of the controllers, with 95 % intervals.",
        ),
    ] = None,
    replications: Annotated[int, typer.Option(min=1, help="Seeds per controller.")] = 20,
    executor: ExecutorName = "processes",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the runs [runs/compare-SCENARIO].")] = None,
    sets: Sets = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Run a scenario under several controllers and seeds.

    Puts them side by side, with 95 % intervals, in comparison.html, comparison.json and figures; each run has a folder.

    Examples:
        hwsim compare thermal_throttle
        hwsim compare thermal_throttle --controllers static:bits=4,hysteresis --replications 10 --jobs 2
        hwsim compare thermal_throttle --controllers 'hysteresis:rungs=[8,4],mpc' --baseline mpc
    """
    use_data_root(data_root)
    from hwsim.replications import compare_controllers, default_controllers
    from hwsim.report.terminal import print_comparison

    # A comma within brackets is part of a list: hysteresis:rungs=[8,4],static
    given = None if controllers is None else [
        name.strip() for name in re.split(r",(?![^\[]*\])", controllers) if name.strip()
    ]  # fmt: skip
    names = default_controllers(scenario, sets or ()) if given is None else given
    folder = out or Path("runs") / f"compare-{Path(scenario).stem}"
    with progress_bar(quiet=quiet or as_json, estimates=False) as progress:
        comparison = compare_controllers(
            scenario,
            names,
            replications=replications,
            jobs=jobs,
            folder=folder,
            sets=sets or (),
            baseline=baseline,
            executor=executor,
            progress=progress,
        )
    if as_json:
        print((folder / "comparison.json").read_text(encoding="utf-8"), end="")
    elif not quiet:
        print_comparison(comparison)
        print(f"Results in {folder}")
