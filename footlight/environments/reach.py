"""How much of an environment's action range its wrappers leave."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from footlight.environments.wrappers import chain


def action_range(env: Any) -> float | None:
    """The share of the innermost environment's action range that the outermost bounds reach.

    Calls the `action` method of `gymnasium.ActionWrapper`s, so the environment has to be reset
    afterwards. 1 without wrappers that change actions; None where it cannot be known: for other
    spaces than bounded boxes of one shape, and with wrappers that replace `step`.
    """
    outer, inner = env.action_space, env.unwrapped.action_space
    if not (isinstance(outer, Box) and isinstance(inner, Box) and outer.shape == inner.shape):
        return None
    if not (outer.is_bounded() and inner.is_bounded()):
        return None
    ends: list[Any] = [outer.low, outer.high]
    for layer in chain(env):
        if isinstance(layer, gymnasium.ActionWrapper):
            ends = [layer.action(np.array(end)) for end in ends]
        elif _replaces_step(layer):
            return None
    low, high = inner.low.astype(np.float64), inner.high.astype(np.float64)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-12)
    reached = np.stack([np.abs(np.asarray(end, np.float64) - middle) / half for end in ends])
    return float(min(reached.max(0).min(), 1.0))


def _replaces_step(layer: Any) -> bool:
    """Whether a user's wrapper may change actions in a way that cannot be asked for."""
    if not isinstance(layer, gymnasium.Wrapper):
        return False
    known = (gymnasium.ObservationWrapper, gymnasium.RewardWrapper)
    steps = gymnasium.Wrapper.step, *(kind.step for kind in known)
    is_gymnasiums = type(layer).__module__.startswith("gymnasium.")
    return not is_gymnasiums and type(layer).step not in steps
