"""Limits on a run's metrics, for scripts that must notice when one is crossed (``--fail-on``)."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitmixer.errors import did_you_mean
from hwsim.errors import ConfigurationError

_FORM = re.compile(r"\s*(?P<metric>\w+)\s*(?P<sign>[<>])\s*(?P<bound>\S+)\s*")
_CROSSED: Mapping[str, Callable[[float, float], bool]] = {">": operator.gt, "<": operator.lt}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A metric and the side of a bound that it must not be on."""

    metric: str
    sign: str
    bound: float

    def is_crossed(self, summary: Mapping[str, Any]) -> bool:
        """Whether a run's metric is beyond the bound; a metric without a value is beyond every bound."""
        value = summary[self.metric]
        return value is None or _CROSSED[self.sign](value, self.bound)

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.bound:g}"


def parse_limits(texts: Sequence[str], metrics: Iterable[str]) -> list[Limit]:
    """Read limits such as ``deadline_miss_rate>0.01``.

    Args:
        texts: What the user wrote.
        metrics: Names of the metrics that a summary has.

    Raises:
        ConfigurationError: Not of that form, or an unknown metric.
    """
    known = set(metrics)
    limits = []
    for text in texts:
        match = _FORM.fullmatch(text)
        bound = _number(match["bound"]) if match else None
        if match is None or bound is None:
            raise ConfigurationError(f"--fail-on {text}: expected METRIC>NUMBER or METRIC<NUMBER")
        if match["metric"] not in known:
            raise ConfigurationError(f"--fail-on {text}: unknown metric: {did_you_mean(match['metric'], known)}")
        limits.append(Limit(metric=match["metric"], sign=match["sign"], bound=bound))
    return limits


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
