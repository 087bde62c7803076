"""From raw steps to what is learned from: n-step transitions and running statistics, by loops.

Everything is computed from scratch from all steps so far; nothing is updated incrementally.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from recorder import Step
from torch import Tensor

EPSILON = 1e-8  # added to a variance before its root is taken
OBSERVATION_BOUND = 10.0  # in standard deviations


class Row(NamedTuple):
    """An n-step transition; `discount` is what the value of the next observation counts with."""

    observation: np.ndarray
    action: np.ndarray
    reward: float
    next_observation: np.ndarray
    discount: float


def n_step_rows(
    steps: Sequence[Step], gamma: float, n: int, clip: float | None,
    bounds: Sequence[float] | None = None,
) -> list[Row]:  # fmt: skip
    """All transitions that are complete after these steps, in the order in which they became so.

    G = r_t + gamma r_{t+1} + ... + gamma^(m-1) r_{t+m-1} (Sutton & Barto 2018, eq. 7.1), where m is
    n, or the number of steps to the end of the episode if that is smaller. What follows counts with
    gamma^m times its value, and not at all after a termination.

    Each reward is clipped at `clip` and, where there are any, at the bound of its time. Sums are
    those of float32, in which the library stores them.
    """
    complete = []
    for env in range(len(steps[0].reward)):
        times = [time for time, step in enumerate(steps) if step.valid[env]]
        for start, first in enumerate(times):
            total = 0.0
            for count, time in enumerate(times[start : start + n], 1):
                step = steps[time]
                reward = clipped(float(step.reward[env]), clip)
                reward = reward if bounds is None else clipped(reward, bounds[time])
                total = float(np.float32(total + gamma ** (count - 1) * reward))
                terminated, truncated = step.terminated[env], step.truncated[env]
                if count == n or terminated or truncated:
                    row = Row(
                        observation=steps[first].observation[env],
                        action=steps[first].action[env],
                        reward=total,
                        next_observation=step.next_observation[env],
                        discount=0.0 if terminated else gamma**count,
                    )
                    complete.append(((time, env, first), row))
                    break
    return [row for _, row in sorted(complete, key=lambda item: item[0])]


def rows_of(batch: dict[str, Tensor], rows: Sequence[Row]) -> list[Row]:
    """The rows that a minibatch consists of, found by their observation, which occurs once."""
    by_observation = {row.observation.tobytes(): row for row in rows}
    assert len(by_observation) == len(rows)
    return [by_observation[drawn.float().numpy().tobytes()] for drawn in batch["observation"]]


def as_batch(rows: Sequence[Row]) -> dict[str, Tensor]:
    """Rows, one below the other, as float64 tensors by name."""
    columns = zip(Row._fields, zip(*rows, strict=True), strict=True)
    return {name: torch.tensor(np.array(column, np.float64)) for name, column in columns}


def normalized(config: Any, batch: dict[str, Tensor], steps: Sequence[Step]) -> dict[str, Tensor]:
    """The batch with the normalization that a config asks for, by the statistics of these steps."""
    found = dict(batch)
    if config.normalize_observations:
        mean, scale = observation_statistics(steps)
        for name in ("observation", "next_observation"):
            scaled = (batch[name] - mean) * scale
            found[name] = scaled.clamp(-OBSERVATION_BOUND, OBSERVATION_BOUND)
    if config.normalize_rewards:
        deviations = batch["reward"] * reward_scale(config, steps)
        bound = config.clip_normalized_reward
        is_clipped = bound is not None and config.n_steps == 1  # sums: see `reward_bounds`
        found["reward"] = deviations.clamp(-bound, bound) if is_clipped else deviations
    return found


def observation_statistics(steps: Sequence[Step]) -> tuple[Tensor, Tensor]:
    """Mean and inverse standard deviation of each component."""
    seen = np.concatenate([step.observation[step.valid] for step in steps]).astype(np.float64)
    variance = seen.var(0) if len(seen) > 1 else np.ones(seen.shape[1])
    return torch.from_numpy(seen.mean(0)), torch.from_numpy(1 / np.sqrt(variance + EPSILON))


def reward_bounds(config: Any, steps: Sequence[Step]) -> list[float] | None:
    """By time, where the rewards of n-step returns are clipped: before they are added up, by the
    statistics of that time; None: nowhere."""
    bound = config.clip_normalized_reward
    if not config.normalize_rewards or bound is None or config.n_steps == 1:
        return None
    return [bound / reward_scale(config, steps[: time + 1]) for time in range(len(steps))]


def reward_scale(config: Any, steps: Sequence[Step]) -> float:
    """Inverse standard deviation of the discounted returns R_t = gamma R_{t-1} + r_t so far, or
    less, where the largest of them would otherwise exceed a bound. They are those of a task without
    a time limit, and end at terminations alone."""
    returns = []
    for env in range(len(steps[0].reward)):
        so_far = 0.0
        for step in steps:
            if step.valid[env]:
                reward = clipped(float(step.reward[env]), config.clip_reward)
                so_far = config.gamma * so_far + reward
                returns.append(so_far)
            if step.terminated[env]:
                so_far = 0.0
    if len(set(returns)) < 2:
        return 1.0
    deviation = float(np.sqrt(np.var(returns) + EPSILON))
    if config.max_normalized_return is not None:
        deviation = max(deviation, max(map(abs, returns)) / config.max_normalized_return)
    return 1 / deviation


def clipped(reward: float, bound: float | None) -> float:
    """The reward between minus and plus the bound, if there is one."""
    return reward if bound is None else max(-bound, min(bound, reward))
