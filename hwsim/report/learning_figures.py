"""What controllers lose while they learn: regret over time, and probes around the times at which inputs change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hwsim.errors import HwsimError
from hwsim.layer_statistics import PROBE
from hwsim.metrics import PICOSECONDS_PER_SECOND
from hwsim.records.store import RunFolder, numbers
from hwsim.report.style import FAINT, SERIES, titled_figure, told

FloatArray = NDArray[np.float64]
PARTS = 240
"""Parts of the run's time in which regret is read and probes are counted."""
SMOOTHED = 5
"""Parts over which the rate of probes is averaged."""
LINE_STYLES = ("-", "--", ":")


@dataclass(frozen=True, kw_only=True, eq=False)
class Learning:
    """What one run of a controller lost, over time.

    Attributes:
        seconds: [PARTS] ends of the parts.
        regret: [PARTS] worth lost up to then against ``hwsim.regret``'s ``informed``, in frames' worth, of all streams.
        probes_per_second: [PARTS].
        changes_seconds: When the inputs of a stream change.
    """

    seconds: FloatArray
    regret: FloatArray
    probes_per_second: FloatArray
    changes_seconds: tuple[float, ...]


def learning_of(run: RunFolder) -> Learning | None:
    """Return what a run lost over time; nothing where that is unknown: no outputs, no frames, a network that learns."""
    from hwsim.regret import worths

    if run.summary["accuracy"] is None or "learning" in run.manifest:
        return None
    try:
        found = worths(run.path)
    except HwsimError:  # a run that was moved, or whose checkpoint is elsewhere, still has its other figures
        return None
    end = float(run.summary["simulated_seconds"])
    edges = np.linspace(0, end, PARTS + 1)
    lost = [np.histogram(each.arrivals_seconds, edges, weights=each.informed - each.realised)[0] for each in found]
    layers = run.table("layers", ["purpose", "frame", "start_picoseconds"])
    probes = numbers(layers.column("purpose")) == PROBE
    frames, first = np.unique(numbers(layers.column("frame"))[probes], return_index=True)
    starts = numbers(layers.column("start_picoseconds"))[probes][first] / PICOSECONDS_PER_SECOND
    counts = np.histogram(starts, edges)[0] if len(frames) else np.zeros(PARTS)
    return Learning(
        seconds=edges[1:],
        regret=np.cumsum(np.sum(lost, axis=0)),
        probes_per_second=np.convolve(counts, np.ones(SMOOTHED) / SMOOTHED, mode="same") / (end / PARTS),
        changes_seconds=_changes(run),
    )


def _changes(run: RunFolder) -> tuple[float, ...]:
    streams = run.manifest["scenario"]["streams"]
    starts = {change["at_picoseconds"] for stream in streams for change in stream["drift"]}
    return tuple(sorted(start / PICOSECONDS_PER_SECOND for start in starts))


def draw_learning(found: Mapping[str, Learning]) -> Figure:
    """Return regret over time and, below, the rate of probes of those that make some, from one run of each."""
    probing = {label: each for label, each in found.items() if each.probes_per_second.any()}
    figure = titled_figure(
        "Regret over time" + (", and probes" if probing else ""),
        "Worth lost against who knows each width's accuracy on each data set; one run of each controller"
        + ("; grey: inputs change" if _all_changes(found) else ""),
        height_inches=5.6 if probing else 4.0,
    )
    ratios = (3, 1) if probing else (1,)
    grid = figure.subplots(
        len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios,
        gridspec_kw={"left": 0.075, "right": 0.76, "top": 0.87, "bottom": 0.1, "hspace": 0.12},
    )[:, 0]  # fmt: skip
    axes: list[Axes] = list(grid)
    for place, (label, each) in enumerate(found.items()):
        colour, dashes = SERIES[place % len(SERIES)], LINE_STYLES[place // len(SERIES) % len(LINE_STYLES)]
        axes[0].plot(each.seconds, each.regret, color=colour, linestyle=dashes, linewidth=1.3, label=told(label))
        if label in probing:
            axes[1].plot(each.seconds, each.probes_per_second, color=colour, linestyle=dashes, linewidth=1.1)
    for each_axes in axes:
        for change in _all_changes(found):
            each_axes.axvline(change, color=FAINT, linewidth=0.8, alpha=0.6, zorder=0)
    axes[0].set_ylabel("regret\n(frames' worth)")
    if probing:
        axes[1].set_ylabel("probes\nper second")
    axes[-1].set_xlabel("time since the start of the run (s)")
    axes[0].legend(frameon=False, fontsize=7.5, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def _all_changes(found: Mapping[str, Learning]) -> list[float]:
    return sorted({change for each in found.values() for change in each.changes_seconds})
