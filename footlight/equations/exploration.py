"""Noise for deterministic policies, in units of half an action range (actions lie in [-1, 1])."""

from footlight.types import FloatArray


def ornstein_uhlenbeck(
    previous_EA: FloatArray, normal_EA: FloatArray, theta: float, sigma: float
) -> FloatArray:
    """x' = x - theta x + sigma w, w ~ N(0, 1): the mean-reverting walk of Lillicrap et al. 2015,
    one step per action.

    The paper's theta 0.15 and sigma 0.2 are per action step, that is the process of Uhlenbeck &
    Ornstein with dt = 1.
    """
    return previous_EA * (1 - theta) + sigma * normal_EA
