"""Let PPO learn when to spend bits, in the hottest minute of ``thermal_throttle``, and hold it against fixed bits.

Usage:
    python docs/examples/gym_ppo.py [STEPS]    # 40960 steps of half a second by default; minutes on one core

PPO: J. Schulman et al., "Proximal Policy Optimization Algorithms", 2017 (arXiv:1707.06347), as stable-baselines3 has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import NormalizeReward
from stable_baselines3 import PPO

from hwsim.gym import ENVIRONMENT

SETS = ("duration=60 s", "environment.ambient={kind: constant, temperature: 55 degC}")
STEPS = 40960
SEED = 1
HELD_OUT_SEEDS = range(1001, 1011)
"""Runs that are only judged on; while it learns, seeds are drawn out of 2^31."""
DISCOUNT = 0.95
"""As ``q_learning`` has it: half of what is in view lies within seven seconds."""

Policy = Callable[[Any], int]


def make() -> gymnasium.Env[Any, Any]:
    """Return the environment."""
    return gymnasium.make(ENVIRONMENT, scenario="thermal_throttle", sets=SETS)


def judged(policy: Policy) -> tuple[float, float, float]:
    """Return what a policy earns in runs that nobody learned from: mean, its standard error, late share of frames."""
    environment, rewards, frames = make(), [], []
    for seed in HELD_OUT_SEEDS:
        seen, _ = environment.reset(seed=seed)
        earned, over = 0.0, False
        while not over:
            seen, reward, _, over, info = environment.step(policy(seen))
            earned += float(reward)
            frames += info["finished"]
        rewards.append(earned)
    environment.close()
    late = float(np.mean([not frame.on_time for frame in frames]))
    return float(np.mean(rewards)), float(np.std(rewards, ddof=1) / np.sqrt(len(rewards))), late


def tell(name: str, policy: Policy) -> None:
    mean, error, late = judged(policy)
    print(f"{name:<16} {mean:8.1f} +- {error:4.1f}   {late:6.1%} of the finished frames late", flush=True)


def main(steps: int = STEPS) -> None:
    """Judge fixed bits, chance, and PPO before and after it has learned."""
    environment = make()
    ladder = environment.unwrapped.ladder
    for rung, name in enumerate(ladder.names):
        tell(f"fixed {name}", lambda _, rung=rung: rung)
    random = np.random.default_rng(SEED)
    tell("chance", lambda _: int(random.integers(len(ladder))))
    agent = PPO(
        "MlpPolicy", NormalizeReward(environment, gamma=DISCOUNT), gamma=DISCOUNT, n_steps=1024, seed=SEED, device="cpu"
    )

    def choose(seen: Any) -> int:
        return int(agent.predict(seen, deterministic=True)[0])

    tell("PPO, untrained", choose)
    agent.learn(steps)
    tell(f"PPO, {steps}", choose)
    environment.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
