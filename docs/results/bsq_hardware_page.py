"""The part of bsq.md about hardware, and its figure."""

from __future__ import annotations

from pathlib import Path

from bsq_hardware import DENSE, GROUPS

Costs = dict[str, dict[str, dict[str, float]]]
FIGURE = Path(__file__).parent.parent / "images" / "bsq_hardware.svg"


def part(found: Costs | None) -> str:
    """Return the section of the page."""
    title = "## What the hardware makes of it\n\n"
    if not found:
        return title + "not run."
    return title + "\n\n".join(
        [
            _about(),
            "![Cycles of every scheme](../images/bsq_hardware.svg)",
            _gains(found),
            _shares(found),
            _joules(found),
        ]
    )


def _about() -> str:
    return (
        "One image through the array, memory never late, from the trained weights. `bit-serial` takes a cycle for every plane of "
        "magnitude of a layer (two's complement of LSQ, which reaches one lower, has one more); `BitWave` skips the columns in which no weight of a group has a one; `BBS` (BitVert) works on "
        "two's complement, which has the sign as one more column, and needs half the multipliers: its gain is area. Numbers of units are those of "
        "the packaged profiles, with the group as given. Stripes is serial in activations, which all schemes read at 4 bits: bits of weights "
        "do not count there; Loom is serial in both. A layer that lost all planes still takes a cycle per group, as a "
        "ternary one does. What skipped columns save in memory is not counted: weights are stored at their width."
    )


def _gains(found: Costs) -> str:
    arrays = ["stripes", "loom", *(name for group in GROUPS for name in _names(group))]
    lines = [
        "How many times fewer cycles than the dense 8-bit network takes without skipping (Stripes, Loom: on the same array):",
        "",
    ]
    lines += ["| network | " + " | ".join(map(_title, arrays)) + " |", "|---|" + "--:|" * len(arrays)]
    for network, costs in found.items():
        cells = [f"{_baseline(found, array) / costs[array]['cycles']:.2f}" for array in arrays]
        lines.append(f"| {network} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shares(found: Costs) -> str:
    """Return which part of the gain the algorithm earns, and which the hardware adds."""
    lines = ["Who earns it: the scheme alone, and what skipping adds to it:", ""]
    lines += ["| network | scheme | " + " | ".join(f"skipping, groups of {group}" for group in GROUPS) + " |"]
    lines += ["|---|" + "--:|" * (len(GROUPS) + 1)]
    for network, costs in found.items():
        serial, _, _ = _names(16)
        cells = [f"x {found[DENSE][serial]['cycles'] / costs[serial]['cycles']:.2f}"]
        for group in GROUPS:
            serial, wave, _ = _names(group)
            cells.append(f"x {costs[serial]['cycles'] / costs[wave]['cycles']:.3f}")
        lines.append(f"| {network} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _sentence(found)])


def _sentence(found: Costs) -> str:
    saved = []
    for group in (GROUPS[0], GROUPS[-1]):
        serial, wave, _ = _names(group)
        saved.append(
            f"{100 * (1 - found[DENSE][wave]['cycles'] / found[DENSE][serial]['cycles']):.1f} % in groups of {group}"
        )
    return (
        f"Dense 8-bit weights have nearly no empty columns: skipping them saves {' and '.join(saved)}. "
        "What makes columns empty everywhere is that the scheme takes whole planes away, and those need no hardware that looks for them: "
        "an array that is serial in weight bits runs at the layer's width."
    )


def _joules(found: Costs) -> str:
    arrays = ["stripes", "loom", *(name for group in GROUPS for name in _names(group))]
    lines = [
        "Microjoules of one image, DRAM and vector unit included; energies per action are assumed, as the profiles say:",
        "",
    ]
    lines += ["| network | " + " | ".join(map(_title, arrays)) + " |", "|---|" + "--:|" * len(arrays)]
    for network, costs in found.items():
        cells = [f"{1e6 * costs[array]['joules']:.1f}" for array in arrays]
        lines.append(f"| {network} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _names(group: int) -> tuple[str, str, str]:
    return tuple(f"{kind}, groups of {group}" for kind in ("bit-serial", "bitwave", "bitvert"))  # type: ignore[return-value]


def _title(array: str) -> str:
    name, _, group = array.partition(", groups of ")
    short = {"stripes": "Stripes", "loom": "Loom", "bitwave": "BitWave", "bitvert": "BBS"}.get(name, name)
    return f"{short} {group}".strip()


def _baseline(found: Costs, array: str) -> float:
    """Return the cycles of the dense network without skipping, on an array of the same size."""
    _, _, group = array.partition(", groups of ")
    return found[DENSE][_names(int(group))[0] if group else array]["cycles"]


def draw(found: Costs | None) -> None:
    """Draw a row per network: its cycles as a share of the dense network's without skipping; nothing before there are any."""
    if not found:
        return
    from hwsim.report.style import BLUE, FAINT, INK, ORANGE, SKY, VERMILION, percent, save, styled, titled_figure

    marks = {
        "loom": ("Loom", INK, "s"), "bit-serial, groups of 16": ("bit-serial in weights", BLUE, "o"),
        "bitwave, groups of 32": ("BitWave, groups of 32", SKY, "<"), "bitwave, groups of 8": ("BitWave, groups of 8", ORANGE, ">"),
        "bitvert, groups of 16": ("BBS, groups of 16", VERMILION, "x"),
    }  # fmt: skip
    networks = list(found)
    height = 1.7 + 0.32 * len(networks)
    with styled():
        figure = titled_figure(
            "Cycles of an image: what the scheme takes away, and what skipping adds",
            "As shares of what the dense 8-bit network takes on the same array without skipping.", height_inches=height,
        )  # fmt: skip
        axes = figure.add_axes((0.2, 0.6 / height, 0.52, 1 - 1.4 / height))
        for array, (label, colour, marker) in marks.items():
            shares = [found[network][array]["cycles"] / _baseline(found, array) for network in networks]
            axes.plot(shares, range(len(networks)), ls="", marker=marker, color=colour, label=label, ms=6)
        axes.set_yticks(range(len(networks)), networks)
        axes.set_ylim(len(networks) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(lambda share, _: percent(share))
        axes.grid(axis="x", color=FAINT, alpha=0.2)
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=8)
        save(figure, FIGURE)
