"""Normalization of observations and rewards by running statistics.

The statistics are part of the agent, saved with it, and frozen in evaluation. All Box observations
are normalized; of Dict and Tuple observations, the leaves of numbers that are not bytes: images,
choices and bits stay unchanged.

Buffers store raw numbers. Batches are normalized when an update reads them, observations when the
policy does, all with the current statistics.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from footlight.algorithms.protocol import Discounting
from footlight.algorithms.settings import Normalization
from footlight.errors import UserError
from footlight.trees import leaves_of, rebuilt, record_dtype
from footlight.types import Array, FloatArray, Role, Spaces, Transition, roles

CUT_OFF = 10.0
_EPSILON = 1e-8
LARGE = 1e3
"""From here on, the scale of observations or rewards is the likely cause of a divergence."""


class RunningMoments:
    """Running count, mean and sum of squared deviations, in float64.

    Welford 1962; batches of values as in Chan et al. 1983.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = np.zeros(1)
        self.mean = np.zeros(shape)
        self.squares = np.zeros(shape)

    def add(self, values: Array) -> None:
        """Update with values [n, *shape]."""
        number = len(values)
        if number == 0:
            return
        if number == 1:  # the same result, faster: a single environment adds one value at a time
            mean, squares = values[0].astype(np.float64), 0.0
        else:
            mean = values.mean(0, dtype=np.float64)
            squares = ((values - mean) ** 2).sum(0)
        before, difference = float(self.count[0]), mean - self.mean
        total = before + number
        self.squares += squares + difference**2 * (before * number / total)
        self.mean += difference * (number / total)
        self.count[:] = total

    @property
    def variance(self) -> Array:
        """Population variance; 1 before there are two values."""
        return self.squares / self.count if self.count[0] > 1 else np.ones_like(self.squares)


class Bounds(NamedTuple):
    """Bounds of normalized rewards; None: none."""

    reward: float | None = None
    """Rewards are clipped to plus and minus this."""
    discounted_return: float | None = None
    """Rewards are divided by more, so that no return exceeds this (Lee et al. 2025, SimbaV2,
    arXiv:2502.15280)."""


