"""How much of an environment's action range its wrappers leave."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from footlight.environments.wrappers import chain


def action_range(env: Any) -> float | None:
    """The share of the innermost environment's action range that the outermost bounds reach, where
    wrappers pass actions on as they are.

    1 also with wrappers that change actions: how far theirs reach is their author's choice. They
    are recognized by what their method `action` makes of the bounds, so the environment has to be
    reset afterwards. None where it cannot be known: for other spaces than bounded boxes of one
    shape, and with wrappers that replace `step`.
    """
    outer, inner = env.action_space, env.unwrapped.action_space
    if not (isinstance(outer, Box) and isinstance(inner, Box) and outer.shape == inner.shape):
        return None
    if not (outer.is_bounded() and inner.is_bounded()):
        return None
    with _generators_kept():
        for layer in chain(env):
            if isinstance(layer, gymnasium.ActionWrapper):
                ends = outer.low, outer.high
                if any(not np.array_equal(layer.action(np.array(end)), end) for end in ends):
                    return 1.0
            elif _replaces_step(layer):
                return None
    low, high = inner.low.astype(np.float64), inner.high.astype(np.float64)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-12)
    reached = [np.abs(end.astype(np.float64) - middle) / half for end in (outer.low, outer.high)]
    return float(min(np.stack(reached).max(0).min(), 1.0))


@contextlib.contextmanager
def _generators_kept() -> Iterator[None]:
    """Leave the random generators of the process where they are."""
    numpys, pythons = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(numpys)
        random.setstate(pythons)


def _replaces_step(layer: Any) -> bool:
    """Whether a user's wrapper may change actions in a way that cannot be asked for."""
    if not isinstance(layer, gymnasium.Wrapper):
        return False
    known = (gymnasium.ObservationWrapper, gymnasium.RewardWrapper)
    steps = gymnasium.Wrapper.step, *(kind.step for kind in known)
    is_gymnasiums = type(layer).__module__.startswith("gymnasium.")
    return not is_gymnasiums and type(layer).step not in steps
