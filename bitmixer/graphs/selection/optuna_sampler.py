"""Optuna's sampler (tree-structured Parzen estimators), at the same interface; needs the extra ``search``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitmixer.errors import MissingExtraError
from bitmixer.graphs.selection.base import BitProblem, Bits, Measurement, Strategy

if TYPE_CHECKING:
    from optuna.trial import Trial


class OptunaSampler(Strategy):
    """Maximises the saving; an assignment that is not feasible is worth what it lacks, below zero.

    Raises:
        MissingExtraError: Optuna is not installed.
    """

    def __init__(self, problem: BitProblem, seed: int) -> None:
        super().__init__(problem, seed)
        try:
            import optuna
        except ImportError:
            raise MissingExtraError("strategy 'optuna': pip install 'bitmixer-hwsim[search]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        self._trial: Trial

    def propose(self) -> Bits:
        """Return the sampler's next trial."""
        self._trial = self._study.ask()
        widths = list(self.problem.widths)
        names = [choice.name for choice in self.problem.choices]
        return tuple(widths[self._trial.suggest_int(name, 0, len(widths) - 1)] for name in names)

    def learn(self, measurement: Measurement) -> None:
        """Tell the sampler what its trial is worth."""
        lacking = measurement.accuracy - self.problem.threshold
        self._study.tell(self._trial, measurement.saving if measurement.is_feasible else lacking)
