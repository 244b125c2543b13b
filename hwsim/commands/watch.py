"""``hwsim watch``: a run while it goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bitmixer.command_line import AsJson


def watch(
    folder: Annotated[Path, typer.Argument(help="A run folder, or one above: then its youngest run.")] = Path("runs"),
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a run to begin.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Show a run as it goes, and end when it ends.

    On a terminal a picture; elsewhere, or with --json, a line for each look, four in a second.

    Examples:
        hwsim watch  # the youngest run below runs/
        hwsim watch runs/thermal_throttle-hysteresis-s1
        hwsim watch runs/thermal_throttle-hysteresis-s1 --json
    """
    from hwsim.watching import find_running, follow, sentence

    running = find_running(folder, patience_seconds=wait)
    if as_json or not sys.stdout.isatty():
        for watched, row in follow(running):
            print(json.dumps(row) if as_json else sentence(watched, row), flush=True)
    else:
        _draw(running)
    if not as_json:
        _tell_the_end(running)


def _draw(folder: Path) -> None:
    from rich.live import Live

    from hwsim.report.live_view import live_view
    from hwsim.watching import follow

    rows: list[dict[str, Any]] = []
    with Live(refresh_per_second=8, transient=True) as live:
        for watched, row in follow(folder):
            rows.append(row)
            live.update(live_view(watched, rows))


def _tell_the_end(folder: Path) -> None:
    """Say what a run came to; one that failed or was interrupted says so itself."""
    from hwsim.report.terminal import verdict

    summary = folder / "summary.json"
    if not summary.is_file():
        print(f"{folder}: the run ended without a summary", file=sys.stderr)
        raise typer.Exit(2)
    print(f"{folder}: {verdict(json.loads(summary.read_text(encoding='utf-8')))}")
