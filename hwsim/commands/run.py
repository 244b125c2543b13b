"""``hwsim run``: one scenario, one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, Quiet, print_json
from bitmixer.data_folder import use_data_root
from hwsim.commands import completion
from hwsim.commands.options import DataRoot, ScenarioName, Sets
from hwsim.progress import progress_bar


def run(
    scenario: ScenarioName,
    out: Annotated[Path | None, typer.Option(help="Folder for the results [runs/SCENARIO-CONTROLLER-sSEED].")] = None,
    controller: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.controllers,
            help="NAME or NAME:option=value:option=value, instead of the scenario's.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the scenario's.")] = None,
    sets: Sets = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            autocompletion=completion.metrics, help="End with exit code 1 if METRIC>NUMBER or METRIC<NUMBER comes true."
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Run one scenario; write records, summary, figures.

    The folder holds report.html, timeline.pftrace and everything that a replay needs. Ctrl-C keeps the frames
    finished so far.

    Examples:
        hwsim run thermal_throttle
        hwsim run thermal_throttle --controller 'hysteresis:rungs=[8,4]' --seed 7
        hwsim run thermal_throttle --set duration='20 s' --set profile=rk3588_npu
        hwsim run thermal_throttle --fail-on 'deadline_miss_rate>0.01' --quiet  # in a script
    """
    use_data_root(data_root)
    from hwsim import pipeline
    from hwsim.fail_on import parse_limits
    from hwsim.report.terminal import SECTIONS, print_summary

    limits = parse_limits(fail_on or (), (metric for section in SECTIONS.values() for metric in section))
    planned = pipeline.plan(scenario, controller=controller, seed=seed, sets=sets or ())
    changed = f"-{planned.run_id[:8]}" if sets else ""  # so that a what-if run leaves its baseline alone
    name = f"{planned.scenario.name}-{planned.controller}{changed}"
    folder = out or pipeline.run_folder(Path("runs"), name, planned.scenario.seed)
    with progress_bar(quiet=quiet or as_json) as progress:
        summary = pipeline.run(planned, folder, progress=progress)
    if as_json:
        print_json(summary)
    elif not quiet:
        print_summary(summary)
        print(f"Results in {folder}")
    if summary.get("interrupted"):
        print(f"interrupted: the frames finished so far are in {folder}", file=sys.stderr)
        raise typer.Exit(130)
    crossed = [f"{limit} ({summary[limit.metric]})" for limit in limits if limit.is_crossed(summary)]
    if crossed:
        print(f"limit crossed: {', '.join(crossed)}", file=sys.stderr)
        raise typer.Exit(1)
