"""Rules that learn what each rung is worth in a situation: a linear model per rung, and a way to explore.

Each rung of the ladder has a ridge regression of a frame's worth on the situation in which the rung was chosen,
forgetting old frames. How a rule explores is all that sets it apart: ``linucb`` (L. Li, W. Chu, J. Langford and R.
Schapire, "A contextual-bandit approach to personalized news article recommendation", WWW 2010), ``thompson`` (S.
Agrawal and N. Goyal, "Thompson sampling for contextual bandits with linear payoffs", ICML 2013), ``epsilon_greedy``.

Nobody tells a device which answers are right. What a rung is worth is learned from whether frames are on time, their
energy and the die's reading; their accuracy is the one measured after training, until probes correct it
(``linucb_probe``): a probe is asked for where the model of the rung in use is uncertain, and then tells how far the
frame's answers agree with those at the most bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import FloatArray, RewardOptions, build_ladder, frame_worth, situation
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Probe, ProbeResult, Wake

FEATURES = 4


class BanditOptions(RewardOptions):
    """Options of every such rule.

    Attributes:
        memory: Share of what was learned that is kept from frame to frame; 1 / (1 - memory) frames count.
        ridge: Weight of the prior, that a frame is worth its rung's accuracy less its energy, in frames.
    """

    memory: float = Field(default=0.999, gt=0.0, le=1.0)
    ridge: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)


class LinUcbOptions(BanditOptions):
    """Options of ``linucb``.

    Attributes:
        optimism: How many standard errors above its mean a rung is reckoned to be worth.
    """

    optimism: float = Field(default=0.1, ge=0.0, allow_inf_nan=False)


class LinUcbProbeOptions(LinUcbOptions):
    """Options of ``linucb_probe``.

    Attributes:
        probe_width: A probe is asked for while the standard error of the agreement of the rung in use is above it.
        agreement_memory: Share of what probes told that is kept from frame to frame.
    """

    probe_width: float = Field(default=0.02, gt=0.0, lt=1.0)
    agreement_memory: float = Field(default=0.998, gt=0.0, le=1.0)


class ThompsonOptions(BanditOptions):
    """Options of ``thompson``.

    Attributes:
        spread: Standard deviation of a frame's worth around the model, by which the posterior is scaled.
    """

    spread: float = Field(default=0.1, ge=0.0, allow_inf_nan=False)


class EpsilonGreedyOptions(BanditOptions):
    """Options of ``epsilon_greedy``.

    Attributes:
        epsilon: Probability of a rung drawn at random.
    """

    epsilon: float = Field(default=0.05, ge=0.0, le=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class BanditState:
    """What was learned.

    Attributes:
        precisions: [K, F, F] of each rung's coefficients, without the ridge.
        sums: [K, F] worth less the prior's, times the situation.
        rung: In use.
        pending: Frames that were begun: number -> (rung, situation).
        agreeing: [K] answers of probed frames that agreed, forgotten like the rest.
        probed: [K] answers that were compared.
    """

    precisions: FloatArray
    sums: FloatArray
    rung: int
    pending: dict[int, tuple[int, FloatArray]]
    agreeing: FloatArray
    probed: FloatArray


class Bandit(ABC):
    """Chooses a rung before each frame."""

    wakes_on: frozenset[Wake] = frozenset({"frame"})
    tick_picoseconds = 0
    needs_outputs = False
    probes = False

    def __init__(self, options: BanditOptions) -> None:
        self._options = options

    @abstractmethod
    def _choose(self, means: FloatArray, errors: FloatArray, generator: np.random.Generator) -> int:
        """Return a rung, given [K] expected worths and their standard errors in units of a frame's spread."""

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, BanditState]:
        """Start with the most bits and nothing learned."""
        self._device, self._ladder = device, build_ladder(self._options, device, network)
        self._prior = -self._options.energy_weight * self._ladder.joules / self._ladder.joules[0]
        rungs = len(self._ladder)
        state = BanditState(
            np.zeros((rungs, FEATURES, FEATURES)), np.zeros((rungs, FEATURES)), 0, {}, np.zeros(rungs), np.zeros(rungs)
        )
        return Decision(widths=self._ladder.assignments[0], reason=f"start at {self._ladder.names[0]}"), state

    def decide(
        self, observation: Observation, state: BanditState, generator: np.random.Generator
    ) -> tuple[Decision | None, BanditState]:
        """Learn from what finished, and choose for the frame that begins."""
        learned = self._learned(observation, state)
        seen = situation(observation, self._device)
        accuracies, _ = self._accuracies(learned)
        regularised = learned.precisions + self._options.ridge * np.eye(FEATURES)
        deviations = np.linalg.solve(regularised, learned.sums[..., None])[..., 0] @ seen
        errors = np.sqrt(
            np.linalg.solve(regularised, np.broadcast_to(seen, learned.sums.shape)[..., None])[..., 0] @ seen
        )
        rung = self._choose(accuracies + self._prior + deviations, errors, generator)
        pending = dict(learned.pending)
        if observation.frame is not None:
            pending[observation.frame] = (rung, seen)
        after = BanditState(learned.precisions, learned.sums, rung, pending, learned.agreeing, learned.probed)
        probe = self._probe(after)
        if rung == state.rung and probe is None:
            return None, after
        name = self._ladder.names[rung]
        reason = f"{name} is worth {accuracies[rung] + self._prior[rung] + deviations[rung]:.3f}"
        return Decision(widths=self._ladder.assignments[rung], reason=reason, probe=probe), after

    def _accuracies(self, state: BanditState) -> tuple[FloatArray, FloatArray]:
        """Return [K] what is believed of each rung's accuracy, and its standard error."""
        return self._ladder.accuracies, np.zeros(len(self._ladder))

    def _probe(self, state: BanditState) -> Probe | None:
        return None

    def _learned(self, observation: Observation, state: BanditState) -> BanditState:
        precisions, sums, pending = state.precisions, state.sums, dict(state.pending)
        agreeing, probed = self._agreed(observation.probes, state, len(observation.finished))
        known = BanditState(precisions, sums, state.rung, pending, agreeing, probed)
        accuracies, _ = self._accuracies(known)
        for frame in observation.finished:
            _, seen = pending.pop(frame.frame, (state.rung, None))
            rung = self._ladder.rung(frame.widths)
            if seen is None:
                continue
            precisions, sums = self._options.memory * precisions, self._options.memory * sums
            worth = frame_worth(
                self._options, self._ladder, self._device, frame,
                accuracy=float(accuracies[rung]), celsius=observation.die_celsius,
            )  # fmt: skip
            precisions[rung] += np.multiply.outer(seen, seen)
            sums[rung] += (worth - accuracies[rung] - self._prior[rung]) * seen
        # Frames that were dropped or aborted are never told of.
        oldest = max(pending, default=0) - 64
        pending = {number: entry for number, entry in pending.items() if number >= oldest}
        return BanditState(precisions, sums, state.rung, pending, agreeing, probed)

    def _agreed(
        self, probes: tuple[ProbeResult, ...], state: BanditState, frames: int
    ) -> tuple[FloatArray, FloatArray]:
        return state.agreeing, state.probed


