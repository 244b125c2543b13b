"""Tables in the terminal, for people; colours appear only where the terminal has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hwsim.comparison import Comparison, Interval

if TYPE_CHECKING:
    from hwsim.config.provenance import Provenance

NO_VALUE = "-"
Format = Callable[[float], str]


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _scaled(unit: str, scale: float = 1, digits: int = 2) -> Format:
    return lambda value: f"{value * scale:,.{digits}f} {unit}"


def _bare(scale: float = 1, digits: int = 1) -> Format:
    return lambda value: f"{value * scale:,.{digits}f}"


SECTIONS: Mapping[str, Mapping[str, tuple[str, Format]]] = {
    "Answers": {
        "correct_on_time_rate": ("inputs answered right and on time, of all that arrived", _percent),
        "accuracy": ("inputs answered right, of those completed", _percent),
        "inputs_completed": ("inputs completed", _number),
    },
    "Frames": {
        "frames_arrived": ("arrived", _number),
        "frames_completed": ("completed", _number),
        "frames_dropped": ("dropped", _number),
        "deadline_miss_rate": ("late or dropped", _percent),
        "latency_p50_seconds": ("from arrival to finish, median", _scaled("ms", 1e3)),
        "latency_p99_seconds": ("from arrival to finish, 99th percentile", _scaled("ms", 1e3)),
    },
    "Energy and heat": {
        "energy_per_input_joules": ("energy per completed input, whole device", _scaled("mJ", 1e3, 3)),
        "energy_joules": ("energy, whole device", _scaled("J")),
        "co_running_joules": ("of it, what ran beside the accelerator", _scaled("J")),
        "peak_die_temperature_celsius": ("hottest the die got", _scaled("°C", digits=1)),
        "above_rating_seconds": ("time above the die's rated temperature", _scaled("s")),
        "throttled_seconds": ("time at a throttled clock", _scaled("s")),
        "shutdown_seconds": ("when it first switched itself off", _scaled("s")),
        "runaway_seconds": ("when its leakage ran away with it", _scaled("s")),
        "off_seconds": ("time switched off", _scaled("s")),
        "busy_share": ("share of the time that the array worked", _percent),
        "resting_seconds": ("time in idle states", _scaled("s")),
        "wakeups": ("times it woke from them", _number),
    },
    "Battery": {
        "battery_start_state_of_charge": ("state of charge at the start", _percent),
        "battery_end_state_of_charge": ("state of charge at the end", _percent),
        "battery_joules_drawn": ("drawn from the battery", _scaled("J")),
        "battery_joules_lost": ("lost in charging", _scaled("J")),
        "harvested_joules": ("harvested", _scaled("J")),
        "battery_empty_seconds": ("without power, as the battery was empty", _scaled("s")),
        "battery_life_seconds": ("until the battery was first empty", _scaled("s")),
    },
    "Bits": {
        "mean_weight_bits": ("mean weight bits, by multiply-accumulates", _scaled("bits")),
        "mean_activation_bits": ("mean activation bits, by multiply-accumulates", _scaled("bits")),
        "decisions": ("times the controller was asked", _number),
        "bit_switches": ("times a layer ran at other bits than before", _number),
        "mid_frame_switches": ("decisions that changed a frame in mid-stream", _number),
        "mixed_frames": ("frames whose layers ran at different bits", _number),
    },
    "Time": {
        "simulated_seconds": ("simulated", _scaled("s")),
        "wall_seconds": ("taken on this machine", _scaled("s")),
    },
}
"""Heading -> metric -> (what it is, how its value is written)."""

COMPARED: Mapping[str, tuple[str, Format]] = {
    "correct_on_time_rate": ("right and\non time %", _bare(100)),
    "accuracy": ("right of\ndone %", _bare(100)),
    "deadline_miss_rate": ("late or\nlost %", _bare(100)),
    "energy_per_input_joules": ("mJ per\ninput", _bare(1e3, 2)),
    "peak_die_temperature_celsius": ("hottest\n°C", _bare()),
    "throttled_seconds": ("throttled\ns", _bare()),
}
"""Metric -> (heading of its column, how its value is written)."""


def print_summary(summary: Mapping[str, Any], *, console: Console | None = None) -> None:
    """Print what a run came to: a verdict, then every metric with its unit.

    Args:
        summary: Content of ``summary.json``.
        console: Where to; stdout by default.
    """
    console = console or Console(highlight=False)
    console.print(Text.assemble((summary["controller"], "bold"), f" (run {summary['run_id']})"))
    console.print(verdict(summary), markup=False)
    for heading, metrics in SECTIONS.items():
        table = Table(title=heading, title_justify="left", title_style="bold", box=None, show_header=False)
        table.add_column(justify="right", min_width=12)
        table.add_column()
        for metric, (what, written) in metrics.items():
            if metric in summary:
                table.add_row(written_value(summary[metric], written), what)
        if table.row_count:
            console.print()
            console.print(table)


def print_comparison(comparison: Comparison, *, console: Console | None = None) -> None:
    """Print the metrics that matter most, one row per controller.

    Args:
        comparison: The statistics.
        console: Where to; stdout by default.
    """
    console = console or Console(highlight=False)
    runs = f"{comparison.replications} run{'s' * (comparison.replications > 1)} of each controller"
    told = f": means of {runs}, with 95 % intervals over runs and test inputs"
    console.print(Text.assemble((comparison.scenario, "bold"), told))
    table = Table(box=None, padding=(0, 0, 1, 1), pad_edge=False)
    table.add_column("controller", overflow="fold", min_width=10)
    for heading, _ in COMPARED.values():
        table.add_column(heading, justify="right", no_wrap=True)
    more = {f"{controller} - {comparison.baseline}": metrics for controller, metrics in comparison.differences.items()}
    for controller, metrics in (*comparison.controllers.items(), *more.items()):
        cells = [_with_interval(metrics[metric], written) for metric, (_, written) in COMPARED.items()]
        table.add_row(controller, *cells)
    console.print(table, markup=False)  # labels of controllers have brackets
    console.print(comparison_verdict(comparison), soft_wrap=True, markup=False)


def print_provenance(numbers: Sequence[Provenance], *, console: Console | None = None) -> None:
    """Print every number of a profile with its source, or why it is assumed and in which range.

    Args:
        numbers: The numbers.
        console: Where to; stdout by default.
    """
    console = console or Console(highlight=False)
    for number in numbers:
        scaled = f", scaled to {number.scaled}" if number.scaled else ""
        console.print(Text.assemble((number.path, "bold"), f": {number.value}{scaled}"))
        told = number.source or f"assumed, range {number.range}: {number.assumption}"
        console.print(Padding(Text(told), (0, 0, 0, 4)))


def verdict(summary: Mapping[str, Any]) -> str:
    """Return one or two sentences that say what the run came to."""
    right, missed = summary["correct_on_time_rate"], summary["deadline_miss_rate"]
    if missed is None:
        return "No frame arrived: lengthen the run, or let frames arrive sooner."
    energy = summary["energy_per_input_joules"]
    first = (
        f"{_percent(right)} of the inputs that arrived were answered right and on time"
        if right is not None
        else f"{_percent(1 - missed)} of the frames that arrived were done on time"
    )
    cost = "none was completed" if energy is None else f"each completed input cost {energy * 1e3:.3f} mJ"
    throttled = summary["throttled_seconds"] / summary["simulated_seconds"]
    heat = f"and was throttled {_percent(throttled)} of the time" if throttled else "and was never throttled"
    told = f"{first}; {cost}. The die peaked at {summary['peak_die_temperature_celsius']:.1f} °C {heat}."
    if (shutdown := summary["shutdown_seconds"]) is not None:
        told += f" It switched itself off at {shutdown:.4g} s, for {summary['off_seconds']:.4g} s in all."
    if (runaway := summary["runaway_seconds"]) is not None:
        told += f" Its leakage ran away: it was off for that at {runaway:.4g} s."
    above = summary["above_rating_seconds"]
    return f"{told} It was above its rating for {above:.1f} s: a real device may not survive that." if above else told


def comparison_verdict(comparison: Comparison) -> str:
    """Return a few sentences that say what a comparison came to."""
    named = comparison.controllers
    rates = {label: each["correct_on_time_rate"].mean for label, each in named.items()}
    with_outputs = all(rate is not None for rate in rates.values())
    on_time = {label: 1 - (each["deadline_miss_rate"].mean or 0.0) for label, each in named.items()}
    known = {label: rate for label, rate in (rates if with_outputs else on_time).items() if rate is not None}
    best = max(known, key=known.__getitem__)
    energy = named[best]["energy_per_input_joules"].mean
    cost = "" if energy is None else f", at {energy * 1e3:.2f} mJ per input"
    what = "of the inputs are answered right and on time" if with_outputs else "of the frames are on time"
    if len(known) == 1:
        return f"{best}, alone: {_percent(known[best])} {what}{cost}."
    told = f"{best} does best: {_percent(known[best])} {what}{cost}."
    if comparison.pareto is not None:
        *others, last = comparison.pareto.front
        losses = "energy, accuracy and deadlines" if with_outputs else "energy and deadlines"
        front = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        told += f" Where {losses} all count, {front} beaten by no other."
    return told


def written_value(value: float | None, written: Format) -> str:
    """Return a metric as people read it; a dash where the run has none."""
    return NO_VALUE if value is None else written(value)


def _with_interval(interval: Interval, written: Format) -> str:
    """Return the mean, and below it the interval where it has a width that shows."""
    return "\n".join(filter(None, short_interval(interval, written)))


def short_interval(interval: Interval, written: Format) -> tuple[str, str]:
    """Return the mean, and the interval where it has a width that shows."""
    if interval.mean is None or interval.low is None or interval.high is None:
        return NO_VALUE, ""
    mean, low, high = (written(value) for value in (interval.mean, interval.low, interval.high))
    between = "-" if interval.low >= 0 else " to "  # a dash before a minus cannot be read
    return mean, "" if low == high else f"{low}{between}{high}"


def print_controllers(known: Mapping[str, Mapping[str, Any]]) -> None:
    """Print every controller with its options and what they mean.

    Args:
        known: What :func:`hwsim.controllers.describe_controllers` returns.
    """
    for name, controller in known.items():
        print(f"{name}: {controller['summary']}")
        for option, default in controller["options"].items():
            print(f"    {option} [{default}]")
        print("    " + controller["told"].replace("\n", "\n    ") + "\n")
