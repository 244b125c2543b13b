"""The part of bsq.md about networks that switch their widths, and its figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bsq_columns import EPOCHS, RANDOM_ASSIGNMENTS, ROWS
from bsq_hardware import GROUPS

Arms = dict[str, dict[str, Any] | None]
FIGURE = Path(__file__).parent.parent / "images" / "bsq_columns.svg"
PLAIN = "no Lasso"
NOT_RUN = "not run"
ARRAYS = {"bitwave": "BitWave", "bitvert": "BBS"}
SERIAL = "bit-serial"
COMMAND = "python docs/results/bsq.py measure --only columns"


def part(found: dict[str, Any] | None) -> str:
    """Return the section of the page."""
    title = "## Joined with networks that switch their widths\n\n"
    networks = {} if found is None else {name: arms for name, arms in found["networks"].items() if any(arms.values())}
    missing = [name for name in EPOCHS if name not in networks]
    parts = [title + _about()]
    if networks:
        parts += ["![Accuracy against cycles at every width](../images/bsq_columns.svg)"]
        parts += [_network(name, arms) for name, arms in networks.items()]
    if missing:
        parts.append(f"Not run: {', '.join(missing)} (`{COMMAND}`).")
    return "\n\n".join(parts)


def _about() -> str:
    return (
        "Here every layer switches between its widths at run time, so that no plane can be dropped; but bit columns can be "
        "empty. `column_sparsity` ([recipes.md](../recipes.md#columns-that-arrays-skip)) adds a group Lasso over them to the last stage. "
        "Each arm trains a packaged checkpoint on for the same few epochs of that stage, one without the Lasso. Blocks are those "
        f"of the array, {GROUPS[0]} input channels x {ROWS} output channels, but for the last arm, in which each output channel counts "
        "by itself, and train on one thread of a machine that does other work too. Cycles and energy are of one image with all inner layers at one width, from the trained weights, on arrays of "
        f"{ROWS} rows and groups of {GROUPS[0]} as above; the first and the last layer stay at 8 bits. Measured with `{COMMAND}`; one seed."
    )


def _network(name: str, arms: Arms) -> str:
    done = {arm: own for arm, own in arms.items() if own is not None}
    first = next(iter(done.values()))
    widths = list(first["uniform"])
    lowest = min(first["uniform"].values())
    error = 100 * (lowest * (1 - lowest) / first["inputs"]) ** 0.5
    about = (
        f"{first['epochs']} epochs, {first['images']:,} images, seed {first['seed']}. Accuracy in % of {first['inputs']:,} test "
        f"images (standard error of {100 * lowest:.1f} %: {error:.1f} points), at uniform widths and as the mean of {RANDOM_ASSIGNMENTS} random "
        "assignments; `columns`: those that hold a one, per read, over all widths, in the arm's own blocks."
    )
    return "\n\n".join(
        [
            f"### {name}",
            about,
            _accuracies(arms, widths),
            _gains(arms, widths),
            _joules(arms, widths),
            _reading(done, widths),
        ]
    )


def _accuracies(arms: Arms, widths: list[str]) -> str:
    head = ["strength", *(f"{bits} bits" for bits in widths), "random", "columns", "minutes"]
    rows = {
        name: None if arm is None else [
            *(f"{100 * arm['uniform'][bits]:.2f}" for bits in widths), f"{100 * arm['random']['mean']:.2f}",
            "" if arm["occupied_columns"] is None else f"{arm['occupied_columns']:.2f}", f"{arm['seconds'] / 60:.0f}",
        ]
        for name, arm in arms.items()
    }  # fmt: skip
    return _table(head, rows)


def _gains(arms: Arms, widths: list[str]) -> str:
    plain = arms[PLAIN]
    assert plain is not None
    head = ["strength", *(f"{title} {bits}" for title in ARRAYS.values() for bits in widths)]
    rows = {
        name: None if arm is None else [
            f"{plain['hardware'][SERIAL][bits]['cycles'] / arm['hardware'][array][bits]['cycles']:.2f}"
            for array in ARRAYS for bits in widths
        ]
        for name, arm in arms.items()
    }  # fmt: skip
    return "How many times fewer cycles than without skipping, at the same width:\n\n" + _table(head, rows)


def _joules(arms: Arms, widths: list[str]) -> str:
    head = ["strength", *(f"{title} {bits}" for title in ARRAYS.values() for bits in widths)]
    rows = {
        name: None if arm is None else [
            f"{1e6 * arm['hardware'][array][bits]['joules']:.2f}" for array in ARRAYS for bits in widths
        ]
        for name, arm in arms.items()
    }  # fmt: skip
    return "Microjoules of an image, DRAM and vector unit included:\n\n" + _table(head, rows)


def _table(head: list[str], rows: dict[str, list[str] | None]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    for name, cells in rows.items():
        lines.append(f"| {name} | " + " | ".join(cells or [NOT_RUN] * (len(head) - 1)) + " |")
    return "\n".join(lines)


def _reading(done: dict[str, dict[str, Any]], widths: list[str]) -> str:
    """Say what each strength saves on BitWave beyond skipping alone, and what it costs."""
    plain = done.pop(PLAIN)
    serial, wave = (plain["hardware"][array] for array in (SERIAL, "bitwave"))
    saved = ", ".join(f"{_less(serial, wave, bits)} % at {bits} bits" for bits in widths)
    sentences = [f"Without the Lasso BitWave skips {saved} of the cycles."]
    for name, arm in done.items():
        more = ", ".join(f"{_less(wave, arm['hardware']['bitwave'], bits)} %" for bits in widths)
        cost = ", ".join(f"{100 * (arm['uniform'][bits] - plain['uniform'][bits]):+.2f}" for bits in widths)
        sentences.append(f"Strength {name} takes a further {more} at {cost} points.")
    if done:
        shares = [
            1 - arm["hardware"]["bitwave"][bits]["joules"] / wave[bits]["joules"]
            for arm in done.values()
            for bits in widths
        ]
        sentences.append(
            f"Energy changes by {100 * max(shares):.1f} % at most: columns that are skipped spare products and reads of weights from "
            "the buffer, while traffic to DRAM, activations and the vector unit stay as they are."
        )
    return " ".join(sentences)


def _less(before: dict[str, Any], after: dict[str, Any], bits: str) -> str:
    return f"{100 * (1 - after[bits]['cycles'] / before[bits]['cycles']):.1f}"


def draw(found: dict[str, Any] | None) -> None:
    """Draw accuracy against cycles on BitWave, a panel per network and a line per arm; nothing before there are any."""
    networks = {} if found is None else {name: arms for name, arms in found["networks"].items() if any(arms.values())}
    if not networks:
        return
    from hwsim.report.style import BLUE, FAINT, INK, ORANGE, SKY, VERMILION, save, styled, titled_figure

    with styled():
        figure = titled_figure(
            "Accuracy against cycles on BitWave, all inner layers at one width",
            "As shares of the cycles of 8 bits without skipping. Right to left: from the widest to the narrowest width.",
            height_inches=3.8,
        )
        wide = 0.88 / len(networks)
        for number, (name, arms) in enumerate(networks.items()):
            axes = figure.add_axes((0.08 + number * wide, 0.15, wide - 0.06, 0.6))
            for (arm, own), colour, marker in zip(
                arms.items(), (INK, SKY, BLUE, VERMILION, ORANGE), "sovD^", strict=True
            ):
                if own is None:
                    continue
                widths, full = list(own["uniform"]), own["hardware"][SERIAL]["8"]["cycles"]
                cycles = [100 * own["hardware"]["bitwave"][bits]["cycles"] / full for bits in widths]
                right = [100 * own["uniform"][bits] for bits in widths]
                axes.plot(cycles, right, marker=marker, color=colour, label=arm, ms=4, lw=1)
            axes.set_title(name, fontsize=9)
            axes.set_xlim(left=0)
            axes.set_xlabel("cycles, %")
            axes.grid(color=FAINT, alpha=0.2)
            if number == 0:
                axes.set_ylabel("right of the test images, %")
                axes.legend(loc="lower right", frameon=False, fontsize=7, title="strength", title_fontsize=7)
        save(figure, FIGURE)
