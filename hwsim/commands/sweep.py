"""``hwsim sweep``: a scenario with other values in its fields, many times."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitmixer.command_line import AsJson, Quiet, print_json
from bitmixer.data_folder import use_data_root
from hwsim.commands import completion
from hwsim.commands.options import DataRoot, ExecutorName, Sets
from hwsim.progress import progress_bar

if TYPE_CHECKING:
    from hwsim.sweeps.results import SweepResult


def sweep(
    scenario: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.scenarios,
            help="Packaged name or path of a scenario, mostly one with a sweep: block.",
        ),
    ],
    vary: Annotated[
        list[str] | None,
        typer.Option(help="A parameter more: PATH=[A,B,C], or PATH='{low: 1 ms, high: 1 s, scale: log, points: 4}'."),
    ] = None,
    executor: ExecutorName = "processes",
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes [one per core].")] = None,
    shard: Annotated[
        str | None, typer.Option(help="Make the I-th of N parts of the runs, and no table: 2/8. For batch systems.")
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Make no runs; put those that are there together.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the runs [runs/sweep-SCENARIO].")] = None,
    sets: Sets = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Run a scenario at many points of a parameter space.

    Tells which points no other beats. Runs that are there are not repeated: interrupted, it goes on where it was.

    Examples:
        hwsim sweep thermal_throttle --vary 'streams.0.inputs_per_frame=[20,24,28]' --set duration='60 s'
        hwsim sweep thermal_throttle --vary 'controller.name=[static,hysteresis]' --executor ray --jobs 8
        hwsim sweep my_sweep.yaml --shard 2/8 --out /shared/sweep  # one of eight batch jobs
        hwsim sweep my_sweep.yaml --collect --out /shared/sweep --json  # puts them together
    """
    use_data_root(data_root)
    from hwsim.report.sweep_table import print_sweep
    from hwsim.sweeps.executors import build_executor, usable_cores
    from hwsim.sweeps.reading import read_sweep
    from hwsim.sweeps.shards import parse_shard
    from hwsim.sweeps.sweep import run_sweep

    part = None if shard is None else parse_shard(shard)
    with progress_bar(quiet=quiet or as_json, estimates=False) as progress:
        progress("checking every value", 0.0)
        plan = read_sweep(scenario, sets=sets or (), vary=vary or ())
        folder = out or Path("runs") / f"sweep-{plan.name}"
        chosen = build_executor(executor, jobs or usable_cores())
        try:
            result = run_sweep(plan, chosen, folder=folder, shard=part, collect=collect, progress=progress)
        except KeyboardInterrupt:
            print(f"interrupted: what is finished is in {folder}; called again, it goes on", file=sys.stderr)
            raise
    if as_json:
        print_json(result.as_dict())
    elif not quiet and part is not None:
        print(f"Part {part}: {result.table.num_rows} runs are in {folder}; the other parts have {result.missing}.")
    elif not quiet:
        print_sweep(result)
        print(f"Results in {folder}")
    _tell_what_lacks(result, is_part=part is not None)


def _tell_what_lacks(result: SweepResult, *, is_part: bool) -> None:
    """Say which runs are not there.

    Raises:
        Exit: With 3, where some failed.
    """
    if result.missing and not is_part:
        print(f"not made: {result.missing} runs", file=sys.stderr)
    if result.failed:
        first = result.failed[0]
        settings = ", ".join(f"{path}={json.dumps(value)}" for path, value in first["parameters"].items())
        print(
            f"failed: {len(result.failed)} runs, the first at {settings}, seed {first['seed']}: {first['error']}",
            file=sys.stderr,
        )
        raise typer.Exit(3)