class LinUcb(Bandit):
    """Takes the rung that is worth most if luck is on its side."""

    def __init__(self, options: LinUcbOptions) -> None:
        super().__init__(options)
        self._optimism = options.optimism

    def _choose(self, means: FloatArray, errors: FloatArray, generator: np.random.Generator) -> int:
        return int((means + self._optimism * errors).argmax())


class LinUcbProbe(LinUcb):
    """The same, with probes where it is unsure how far answers can be trusted.

    A rung's accuracy is that of the most bits times its agreement with them: the answers that do not agree count as
    wrong. That is a lower bound, and labels would tell more.
    """

    probes = True

    def __init__(self, options: LinUcbProbeOptions) -> None:
        super().__init__(options)
        self._width, self._memory = options.probe_width, options.agreement_memory

    def _accuracies(self, state: BanditState) -> tuple[FloatArray, FloatArray]:
        prior = self._ladder.accuracies / self._ladder.accuracies[0]
        counted = state.probed + PRIOR_ANSWERS
        shares = (state.agreeing + PRIOR_ANSWERS * np.minimum(prior, 1.0)) / counted
        shares[0] = 1.0
        errors = np.sqrt(shares * (1.0 - shares) / counted + 1.0 / (12.0 * counted**2))
        errors[0] = 0.0
        return self._ladder.accuracies[0] * shares, errors

    def _probe(self, state: BanditState) -> Probe | None:
        _, errors = self._accuracies(state)
        return Probe(widths=self._ladder.assignments[0]) if errors[state.rung] > self._width else None

    def _agreed(
        self, probes: tuple[ProbeResult, ...], state: BanditState, frames: int
    ) -> tuple[FloatArray, FloatArray]:
        kept = self._memory**frames
        agreeing, probed = kept * state.agreeing, kept * state.probed
        for told in probes:
            rung = self._ladder.rung(told.widths)
            agreeing[rung] += told.agreeing
            probed[rung] += told.inputs
        return agreeing, probed


PRIOR_ANSWERS = 4.0
"""What was measured after training counts as so many answers."""


class Thompson(Bandit):
    """Takes each rung as often as it is believed to be the best."""

    def __init__(self, options: ThompsonOptions) -> None:
        super().__init__(options)
        self._spread = options.spread

    def _choose(self, means: FloatArray, errors: FloatArray, generator: np.random.Generator) -> int:
        return int((means + self._spread * errors * generator.standard_normal(len(means))).argmax())


class EpsilonGreedy(Bandit):
    """Takes the best rung, and now and then any."""

    def __init__(self, options: EpsilonGreedyOptions) -> None:
        super().__init__(options)
        self._epsilon = options.epsilon

    def _choose(self, means: FloatArray, errors: FloatArray, generator: np.random.Generator) -> int:
        if generator.random() < self._epsilon:
            return int(generator.integers(len(means)))
        return int(means.argmax())
