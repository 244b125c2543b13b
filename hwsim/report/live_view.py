"""A run as it goes, on a terminal: how far it is, and how its device fares, each as a line over the time watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hwsim.watching import Watched

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 48
"""Columns of a line."""
SHOWN: Mapping[str, tuple[str, float, str]] = {
    "weight_bits": ("weight bits", 1.0, "{:.2f} bit"),
    "die_celsius": ("die", 1.0, "{:.1f} °C"),
    "frequency_hertz": ("clock", 1e-6, "{:g} MHz"),
    "power_watts": ("power", 1.0, "{:.2f} W"),
    "frames_waiting": ("frames waiting", 1.0, "{:.0f}"),
    "state_of_charge": ("battery", 100.0, "{:.1f} %"),
}
"""Key of a line of ``live.jsonl`` -> what it is called, its factor, how it is written."""


def live_view(watched: Watched, rows: Sequence[Mapping[str, Any]]) -> Group:
    """Return the picture of a run.

    Args:
        watched: The run.
        rows: What it has told so far, at least once.
    """
    last = rows[-1]
    head = Text.assemble((watched.told["scenario"], "bold"), " under ", (watched.told["controller"], "bold"))
    how_far = Table.grid(padding=(0, 1))
    how_far.add_row(
        Text(last["stage"] or "starting"), ProgressBar(total=1.0, completed=last["share"], width=WIDTH),
        Text(f"{last['share']:.0%}"),
    )  # fmt: skip
    device = Table.grid(padding=(0, 1))
    for key, (name, factor, written) in SHOWN.items():
        values = [row[key] * factor for row in rows if row.get(key) is not None]
        if values:
            device.add_row(Text(name), Text(sparkline(values)), Text(written.format(values[-1])))
    ended, missed = last["frames_ended"], last["frames_missed"]
    told = f"{ended} frames ended, {missed / ended:.1%} of them late or lost" if ended else "no frame has ended yet"
    if "simulated_seconds" in last:
        told = f"{last['simulated_seconds']:.1f} of {watched.told['duration_seconds']:g} s simulated; {told}"
    return Group(head, how_far, device, Text(f"{told}; {last['wall_seconds']:.0f} s taken"))


def sparkline(values: Sequence[float]) -> str:
    """Return the last values as blocks, from the lowest of them to the highest."""
    shown = values[-WIDTH:]
    low, high = min(shown), max(shown)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((value - low) * scale)] for value in shown)
