"""Probe environments whose observations are a Dict: the worlds of `probes.py` with the same values.

The number x in [-1, 1] that they observe is spread over three leaves of a nested Dict, none of
which tells it alone:

| leaf | space | content |
| --- | --- | --- |
| `sign` | Discrete(2) | 1 where x >= 0, else 0 |
| `size.value` | Box(0, 1, (1,)) | abs(x) |
| `size.bits` | MultiBinary(2) | whether abs(x) is at least 1/3, and at least 2/3 |
"""

from typing import Any

import gymnasium
import numpy as np

from footlight.environments import probes
from footlight.types import FloatArray

Observed = dict[str, Any]

SPACE = gymnasium.spaces.Dict(
    {
        "sign": gymnasium.spaces.Discrete(2),
        "size": gymnasium.spaces.Dict(
            {
                "value": gymnasium.spaces.Box(0, 1, (1,), np.float32),
                "bits": gymnasium.spaces.MultiBinary(2),
            }
        ),
    }
)


def as_dict(observation: FloatArray) -> Observed:
    """The Dict observation of x, an array of one number."""
    size = np.abs(observation)
    bits = np.array([size[0] >= 1 / 3, size[0] >= 2 / 3], np.int8)
    return {"sign": np.int64(observation[0] >= 0), "size": {"value": size, "bits": bits}}


class InDict(gymnasium.ObservationWrapper[Observed, Any, FloatArray]):
    """A probe environment of one observed number, with that number in a Dict."""

    def __init__(self, env: gymnasium.Env[FloatArray, Any]) -> None:
        super().__init__(env)
        self.observation_space = SPACE

    def observation(self, observation: FloatArray) -> Observed:
        return as_dict(observation)


def constant_reward(discrete: bool = False) -> InDict:
    """`ConstantReward`: value 1."""
    return InDict(probes.ConstantReward(discrete))


def observed_reward(discrete: bool = False) -> InDict:
    """`ObservedReward`: the value is the observation, -1 or 1, which only `sign` tells apart."""
    return InDict(probes.ObservedReward(discrete))


def delayed_reward(discrete: bool = False) -> InDict:
    """`DelayedReward`: values 0.9, then 1, which only `size` tells apart."""
    return InDict(probes.DelayedReward(discrete))


def best_action(discrete: bool = False) -> InDict:
    """`BestAction`: value 0, at action 0.5."""
    return InDict(probes.BestAction(discrete))


def follow_observation(discrete: bool = False) -> InDict:
    """`FollowObservation`: value 0, at action 0.6 x, which needs `sign` and `size` together."""
    return InDict(probes.FollowObservation(discrete))
