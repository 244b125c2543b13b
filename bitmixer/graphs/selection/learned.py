"""SGQuant's way: a model of accuracy is fitted to what was measured, and leads the next measurements.

Of many drawn assignments those that the model holds feasible are kept, and the ones that save most are measured.
The paper's own model and constants are not public; these are ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitmixer.graphs.selection.base import BitProblem, Bits, Measurement, Strategy

FIRST = 20
"""Random measurements before the first model."""
PER_ROUND = 10
"""Measurements that one model leads."""
CANDIDATES = 2000
"""Assignments that a model is asked about: half of them drawn, half of them changes of the best so far."""
CHANGED = 0.25
"""Share of widths that such a change redraws."""


class LearnedModel(Strategy):
    """Gradient-boosted trees from widths to accuracy, fitted anew after every round."""

    def __init__(self, problem: BitProblem, seed: int) -> None:
        super().__init__(problem, seed)
        self._known: list[Measurement] = []
        self._queue: list[Bits] = [tuple(bits) for bits in problem.drawn(self.generator, FIRST).tolist()]

    def propose(self) -> Bits:
        """Return the next of the round; a new round begins with a new model."""
        if not self._queue:
            self._queue = self._next_round()
        return self._queue.pop(0)

    def learn(self, measurement: Measurement) -> None:
        """Keep what the next model is fitted to."""
        self._known.append(measurement)

    def _next_round(self) -> list[Bits]:
        from sklearn.ensemble import GradientBoostingRegressor

        model = GradientBoostingRegressor(random_state=int(self.generator.integers(2**31)))
        model.fit(
            self._described(np.array([each.bits for each in self._known])), [each.accuracy for each in self._known]
        )
        candidates = self._candidates()
        predicted = model.predict(self._described(candidates))
        savings = self.problem.savings(candidates)
        # Those held feasible first, by what they save; then those that come closest to it.
        feasible = predicted >= self.problem.threshold
        order = np.lexsort((np.where(feasible, -savings, -predicted), ~feasible))
        return [tuple(bits) for bits in candidates[order[:PER_ROUND]].tolist()]

    def _candidates(self) -> NDArray[np.int64]:
        """Return assignments that were not measured, each once."""
        drawn = self.problem.drawn(self.generator, CANDIDATES)
        best = max(self._known, key=lambda each: (each.is_feasible, each.saving if each.is_feasible else each.accuracy))
        kept = self.generator.random(drawn.shape) >= CHANGED
        kept[: CANDIDATES // 2] = False
        both = np.unique(np.where(kept, np.array(best.bits), drawn), axis=0)
        known = {each.bits for each in self._known}
        return both[[tuple(bits) not in known for bits in both.tolist()]]

    def _described(self, bits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what the model sees: the logarithm of each width, and the saving's."""
        return np.concatenate([np.log2(bits), np.log2(self.problem.savings(bits))[:, None]], axis=1)
