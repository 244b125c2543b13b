"""``bits.svg``: which width every layer ran at, over the run, and frame by frame around a change in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bitmixer.bitwidths import MAX_BITS
from hwsim.metrics import PICOSECONDS_PER_SECOND
from hwsim.realised_bits import MID_FRAME_COLUMNS, MidFrameSwitch, dominant_widths, mid_frame_switches
from hwsim.records.store import NetworkTables, numbers
from hwsim.report.style import INK, VERMILION, WIDTH_COLOURS, name_margin, titled_figure, told

COLUMNS = 600
"""Most columns over the run; each shows the width that a layer spent most time at."""

FRAMES_PER_COLUMN = 3
FRAMES_AROUND = 20
LAYER_ROW_INCHES = 0.165
CHROME_INCHES = 0.95
"""What titles and axes take of each panel's height."""


def draw_bit_map(run: NetworkTables) -> Figure:
    """Return weight bits by layer and time, and around the largest change within a frame, if any."""
    switches = mid_frame_switches(run.table("decisions", MID_FRAME_COLUMNS), run.graph)
    layers = run.table(
        "layers", ["frame", "purpose", "layer", "weight_bits", "start_picoseconds", "finish_picoseconds"]
    )
    layers = layers.filter(pc.equal(layers.column("purpose"), "inference"))
    panels = 2 if switches else 1
    map_inches = LAYER_ROW_INCHES * len(run.graph.layers)
    height = 0.5 + panels * (map_inches + CHROME_INCHES)
    figure = titled_figure(
        f"{run.manifest['network']} under “{told(run.manifest['controller'])}”: weight bits of every layer",
        f"Decisions that changed a frame already on the array: {len(switches) or 'none'}"
        + (" (red ticks)." if switches else "."),
        height_inches=height,
    )
    grid = figure.add_gridspec(
        panels,
        1,
        left=name_margin(run.graph.index),
        right=0.9,
        top=1 - 0.95 / height,
        bottom=0.5 / height,
        hspace=CHROME_INCHES / map_inches,
    )
    over_time = figure.add_subplot(grid[0])
    _draw_over_time(over_time, run, layers, switches)
    _draw_key(over_time, np.unique(numbers(layers.column("weight_bits"))))
    if switches:
        _draw_around(figure.add_subplot(grid[1]), run, layers, switches)
    return figure


def _draw_over_time(axes: Axes, run: NetworkTables, layers: Any, switches: list[MidFrameSwitch]) -> None:
    start, finish = (numbers(layers.column(f"{edge}_picoseconds")) for edge in ("start", "finish"))
    end = int(finish.max(initial=1))
    frames = len(np.unique(numbers(layers.column("frame"))))
    columns = int(np.clip(frames // FRAMES_PER_COLUMN, 1, COLUMNS))
    column = np.minimum(start / end * columns, columns - 1).astype(np.int64)
    widths = dominant_widths(run.graph, layers, column, columns, finish - start)
    _draw_map(axes, run, widths, end / PICOSECONDS_PER_SECOND)
    for switch in switches:
        axes.plot(
            [switch.effective_picoseconds / PICOSECONDS_PER_SECOND] * 2,
            [1.005, 1.03],
            transform=axes.get_xaxis_transform(),
            color=VERMILION,
            linewidth=1,
            clip_on=False,
        )
    axes.set_title("Over the whole run: the width that each layer spent most time at", pad=9)
    axes.set_xlabel("time since the start of the run (s)")


def _draw_around(axes: Axes, run: NetworkTables, layers: Any, switches: list[MidFrameSwitch]) -> None:
    """Draw one column per frame around the switch that changed the mean bits most."""
    chosen = max(switches, key=lambda switch: abs(switch.bits_change))
    frame = numbers(layers.column("frame"))
    known = np.unique(frame)
    middle = int(np.searchsorted(known, chosen.frame))
    shown = known[max(0, middle - FRAMES_AROUND) : middle + FRAMES_AROUND + 1]
    near = layers.filter((frame >= shown[0]) & (frame <= shown[-1]))
    column = np.searchsorted(shown, numbers(near.column("frame")))
    busy = numbers(near.column("finish_picoseconds")) - numbers(near.column("start_picoseconds"))
    _draw_map(axes, run, dominant_widths(run.graph, near, column, len(shown), busy), len(shown))
    step = max(1, len(shown) // 8)
    axes.set_xticks(np.arange(0, len(shown), step) + 0.5, [str(number) for number in shown[::step]])
    site, place = run.graph.index[chosen.next_layer], int(np.searchsorted(shown, chosen.frame))
    axes.plot([place, place + 1], [site - 0.5] * 2, color=VERMILION, linewidth=2)
    seconds = chosen.effective_picoseconds / PICOSECONDS_PER_SECOND
    axes.set_title(
        f"Around {seconds:.4g} s, frame by frame: "
        f"a decision changed frame {chosen.frame} from {chosen.next_layer} on (red line)"
    )
    axes.set_xlabel("number of the frame")


def _draw_map(axes: Axes, run: NetworkTables, widths: NDArray[np.int64], right: float) -> None:
    sites = len(widths)
    axes.imshow(
        np.ma.masked_equal(widths, 0),
        cmap=ListedColormap(WIDTH_COLOURS),
        norm=BoundaryNorm(np.arange(0.5, MAX_BITS + 1), MAX_BITS),
        aspect="auto",
        interpolation="nearest",
        extent=(0, right, sites - 0.5, -0.5),
    )
    axes.set_yticks(range(sites), [layer.name for layer in run.graph.layers], fontsize=7.5)
    axes.tick_params(left=False)


def _draw_key(axes: Axes, widths: NDArray[Any]) -> None:
    """Name the widths that ran, most bits first."""
    patches = [Patch(color=WIDTH_COLOURS[width - 1], label=f"{width} bits") for width in widths[::-1]]
    axes.legend(
        handles=patches,
        loc="upper left",
        bbox_to_anchor=(1.005, 1.02),
        frameon=False,
        labelcolor=INK,
        handlelength=1.2,
    )
