"""``hwsim report``: a run's page, figures and timeline."""

from __future__ import annotations

from bitmixer.command_line import AsJson, Quiet, print_json
from hwsim.commands.options import Folder


def report(folder: Folder, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Write a run's report, figures and timeline anew.

    Examples:
        hwsim report runs/thermal_throttle-hysteresis-s1
    """
    from hwsim.records.store import RunFolder
    from hwsim.report.page import write_page
    from hwsim.report.run_figures import write_run_figures
    from hwsim.report.timeline import write_timeline

    run = RunFolder(folder)
    paths = [str(path) for path in (*write_run_figures(run), write_timeline(run), write_page(run))]
    if as_json:
        print_json(paths)
    elif not quiet:
        print("\n".join(paths))
