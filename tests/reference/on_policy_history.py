"""What the environments gave, by time and environment, and what is computed from it by loops."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from recorder import Step
from torch import Tensor


class Transition(NamedTuple):
    """One step of one environment, as the environment reported it; the action as it was drawn."""

    observation: np.ndarray
    action: np.ndarray
    reward: float
    next_observation: np.ndarray
    terminated: bool
    truncated: bool


History = list[list[Transition | None]]
"""Transitions by time and environment; None where an environment only reset itself."""


def history_of(steps: Sequence[Step]) -> History:
    """The recorder's steps, one by one."""
    return [
        [
            Transition(
                step.observation[env],
                step.action[env],
                float(step.reward[env]),
                step.next_observation[env],
                bool(step.terminated[env]),
                bool(step.truncated[env]),
            )
            if step.valid[env]
            else None
            for env in range(len(step.valid))
        ]
        for step in steps
    ]


def transition_at(history: History, place: tuple[int, int]) -> Transition:
    """The transition of this time and environment."""
    transition = history[place[0]][place[1]]
    assert transition is not None
    return transition


def stretches(history: History) -> Iterator[list[tuple[int, int]]]:
    """The (time, environment) pairs of each stretch of one episode."""
    for env in range(len(history[0])):
        stretch: list[tuple[int, int]] = []
        for time, steps in enumerate(history):
            step = steps[env]
            if step is not None:
                stretch.append((time, env))
            if stretch and (step is None or step.terminated or step.truncated):
                yield stretch
                stretch = []
        if stretch:
            yield stretch


def lambda_returns(
    rewards: list[float], next_values: list[float], gamma: float, decay: float
) -> list[float]:  # fmt: skip
    """Return the lambda-return of each step of a stretch, as the mixture that defines it.

    G_t = (1 - lambda) sum_{n < N} lambda^(n-1) G_{t:t+n} + lambda^(N-1) G_{t:t+N}, of the n-step
    returns G_{t:t+n} = R_{t+1} + ... + gamma^(n-1) R_{t+n} + gamma^n V(S_{t+n}) (Sutton & Barto
    2018, eqs. 7.1 and 12.9). Generalized advantages are G_t - V(S_t) (Schulman et al. 2016).
    next_values: V(S_{t+1}), 0 where the episode terminated.
    """
    returns = []
    for start in range(len(rewards)):
        n_step_returns, rewards_so_far = [], 0.0
        for n in range(len(rewards) - start):
            rewards_so_far += gamma**n * rewards[start + n]
            n_step_returns.append(rewards_so_far + gamma ** (n + 1) * next_values[start + n])
        *shorter, longest = n_step_returns
        mixture = sum((1 - decay) * decay**n * value for n, value in enumerate(shorter))
        returns.append(mixture + decay ** len(shorter) * longest)
    return returns


class Scales:
    """Normalization of observations and rewards by all steps so far, computed from scratch."""

    def __init__(self, config: Any, history: History) -> None:
        self.config = config
        self.mean: Any = 0.0
        self.std: Any = 1.0
        self.reward_std = 1.0
        steps = [step for steps in history for step in steps if step is not None]
        if config.normalize_observations:
            observations = np.array([step.observation for step in steps], np.float64)
            self.mean = observations.mean(0)
            variance = observations.var(0) if len(steps) > 1 else 1.0
            self.std = np.sqrt(variance + 1e-8)
        if config.normalize_rewards and np.ptp(returns := self.discounted_returns(history)) > 0:
            self.reward_std = float(np.sqrt(np.var(returns) + 1e-8))

    def discounted_returns(self, history: History) -> list[float]:
        """R = gamma R + r of each environment, at all times.

        R starts again from 0 after a termination. In stream-ac it does so before the last step of
        each episode, as in the paper, R = gamma (1 - ended) R + r; its reward counts in the next
        episode.
        """
        early = getattr(self.config, "return_restarts_at_end", False)
        returns, running = [], [0.0] * len(history[0])
        for steps in history:
            for env, step in enumerate(steps):
                if step is None:
                    continue
                ended = step.terminated or step.truncated
                before = 0.0 if ended and early else running[env]
                reward = self.clipped(step.reward, self.config.clip_reward)
                now = self.config.gamma * before + reward
                returns.append(now)
                running[env] = 0.0 if step.terminated and not early else now
        return returns

    def observation(self, observation: Any) -> Tensor:
        """Observations [n, ...] as the network sees them."""
        scaled = (np.asarray(observation, np.float64) - self.mean) / self.std
        bound = 10 if self.config.normalize_observations else math.inf
        return torch.from_numpy(scaled).clamp(-bound, bound).flatten(1)

    def reward(self, reward: float) -> float:
        """The reward as it is learned from."""
        reward = self.clipped(reward, self.config.clip_reward) / self.reward_std
        bound = self.config.clip_normalized_reward if self.config.normalize_rewards else None
        return self.clipped(reward, bound)

    @staticmethod
    def clipped(reward: float, bound: float | None) -> float:
        """The reward, within the bound."""
        return reward if bound is None else max(-bound, min(bound, reward))
