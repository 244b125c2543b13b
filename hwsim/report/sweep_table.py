"""A sweep in the terminal: the points that no other beats."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwsim.report.metric_texts import value_text, what_is
from hwsim.sweeps.results import SweepResult
from hwsim.sweeps.table import short_names, shown

MOST_ROWS = 20


def print_sweep(result: SweepResult, *, console: Console | None = None) -> None:
    """Print the points of the front, a row each, with what they set and what they came to.

    Args:
        result: The sweep.
        console: Where to; stdout by default.
    """
    console = console or Console(highlight=False)
    front, objectives = result.front, result.plan.objectives
    seeds = f", means of {len(result.plan.seeds)} runs each" if len(result.plan.seeds) > 1 else ""
    told = f": of {len(result.points)} points, {len(front)} that no other beats{seeds}"
    console.print(Text.assemble((result.plan.name, "bold"), told))
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in short_names(tuple(result.plan.sweep.parameters)).values():
        table.add_column(name, overflow="fold")
    for metric, direction in objectives.items():
        table.add_column(f"{what_is(metric)}\n({direction}d)", justify="right")
    for each in front[:MOST_ROWS]:
        settings = (shown(value) for value in each.point.values.values())
        table.add_row(*settings, *(value_text(metric, each.objectives[metric]) for metric in objectives))
    console.print(table, markup=False)  # values have brackets
    if len(front) > MOST_ROWS:
        console.print(f"and {len(front) - MOST_ROWS} more: sweep.json has them")
