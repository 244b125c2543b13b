"""``hwsim report``: what people look at, of a run or of a comparison."""

from __future__ import annotations

from pathlib import Path

from bitmixer.command_line import AsJson, Quiet, print_json
from hwsim.commands.options import Folder


def report(folder: Folder, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Write the report of a run or a comparison anew.

    With its figures, and of a run its timeline.

    Examples:
        hwsim report runs/thermal_throttle-hysteresis-s1
        hwsim report runs/compare-thermal_throttle
    """
    from hwsim.replications import COMPARISON

    paths = [str(path) for path in (_of_comparison if (folder / COMPARISON).is_file() else _of_run)(folder)]
    if as_json:
        print_json(paths)
    elif not quiet:
        print("\n".join(paths))


def _of_run(folder: Path) -> list[Path]:
    from hwsim.records.store import RunFolder
    from hwsim.report.page import write_page
    from hwsim.report.run_figures import write_run_figures
    from hwsim.report.timeline import write_timeline

    run = RunFolder(folder)
    return [*write_run_figures(run), write_timeline(run), write_page(run)]


def _of_comparison(folder: Path) -> list[Path]:
    from hwsim.replications import rewrite_comparison
    from hwsim.report.page import COMPARISON_FILE

    rewrite_comparison(folder)
    return [*sorted((folder / "figures").glob("*.svg")), folder / COMPARISON_FILE]
