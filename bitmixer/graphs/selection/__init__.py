"""Automatic selection of bits: the least memory whose accuracy on validation nodes stays within a tolerance.

SGQuant's idea (a learned model of accuracy, and exploration led by it), beside what it must beat at as many
measurements: random draws, and Optuna.
"""

from __future__ import annotations

from bitmixer.errors import SearchError, did_you_mean
from bitmixer.graphs.selection.base import BitProblem, Measurement, Selection, Strategy
from bitmixer.graphs.selection.learned import LearnedModel
from bitmixer.graphs.selection.optuna_sampler import OptunaSampler
from bitmixer.graphs.selection.random_draws import RandomDraws

STRATEGIES: dict[str, type[Strategy]] = {"learned": LearnedModel, "optuna": OptunaSampler, "random": RandomDraws}

__all__ = ["STRATEGIES", "BitProblem", "Measurement", "Selection", "select_bits"]


def select_bits(problem: BitProblem, strategy: str, *, measurements: int, seed: int) -> Selection:
    """Measure as often as allowed, and return all measurements in their order.

    Args:
        problem: What may be chosen, and how it is measured.
        strategy: A name of ``STRATEGIES``.
        measurements: How many assignments are measured.
        seed: Of everything that the strategy draws.

    Raises:
        SearchError: The strategy does not exist, or nothing is to be measured.
        MissingExtraError: It needs a library that is not installed.
    """
    if strategy not in STRATEGIES:
        raise SearchError(f"unknown strategy {strategy!r}: {did_you_mean(strategy, STRATEGIES)}")
    if measurements < 1:
        raise SearchError(f"{measurements} measurements: expected 1 or more")
    chooser = STRATEGIES[strategy](problem, seed)
    found: list[Measurement] = []
    for _ in range(measurements):
        bits = chooser.propose()
        found.append(problem.measured(bits))
        chooser.learn(found[-1])
    return Selection(problem=problem, measurements=tuple(found))
