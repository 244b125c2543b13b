"""Moments of a logit with a Gaussian prior after so many successes of so many trials."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

NODES, WEIGHTS = np.polynomial.hermite.hermgauss(32)
FACTORS = np.log(WEIGHTS) + NODES**2


def logit_moments(mean: float, variance: float, *, successes: int, trials: int) -> tuple[float, float]:
    """Return the mean and the variance of x ~ N(mean, variance) given Binomial(trials, 1 / (1 + e^-x)) successes.

    Gauss-Hermite quadrature around the mode, scaled by the curvature there (J. C. Naylor and A. F. M. Smith,
    "Applications of a Method for the Efficient Computation of Posterior Distributions", Applied Statistics 31(3),
    1982).
    """

    def slope(logit: float) -> float:
        return successes - trials * float(expit(logit)) - (logit - mean) / variance

    reach = mean + variance * (successes - trials * float(expit(mean)))
    # The slope falls and changes its sign between the prior's mean and here; a little more, against rounding.
    low, high = sorted((mean, reach))
    margin = 1e-9 * (1 + abs(low) + abs(high))
    mode = brentq(slope, low - margin, high + margin)
    right = float(expit(mode))
    scale = np.sqrt(2 / (1 / variance + trials * right * (1 - right)))
    logits = mode + scale * NODES
    logs = successes * logits - trials * np.logaddexp(0, logits) - (logits - mean) ** 2 / (2 * variance) + FACTORS
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    centre = float(weights @ logits)
    return centre, float(weights @ (logits - centre) ** 2)
