"""Information-directed: spends a probe where what it tells of the best rung is worth its price.

After X. Lu, B. Van Roy and others, "Reinforcement Learning, Bit by Bit" (Foundations and Trends in Machine Learning
16(6), 2023); docs/information_directed.md has the mathematics. What is unknown is how far each rung's answers agree
with those at the most bits, which changes with the inputs: a Gaussian on logits that is shared among rungs and forgets.
The target is the cheapest rung that is worth nearly as much as the best; each frame, the ratio of squared shortfall to
what is learned about the target is minimised over pairs of options. An option is a rung for the frame and what to look
at when it is done: nothing; its own answers, by a probe at the most bits; or, where it runs at the most bits itself,
those of another rung, by a probe there, which is cheaper than to run at that rung and then probe at the most bits.
Rungs that would be too hot or late are out, by beliefs about heat and about what frames take that are learned as well
(``learned_heat``, ``learned_ratios``, ``shield``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import logit

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, FloatArray, RewardOptions, build_ladder
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Probe, Wake
from hwsim.controllers.information_directed.accuracy_model import (
    AccuracyModel,
    Evidence,
    coarseness_features,
    shared_covariance,
)
from hwsim.controllers.information_directed.forecast import Forecast
from hwsim.controllers.information_directed.policy import noisy_gains
from hwsim.controllers.information_directed.ratio import PairPolicy, minimise_ratio
from hwsim.controllers.information_directed.shield import Limit, shield
from hwsim.controllers.information_directed.target import (
    expected_shortfalls,
    explained_variances,
    satisficing_actions,
)
from hwsim.controllers.learned_charge import ChargeState, LearnedCharge
from hwsim.controllers.learned_heat import HeatState, LearnedHeat
from hwsim.controllers.learned_ratios import Ratios, no_ratios, with_frame
from hwsim.controllers.rate import UNSEEN, Rate
from hwsim.errors import ConfigurationError

SUREST = 0.995
"""Highest agreement that a prior is centred on: a logit has no infinity."""
RATE_SECONDS = 2.0
RENEWED_AT = 0.9
"""A policy holds until so much is left of the evidence that it was made from, if nothing else changes."""
NOTHING = -1


class IdsOptions(RewardOptions):
    """Options of the rule.

    Attributes:
        tolerance: Loss of worth per frame at which a cheaper rung is good enough.
        memory: Share of what probes told that is kept from frame to frame; 1 / (1 - memory) frames count.
        feature_deviation: Standard deviation of logits of agreement that rungs share.
        own_deviation: Of what each has for itself.
        draws: From what is believed, per decision.
        below_trip_kelvin: The die is to stay so much below the first trip.
        horizon_seconds: How long a rung is reckoned to be held, when its heat is foretold.
        risk: Highest probability of breaking a limit.
        charged_at_seconds: Time from the start at which the battery is charged again: until then it is to last. Without
            it, and on the mains, nothing is safer for the battery than anything else.
    """

    tolerance: float = Field(default=0.003, ge=0.0, allow_inf_nan=False)
    memory: float = Field(default=0.998, gt=0.0, le=1.0)
    feature_deviation: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    own_deviation: float = Field(default=0.5, gt=0.0, allow_inf_nan=False)
    draws: int = Field(default=128, ge=16)
    below_trip_kelvin: float = Field(default=2.0, ge=0.0, allow_inf_nan=False)
    horizon_seconds: float = Field(default=20.0, gt=0.0, allow_inf_nan=False)
    risk: float = Field(default=0.05, gt=0.0, lt=1.0)
    charged_at_seconds: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """A distribution on two of the options at the most.

    Attributes:
        options: Positions of the options.
        chosen: On those.
    """

    options: NDArray[np.intp]
    chosen: PairPolicy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdsState:
    """What it believes and is about to do.

    Attributes:
        evidence: Of the agreement of rungs but the first.
        heat: Of temperatures.
        charge: Of the battery.
        ratios: Of frames' times and energies in parts of the cost table's.
        rate: How often frames come.
        rung: In use.
        clock: Position of the array's clock at the last look.
        look: Rung whose agreement a probe is to tell, as soon as a frame is there that can; or ``NOTHING``.
        probing: Rung of the probe that is under way, or ``NOTHING``.
        inputs: Of a frame.
        agreement: [draws, rungs] drawn from what is believed; ``None``: not yet, since that changed.
        policies: What was solved for with those draws, by the rungs that are safe.
        kept: Share of the evidence behind them that is not forgotten since.
    """

    evidence: Evidence
    heat: HeatState
    ratios: Ratios
    charge: ChargeState = ChargeState()  # noqa: RUF009 (frozen)
    rate: Rate = UNSEEN
    rung: int = 0
    clock: int = 0
    look: int = NOTHING
    probing: int = NOTHING
    inputs: int = 1
    agreement: FloatArray | None = None
    policies: Mapping[tuple[int, ...], Policy] = field(default_factory=dict)
    kept: float = 1.0


class Ids:
    """Chooses a rung, and what to look at, before each frame."""

    wakes_on: frozenset[Wake] = frozenset({"frame"})
    tick_picoseconds = 0
    needs_outputs = False
    probes = True

    def __init__(self, options: IdsOptions) -> None:
        self._options = options

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, IdsState]:
        """Start with the most bits, and the accuracies measured after training as the prior."""
        options, self._device = self._options, device
        self._ladder = ladder = build_ladder(options, device, network)
        self._joules = ladder.joules[:, None] * np.array(device.energy_scales or [1.0] * len(device.frequencies_hertz))
        self._prices = options.energy_weight * ladder.joules / ladder.joules[0]
        self._charge = None
        if options.charged_at_seconds is not None:
            if device.battery is None:
                raise ConfigurationError("controller ids: charged_at_seconds: no battery to charge: leave it out")
            self._charge = LearnedCharge(device.battery)
        self._heat = LearnedHeat(device, horizon_seconds=options.horizon_seconds)
        self._rungs, self._looks, self._look_prices = self._possible()
        agreement = np.minimum(ladder.accuracies[1:] / ladder.accuracies[0], SUREST)
        widths = np.array([list(assignment.values()) for assignment in ladder.assignments[1:]]).reshape(
            len(ladder) - 1, -1, 2
        )
        features = coarseness_features(widths, np.zeros(len(network.graph.layers), dtype=np.intp))
        features[:, 1] /= max(features[:, 1].max(initial=0.0), np.finfo(np.float64).tiny)
        covariance = shared_covariance(
            features, feature_deviation=options.feature_deviation, own_deviation=options.own_deviation
        )
        self._model = AccuracyModel(mean=logit(agreement), covariance=covariance, memory=options.memory)
        start = Decision(widths=ladder.assignments[0], reason=f"start at {ladder.names[0]}")
        ratios = no_ratios(2, len(ladder))
        return start, IdsState(evidence=self._model.start(), heat=self._heat.start(), ratios=ratios)

    def decide(
        self, observation: Observation, state: IdsState, generator: np.random.Generator
    ) -> tuple[Decision | None, IdsState]:
        """Learn, choose an option, and ask for the probe that is due."""
        learned = self._measured(observation, self._learned(observation, state))
        probe, learned = self._due(observation, learned)
        safe, unkept = self._safe(observation, learned)
        (rung, look), learned = self._chosen(learned, safe, generator)
        if learned.probing == NOTHING and look != NOTHING:
            learned = replace(learned, look=look)
        after = replace(learned, rung=rung)
        if rung == state.rung and probe is None:
            return None, after
        reason = f"{self._ladder.names[rung]} of {len(safe)} safe" + "".join(f", {limit} at risk" for limit in unkept)
        return Decision(widths=self._ladder.assignments[rung], reason=reason, probe=probe), after

    def _possible(self) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]:
        """Return each option's rung, what is looked at, and the price of the probe."""
        below = range(1, len(self._ladder))
        options = [(rung, NOTHING, 0.0) for rung in range(len(self._ladder))]
        options += [(rung, rung, self._prices[0]) for rung in below]
        options += [(0, rung, self._prices[rung]) for rung in below]
        rungs, looks, prices = zip(*options, strict=True)
        return np.array(rungs), np.array(looks), np.array(prices)

    def _learned(self, observation: Observation, state: IdsState) -> IdsState:
        finished = observation.finished
        evidence, probing = self._model.forget(state.evidence, len(finished)), state.probing
        inputs = finished[-1].inputs if finished else state.inputs
        kept = state.kept * self._options.memory ** len(finished)
        is_news = bool(observation.probes) or inputs != state.inputs or kept < RENEWED_AT
        for told in observation.probes:
            own = self._ladder.rung(told.widths)
            rung, probing = own or probing, NOTHING
            if rung > 0:
                evidence = self._model.learn_counts(
                    evidence, rung - 1, successes=told.agreeing, trials=told.inputs
                )  # fmt: skip
        return replace(
            state,
            evidence=evidence,
            probing=probing,
            heat=self._heat.after(
                state.heat, picoseconds=observation.time_picoseconds, celsius=observation.die_celsius,
                joules=sum(frame.energy_joules for frame in finished),
            ),
            charge=self._drained(observation, state.charge),
            rate=state.rate.after(observation, time_constant_seconds=RATE_SECONDS),
            inputs=inputs,
            agreement=None if is_news else state.agreement,
            policies={} if is_news else state.policies,
            kept=1.0 if is_news else kept,
        )  # fmt: skip

    def _drained(self, observation: Observation, charge: ChargeState) -> ChargeState:
        """Follow the battery with the power that was drawn: as the sensor read it, or as the profile and frames say."""
        battery, now = self._device.battery, observation.time_picoseconds
        if self._charge is None or battery is None or now <= charge.picoseconds:
            return charge
        joules = sum(frame.energy_joules for frame in observation.finished)
        watts = battery.resting_watts + joules / ((now - charge.picoseconds) / PICOSECONDS_PER_SECOND)
        drawn = watts if observation.power_watts is None else observation.power_watts
        return self._charge.after(charge, picoseconds=now, watts=drawn)

    def _measured(self, observation: Observation, state: IdsState) -> IdsState:
        """Learn what frames took: those at a rung from end to end, and at one clock as far as can be seen."""
        ladder, ratios = self._ladder, state.ratios
        clock = ladder.clock(min(observation.frequency_hertz, observation.throttle_cap_hertz))
        for frame in observation.finished:
            rung = ladder.same_rung(frame.widths)
            if rung is None or clock != state.clock:
                continue
            taken = frame.service_picoseconds / PICOSECONDS_PER_SECOND
            seen = taken / float(ladder.seconds[rung, clock]), frame.energy_joules / float(self._joules[rung, clock])
            ratios = with_frame(ratios, rung, seen)
        return replace(state, ratios=ratios, clock=clock)

    def _due(self, observation: Observation, state: IdsState) -> tuple[Probe | None, IdsState]:
        """Return the probe that was wished for, if the frame that finished last can tell what it is for."""
        if state.look == NOTHING or state.probing != NOTHING or not observation.finished:
            return None, state
        ran = self._ladder.rung(observation.finished[-1].widths)
        if ran not in (0, state.look):
            return None, state
        other = self._ladder.assignments[state.look if ran == 0 else 0]
        return Probe(widths=other), replace(state, probing=state.look, look=NOTHING)

    def _safe(self, observation: Observation, state: IdsState) -> tuple[NDArray[np.intp], tuple[str, ...]]:
        """Return the rungs that may be taken, and the limits that none of them keeps."""
        ladder, options, limits = self._ladder, self._options, []
        told, (slower, dearer) = ladder.seconds[:, state.clock], state.ratios.means
        seconds = told * slower
        watts = np.minimum(state.rate.per_second or 0.0, 1.0 / seconds) * self._joules[:, state.clock] * dearer
        if self._device.trip_celsius:
            forecast = self._heat.forecast(state.heat, watts)
            highest = self._device.trip_celsius[0] - options.below_trip_kelvin
            limits.append(Limit(name="temperature", forecast=forecast, limit=highest, risk=options.risk))
        limits += self._battery_limit(observation, state, watts)
        own = observation.frame_deadline_picoseconds
        deadlines = np.array([*(() if own is None else (own,)), *observation.queued_deadlines_picoseconds], np.float64)
        if len(deadlines):
            left = (deadlines - observation.time_picoseconds) / PICOSECONDS_PER_SECOND
            each = float((left / np.arange(1, len(left) + 1)).min())
            forecast = Forecast.gaussian(seconds, told * state.ratios.deviations)
            limits.append(Limit(name="deadline", forecast=forecast, limit=each, risk=options.risk))
        verdict = shield(limits, len(ladder))
        return verdict.allowed, verdict.unkept

    def _battery_limit(self, observation: Observation, state: IdsState, watts: FloatArray) -> list[Limit]:
        """Return that the available well is not to reach the cut-off before the battery is charged again."""
        until, battery, charge = self._options.charged_at_seconds, self._device.battery, observation.state_of_charge
        if self._charge is None or until is None or battery is None or charge is None:
            return []
        left = until - observation.time_picoseconds / PICOSECONDS_PER_SECOND
        if left <= 0.0:
            return []
        forecast = self._charge.forecast(state.charge, seconds=left, watts=battery.resting_watts + watts)
        return [Limit(name="battery", forecast=forecast, limit=charge - battery.cut_off, risk=self._options.risk)]

    def _chosen(
        self, state: IdsState, safe: NDArray[np.intp], generator: np.random.Generator
    ) -> tuple[tuple[int, int], IdsState]:
        """Return a rung and what to look at; a policy is solved for where beliefs or the safe rungs have changed."""
        if len(safe) == 1:
            return (int(safe[0]), NOTHING), state
        key = tuple(safe.tolist())
        policy = state.policies.get(key)
        if policy is None:
            drawn = self._drawn(state, generator) if state.agreement is None else state.agreement
            policy = self._policy(drawn, safe, state.inputs)
            state = replace(state, agreement=drawn, policies={**state.policies, key: policy})
        option = policy.options[int(policy.chosen.draw(generator))]
        return (int(self._rungs[option]), int(self._looks[option])), state

    def _drawn(self, state: IdsState, generator: np.random.Generator) -> FloatArray:
        agreement = np.ones((self._options.draws, len(self._ladder)))
        agreement[:, 1:] = self._model.draw(state.evidence, self._options.draws, generator)
        return agreement

    def _policy(self, agreement: FloatArray, safe: NDArray[np.intp], inputs: int) -> Policy:
        """Return the options of least information ratio among those whose rungs are safe."""
        accuracies = self._ladder.accuracies[0] * agreement
        values = accuracies[:, safe] - self._prices[safe]
        targets = satisficing_actions(values, preference=self._prices[safe], tolerance=self._options.tolerance)
        shortfalls, variances = np.full(len(self._ladder), np.inf), np.zeros(len(self._ladder))
        shortfalls[safe], variances[safe] = expected_shortfalls(values, targets), explained_variances(values, targets)
        means = agreement.mean(axis=0)
        noises = self._ladder.accuracies[0] ** 2 * means * (1.0 - means) / inputs
        gains = np.where(self._looks == NOTHING, 0.0, noisy_gains(variances, noises)[self._looks])
        possible = np.flatnonzero(np.isfinite(shortfalls[self._rungs]))
        costs = (shortfalls[self._rungs] + self._look_prices)[possible]
        return Policy(options=possible, chosen=minimise_ratio(costs, gains[possible]))