class Normalizer:
    """Normalizer of the observations and rewards of one agent's environments."""

    def __init__(
        self,
        spaces: Spaces,
        num_envs: int,
        gamma: float,
        observations: bool,
        rewards: bool,
        bounds: Bounds | None = None,
        sums_rewards: bool = False,
        restarts_at_end: bool = False,
    ) -> None:
        """Initialize empty statistics.

        observations, rewards: what is normalized. sums_rewards: whether the buffer adds rewards up
        before they are normalized. Then each one is clipped before it is stored, otherwise when an
        update reads it. restarts_at_end: whether the discounted return restarts at the last step of
        each episode, as in Elsayed et al. 2024, instead of after a termination.
        """
        self.gamma, self.observations, self.rewards = gamma, observations, rewards
        self.reward_bound, self.return_bound = bounds or Bounds()
        self.sums_rewards, self.restarts_at_end = sums_rewards, restarts_at_end
        self.largest_return = np.zeros(1)
        leaves = spaces.observation
        normalized = {
            name: leaf
            for name, leaf in leaves.items()
            if leaf.is_quantity or (name == "" and not leaf.choices)
        }
        shapes = {name: leaf.shape for name, leaf in normalized.items()}
        as_floats = {name: replace(leaf, dtype="float32") for name, leaf in normalized.items()}
        self._records = record_dtype({**leaves, **as_floats}) if spaces.has_leaves else None
        self.moments = {name: RunningMoments(shape) for name, shape in shapes.items()}
        self.return_moments = RunningMoments(())
        self.discounted_return = np.zeros(num_envs)  # up to now
        # By leaf, the mean to subtract and the factor to multiply by, as updates and policies use
        # them
        self.means = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        self.scales = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
        self.reward_scale: FloatArray = np.ones(1, np.float32)

    @property
    def mean(self) -> FloatArray:
        """The mean that is subtracted from Box observations."""
        return self.means[""]

    @property
    def scale(self) -> FloatArray:
        """The factor by which Box observations are then multiplied."""
        return self.scales[""]

    def learn(self, transition: Transition) -> Transition:
        """Update the statistics with one step of each environment; return the step to store.

        It is the same step, unless its reward is clipped.
        """
        valid = slice(None) if transition.valid is None else transition.valid
        if self.observations:
            for name, moments in self.moments.items():
                leaf = transition.observation[name] if name else transition.observation
                moments.add(leaf[valid])
                self.means[name][...] = moments.mean
                self.scales[name][...] = 1 / np.sqrt(moments.variance + _EPSILON)
        if self.rewards:
            if self.restarts_at_end:
                self.discounted_return[transition.terminated | transition.truncated] = 0
            self.discounted_return[valid] = (
                self.gamma * self.discounted_return[valid] + transition.reward[valid]
            )
            self.return_moments.add(self.discounted_return[valid])
            if self.return_bound is not None:
                sizes = np.abs(self.discounted_return[valid])
                self.largest_return[:] = sizes.max(initial=self.largest_return[0])
            # Not where it is truncated: values look beyond a time limit, and so must their scale
            if not self.restarts_at_end:
                self.discounted_return[transition.terminated] = 0
            moments = self.return_moments
            # Constant returns have no deviation to divide by, so their rewards stay unchanged
            varies = moments.squares > 0
            self.reward_scale[:] = 1 / np.sqrt(moments.variance + _EPSILON) if varies else 1.0
            if self.return_bound is not None and varies:
                limit = self.return_bound / self.largest_return
                self.reward_scale[:] = np.minimum(self.reward_scale, limit)
            if self.reward_bound is not None and self.sums_rewards:
                bound = self.reward_bound / self.reward_scale
                return transition._replace(reward=transition.reward.clip(-bound, bound))
        return transition

    def observation(self, observation: Array) -> Array:
        """Normalize observations [E, ...] for the policy."""
        if not self.observations or not self.moments:
            return observation
        if self._records is None:
            return self._normalized("", observation)
        normalized = np.empty(observation.shape, self._records)
        for name, leaf in leaves_of(observation).items():
            normalized[name] = self._normalized(name, leaf) if name in self.moments else leaf
        return normalized

    def _normalized(self, name: str, leaf: Array) -> Array:
        scaled = (leaf.astype(np.float32, copy=False) - self.means[name]) * self.scales[name]
        return np.minimum(np.maximum(scaled, -CUT_OFF), CUT_OFF)

    def batch(self, batch: Any, tensors: tuple[Tensor, ...]) -> Any:
        """Normalize a batch of tensors for an update; `tensors` are those of `tensors()`."""
        *statistics, reward_scale = tensors
        count = len(self.moments)
        pairs = zip(statistics[:count], statistics[count:], strict=True)
        of_leaf = dict(zip(self.moments, pairs, strict=True))
        bound = None if self.sums_rewards else self.reward_bound
        changes = {}
        for name, role in roles(batch).items():
            value = getattr(batch, name)
            if self.observations and role is Role.OBSERVATION:
                leaves = leaves_of(value)
                for leaf, (mean, scale) in of_leaf.items():
                    leaves[leaf] = ((leaves[leaf] - mean) * scale).clamp(-CUT_OFF, CUT_OFF)
                changes[name] = rebuilt(leaves)
            if self.rewards and role is Role.REWARD:
                scaled = value * reward_scale
                changes[name] = scaled if bound is None else scaled.clamp(-bound, bound)
        return batch._replace(**changes)

    def tensors(self) -> list[Tensor]:
        """Means, scales and reward scale as tensors that share memory with the arrays."""
        arrays = (*self.means.values(), *self.scales.values(), self.reward_scale)
        return [torch.from_numpy(array) for array in arrays]

    def policy_arrays(self) -> dict[str, Array]:
        """The statistics that a policy needs, by name."""
        return self._by_leaf("normalizer.") if self.observations else {}

    def _by_leaf(self, prefix: str = "") -> dict[str, Array]:
        parts = {"mean": self.means, "scale": self.scales}
        return {
            f"{prefix}{part}.{name}".removesuffix("."): array
            for part, arrays in parts.items()
            for name, array in arrays.items()
        }

    def arrays(self) -> dict[str, Array]:
        """All statistics for a checkpoint, by name, as views that are updated in place."""
        found: dict[str, Array] = {**self._by_leaf(), "reward_scale": self.reward_scale}
        of_observations = {
            f"observation.{name}".removesuffix("."): moments
            for name, moments in self.moments.items()
        }
        for name, moments in {**of_observations, "return": self.return_moments}.items():
            found |= {f"{name}.{part}": value for part, value in vars(moments).items()}
        found["discounted_return"] = self.discounted_return
        if self.return_bound is not None:
            found["largest_return"] = self.largest_return
        return {f"normalizer.{name}": value for name, value in found.items()}


def make_normalizer(
    config: object, spaces: Spaces, num_envs: int, sums_rewards: bool = False
) -> Normalizer | None:
    """Create the normalizer that a config asks for; None if it asks for none.

    `sums_rewards`: see `Normalizer`. Raises `UserError` for a config without a discount, which
    rewards are normalized with.
    """
    if not isinstance(config, Normalization):
        return None
    if not (config.normalize_observations or config.normalize_rewards):
        return None
    if not isinstance(config, Discounting):
        raise UserError("normalization needs a discount - the config has no field gamma - add one")
    return Normalizer(
        spaces, num_envs, config.gamma, config.normalize_observations, config.normalize_rewards,
        Bounds(config.clip_normalized_reward, config.max_normalized_return), sums_rewards,
        config.return_restarts_at_end,
    )  # fmt: skip


def divergence_cause(batch: Any, normalizer: Normalizer | None) -> str:
    """Describe the likely cause of a divergence on this batch, and the remedy.

    Judged by the scale of observations and rewards.
    """
    findings = []
    candidates = (
        ("observations", Role.OBSERVATION, normalizer is not None and normalizer.observations),
        ("rewards", Role.REWARD, normalizer is not None and normalizer.rewards),
    )
    for what, wanted, is_normalized in candidates:
        names = [name for name, role in roles(batch).items() if role is wanted]
        fields = (leaves_of(getattr(batch, name)).values() for name in names)
        parts = [array for leaves in fields for array in leaves if array.size]
        largest = max((float(np.abs(part.astype(np.float64)).max()) for part in parts), default=0.0)
        if largest >= LARGE and not is_normalized:
            findings.append((f"{what} as large as {largest:.3g}", f"use normalize_{what} true"))
    if not findings:
        return (
            "the agent has diverged - lower the learning rate, or look at the scale of the rewards"
        )
    causes, remedies = zip(*findings, strict=True)
    return (
        f"the agent has diverged on {' and '.join(causes)} - {' and '.join(remedies)}, "
        "or rescale them in the environment"
    )
