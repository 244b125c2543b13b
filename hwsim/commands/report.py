"""``hwsim report``: a run's page, figures and timeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write report.html, figures and timeline.pftrace anew from the records of a run."""
    from hwsim.records.store import RunFolder
    from hwsim.report.page import write_page
    from hwsim.report.run_figures import write_run_figures
    from hwsim.report.timeline import write_timeline

    run = RunFolder(folder)
    for path in (*write_run_figures(run), write_timeline(run), write_page(run)):
        print(path)
