"""Draws docs/images/memory_traffic.svg: what ResNet-18 moves per frame against the size of the buffers.

Usage (seconds):
    python docs/examples/memory.py
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.config.profile import load_profile
from hwsim.cost import CostTable
from hwsim.cost.memory import Buffers, Execution
from hwsim.device import build_device
from hwsim.report import style

FIGURE = Path(__file__).parents[1] / "images" / "memory_traffic.svg"
KIBIBYTES = [2**power for power in range(5, 16)]
WIDTHS = {8: style.BLUE, 4: style.GREEN, 2: style.VERMILION}


def traffic_megabytes(costs: CostTable, bits: int, *, cold: bool) -> float:
    """Return the DRAM traffic of a frame at uniform bits; of the first frame if ``cold``, norms left out."""
    graph, total = costs.graph, 0
    assignment = graph.uniform(bits)
    for site, layer in enumerate(graph.layers):
        own = assignment[layer.name]
        following = own if layer.key_consumer is None else assignment[layer.key_consumer]
        w, a, n = map(costs.width_index, (*own, following.activation))
        fetch = 2 * min(int(costs.planes_needed()[site, w]), costs.kept_planes[site]) if cold else 0
        at = (site, w, a, n, fetch)
        total += int(costs.dram_read_bits[at] + costs.dram_write_bits[at])
    return total / 8e6


def main(figure: Path = FIGURE) -> dict[str, list[float]]:
    """Draw the figure and return its curves."""
    graph = find_checkpoint("resnet18").graph
    device = build_device(load_profile("bismo_pynq_z1"))
    plain = device.cost_table(graph, 1)
    curves: dict[str, list[float]] = {}
    for kibibytes in KIBIBYTES:
        bits = kibibytes * 8192
        buffers = Buffers(weight_bits=bits, activation_bits=bits, output_bits=bits // 8, halves=2, burst_bits=512)
        costs = dataclasses.replace(device, buffers=buffers, execution=Execution()).cost_table(graph, 1)
        for width in WIDTHS:
            curves.setdefault(f"{width}", []).append(traffic_megabytes(costs, width, cold=False))
            curves.setdefault(f"{width}, first frame", []).append(traffic_megabytes(costs, width, cold=True))
    draw(figure, curves, {width: traffic_megabytes(plain, width, cold=False) for width in WIDTHS})
    return curves


def draw(figure: Path, curves: Mapping[str, Sequence[float]], plain: Mapping[int, float]) -> None:
    """Draw the curves, and what is moved without buffers."""
    with style.styled():
        drawn = style.titled_figure(
            "Traffic of ResNet-18 with DRAM, by the size of its buffers",
            "solid: every frame; dashed: the first; dotted: without buffers, so without tiles and with nothing kept",
            height_inches=4.2,
        )
        axes = drawn.subplots(gridspec_kw={"left": 0.075, "right": 0.985, "bottom": 0.12, "top": 0.86})
        for width, colour in WIDTHS.items():
            axes.plot(KIBIBYTES, curves[f"{width}"], color=colour, marker="o", markersize=4, label=f"{width} bits")
            axes.plot(KIBIBYTES, curves[f"{width}, first frame"], color=colour, linestyle="--")
            axes.axhline(plain[width], color=colour, linewidth=1, linestyle=":")
        axes.set(
            xscale="log", yscale="log", xlabel="KiB of weight buffer, and of activation buffer", ylabel="MB / frame"
        )
        axes.set_xticks(KIBIBYTES, [str(size) for size in KIBIBYTES])
        axes.set_yticks([0.2, 0.5, 1, 2, 5, 10, 20, 50], ["0.2", "0.5", "1", "2", "5", "10", "20", "50"])
        axes.minorticks_off()
        axes.legend(frameon=False)
        style.save(drawn, figure)


if __name__ == "__main__":
    for name, values in main().items():
        sys.stdout.write(f"{name}: {', '.join(f'{value:.2f}' for value in values)} MB\n")
