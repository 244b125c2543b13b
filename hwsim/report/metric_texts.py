"""What metrics are called, and how their values are written, wherever people read them."""

from __future__ import annotations

from hwsim.report.terminal import NO_VALUE, SECTIONS, Format

_TOLD = {metric: told for section in SECTIONS.values() for metric, told in section.items()}


def known_metrics() -> list[str]:
    """Return the metrics of a summary that people are told of."""
    return list(_TOLD)


def what_is(metric: str) -> str:
    """Return what a metric is; with its stream's name where it is one stream's."""
    stream, _, name = metric.rpartition(".")
    return f"{stream}: {_TOLD[name][0]}" if stream else _TOLD[name][0]


def format_of(metric: str) -> Format:
    """Return what writes a metric's values, with their unit."""
    return _TOLD[metric.rpartition(".")[2]][1]


def value_text(metric: str, value: float | None) -> str:
    """Return a metric as people read it; a dash where the run has none."""
    return NO_VALUE if value is None else format_of(metric)(value)
