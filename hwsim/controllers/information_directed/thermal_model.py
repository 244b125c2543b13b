"""What is believed of a device's heat: a bank of Kalman filters, one per time constant.

The die is seen as one heat capacity behind one thermal resistance, with the power P held between two looks a time t
apart:

    T(t) = a T(0) + (1 - a) (A + R P),    a = e^(-t / tau)

Given tau this is linear in the temperature T, the ambient A and the resistance R, so a Kalman filter on (T, A, R) is
the exact posterior, sensor noise included (regressing T on its own last *noisy* reading would not be: where t << tau it
would take the noise for a fast time constant). tau itself has a finite set of candidates, weighted by how well each one
predicted (D. T. Magill, "Optimal adaptive estimation of sampled stochastic processes", IEEE Transactions on Automatic
Control 10(4), 1965). A and R drift as random walks, and tau may switch to another candidate, which then takes over what
the others believe of A and R (H. A. P. Blom and Y. Bar-Shalom, "The interacting multiple model algorithm for systems
with Markovian switching coefficients", IEEE Transactions on Automatic Control 33(8), 1988): a fan that stops, a case in
the sun and, slowly, nodes behind the first one (board, case) are followed that way. If P is the cost table's power and
not a measured one, R is kelvin per watt *of the table*: the energy table's error is in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.controllers.information_directed.forecast import Forecast
from hwsim.controllers.information_directed.ratio import FloatArray
from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThermalBelief:
    """A Gaussian on (die, ambient, resistance) for each candidate time constant.

    Attributes:
        log_weights: [J] Logarithm of the probability of each candidate.
        means: [J, 3].
        covariances: [J, 3, 3].
    """

    log_weights: FloatArray
    means: FloatArray
    covariances: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlook:
    """The die's temperature at a time to come, linear in the power that is held until then: offset + slope x watts.

    Attributes:
        log_weights: [J].
        offsets: [J] Means of the offset.
        slopes: [J] Means of the slope.
        offset_variances: [J], the die's own walk included.
        slope_variances: [J].
        covariances: [J] of offset and slope.
    """

    log_weights: FloatArray
    offsets: FloatArray
    slopes: FloatArray
    offset_variances: FloatArray
    slope_variances: FloatArray
    covariances: FloatArray

    def forecast(self, watts: FloatArray) -> Forecast:
        """Return the temperature under each of the powers [K].

        Under a constant power the temperature moves towards one value: it never was higher on the way than at both
        ends.
        """
        per_watt = self.slope_variances[:, None] * watts + 2.0 * self.covariances[:, None]
        return Forecast(
            log_weights=self.log_weights, means=self.offsets[:, None] + self.slopes[:, None] * watts,
            deviations=np.sqrt(per_watt * watts + self.offset_variances[:, None]),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThermalModel:
    """The prior, and how it learns.

    Attributes:
        time_constants_seconds: [J] Candidates, each above 0.
        mean: [3] Prior mean of die (degC), ambient (degC), resistance (K/W).
        deviations: [3] Prior standard deviations, independent, above 0.
        drifts: [3] Standard deviations of the random walks of the three after one second, >= 0. That of the die stands
            for what one capacity cannot say.
        sensor_deviation_kelvin: Noise of a reading, rounding included (step / sqrt(12)), above 0.
        switches_per_second: Rate at which the time constant changes to any of the candidates, >= 0.

    Raises:
        ConfigurationError: A value is out of range.
    """

    time_constants_seconds: FloatArray
    mean: FloatArray
    deviations: FloatArray
    drifts: FloatArray
    sensor_deviation_kelvin: float
    switches_per_second: float = 0.0

    def __post_init__(self) -> None:
        for name, values, least in (
            ("time_constants_seconds", self.time_constants_seconds, np.finfo(np.float64).tiny),
            ("deviations", self.deviations, np.finfo(np.float64).tiny),
            ("drifts", self.drifts, 0.0),
            ("sensor_deviation_kelvin", self.sensor_deviation_kelvin, np.finfo(np.float64).tiny),
            ("switches_per_second", self.switches_per_second, 0.0),
        ):
            if np.size(values) == 0 or not np.all(np.asarray(values) >= least):
                raise ConfigurationError(
                    f"thermal model, {name}: expected numbers {'>= 0' if not least else 'above 0'}"
                )

    def start(self) -> ThermalBelief:
        """Return the prior."""
        candidates = len(self.time_constants_seconds)
        return ThermalBelief(
            log_weights=np.full(candidates, -np.log(candidates)),
            means=np.tile(np.asarray(self.mean, dtype=np.float64), (candidates, 1)),
            covariances=np.tile(np.diag(np.square(self.deviations)), (candidates, 1, 1)),
        )

    def advance(self, belief: ThermalBelief, *, seconds: float, watts: float) -> ThermalBelief:
        """Return the belief after this power for this time: switches at its start, drifts at its end."""
        belief = self._switched(belief, seconds)
        kept, gone = self._decay(seconds)
        of_die = np.stack([kept, gone, gone * watts], axis=-1)
        with_die = (of_die[:, None] @ belief.covariances)[:, 0]
        means, covariances = belief.means.copy(), belief.covariances.copy()
        means[:, 0] = (of_die * means).sum(axis=-1)
        covariances[:, 0, 1:] = covariances[:, 1:, 0] = with_die[:, 1:]
        covariances[:, 0, 0] = (of_die * with_die).sum(axis=-1)
        covariances += np.diag(seconds * np.square(self.drifts))
        return ThermalBelief(log_weights=belief.log_weights, means=means, covariances=covariances)

    def learn(self, belief: ThermalBelief, celsius: float) -> ThermalBelief:
        """Return the belief after a reading of the die's sensor."""
        variances = belief.covariances[:, 0, 0] + self.sensor_deviation_kelvin**2
        surprises = celsius - belief.means[:, 0]
        gains = belief.covariances[:, :, 0] / variances[:, None]
        covariances = belief.covariances - gains[:, :, None] * belief.covariances[:, None, 0, :]
        log_weights = belief.log_weights - (np.log(variances) + surprises**2 / variances) / 2
        return ThermalBelief(
            log_weights=log_weights - np.logaddexp.reduce(log_weights),
            means=belief.means + gains * surprises[:, None],
            covariances=(covariances + np.swapaxes(covariances, 1, 2)) / 2,
        )

    def outlook(self, belief: ThermalBelief, *, seconds: float) -> Outlook:
        """Return what is believed of the die's temperature after holding a power for this time, whatever the power."""
        kept, gone = self._decay(seconds)
        means, of = belief.means, belief.covariances
        die, air = kept**2 * of[:, 0, 0], gone**2 * of[:, 1, 1]
        return Outlook(
            log_weights=belief.log_weights,
            offsets=kept * means[:, 0] + gone * means[:, 1],
            slopes=gone * means[:, 2],
            offset_variances=die + air + 2.0 * kept * gone * of[:, 0, 1] + seconds * self.drifts[0] ** 2,
            slope_variances=gone**2 * of[:, 2, 2],
            covariances=gone * (kept * of[:, 0, 2] + gone * of[:, 1, 2]),
        )

    def forecast(self, belief: ThermalBelief, *, seconds: float, watts: FloatArray) -> Forecast:
        """Return the die's temperature after holding each of the powers [K] for this time."""
        return self.outlook(belief, seconds=seconds).forecast(np.asarray(watts, dtype=np.float64))

    def _switched(self, belief: ThermalBelief, seconds: float) -> ThermalBelief:
        """Return the belief after a switch of the time constant was possible, by the moments of the mixtures."""
        if self.switches_per_second == 0:
            return belief
        candidates = len(belief.means)
        stays = np.exp(-self.switches_per_second * seconds)
        joint = np.exp(belief.log_weights)[:, None] * (stays * np.eye(candidates) + (1 - stays) / candidates)
        weights = joint.sum(axis=0)
        shares = joint / weights  # [before, after]
        centre = belief.means.mean(axis=0)  # second moments are taken around it: fewer digits cancel
        apart = belief.means - centre
        moments = belief.covariances + apart[:, :, None] * apart[:, None, :]
        shifted = shares.T @ apart
        means, mixed = centre + shifted, (shares.T @ moments.reshape(candidates, -1)).reshape(moments.shape)
        covariances = mixed - shifted[:, :, None] * shifted[:, None, :]
        return ThermalBelief(log_weights=np.log(weights), means=means, covariances=covariances)

    def _decay(self, seconds: float) -> tuple[FloatArray, FloatArray]:
        """Return the share of the die's temperature that is kept over a time, and what is gone of it, [J] each."""
        exponents = -seconds / np.asarray(self.time_constants_seconds)
        return np.exp(exponents), -np.expm1(exponents)
