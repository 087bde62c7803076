"""The critic's values beside the returns that followed, over the states of some episodes.

V(s_t) is compared with G_t = r_t + gamma (b_{t+1} + G_{t+1}), where b is a bonus of the critic's
own, such as SAC's for entropy, here its mean. The recorded part of an episode that did not
terminate is continued by the critic's own value, so a constant error e of the critic shows there
only as e (1 - gamma^n), with n steps left. Errors are divided by this factor, and states with a
factor below `MIN_SHARE` are left out.
"""

from typing import NamedTuple

import numpy as np

from footlight.types import Array

MIN_SHARE = 0.5
_TINY = 1e-12


def quantile(numbers: Array, share: float) -> float:
    """The number that this share of them does not exceed; `np.quantile` imports 50 ms of NumPy."""
    flat = numbers.reshape(-1)
    place = int(share * (flat.size - 1))
    return float(np.partition(flat, place)[place])


class Followed(NamedTuple):
    """What followed each of T steps in E environments, before the critic's value at the end."""

    return_TE: Array
    """Discounted sum of the rewards and bonuses up to the end of the record or of the episode."""
    discount_TE: Array
    """Factor of the critic's value there; 0 if the episode terminated."""
    last_TE: Array
    """The step that is the last one before this end."""


def last_steps(ended_TE: Array) -> Array:
    """The last step of the episode, or of its part in the record, that each step is in."""
    step_T1 = np.arange(len(ended_TE))[:, None]
    end_TE = np.where(ended_TE, step_T1, len(ended_TE) - 1)
    return np.minimum.accumulate(end_TE[::-1])[::-1]


def followed(
    reward_TE: Array, terminated_TE: Array, truncated_TE: Array, gamma: float, bonus: float = 0.0
) -> Followed:
    """Sum up rewards backwards, episode by episode.

    bonus: for reaching a state that is not the end of a terminated episode.
    """
    last_TE = last_steps(terminated_TE | truncated_TE)
    step_T1 = np.arange(len(reward_TE))[:, None]
    is_terminal_TE = np.take_along_axis(terminated_TE, last_TE, 0)
    discount_TE = np.where(is_terminal_TE, 0.0, gamma ** (last_TE - step_T1 + 1))
    # G_t = a_t + b_t G_{t+1}: two adjacent sums of n steps make one of 2 n steps
    # (Hillis & Steele 1986); in a loop over steps, Python would take ten times as long
    sum_TE = reward_TE + gamma * bonus * ~terminated_TE
    factor_TE = np.where(last_TE == step_T1, 0.0, gamma)
    length = 1
    while length < len(sum_TE):
        sum_TE[:-length] += factor_TE[:-length] * sum_TE[length:]
        factor_TE[:-length] *= factor_TE[length:]
        length *= 2
    return Followed(sum_TE, discount_TE, last_TE)


def compare(
    value_N: Array, return_N: Array, discount_N: Array, end_value_N: Array
) -> dict[str, float]:
    """Compare values with the returns that followed them; {} if too few states can be compared.

    discount_N, end_value_N: factor and value of the state at which the record of the episode ends.
    """
    share_N = 1 - discount_N
    compared = share_N >= MIN_SHARE
    if np.count_nonzero(compared) < 2:
        return {}
    value, share = value_N[compared].astype(np.float64), share_N[compared]
    full = return_N[compared] + discount_N[compared] * end_value_N[compared]
    error = (value - full) / share
    mean, std = float(full.mean()), float(full.std())
    # Errors have the unit of the returns; a task with returns around 0 has them in their spread
    size = max(abs(mean), std, _TINY)
    found = {
        "critic_value": float(value.mean()),
        "critic_return": mean,
        "critic_bias": float(error.mean()) / size,
        "critic_spread": float(error.std()) / size,
    }
    # A critic cannot explain differences that there are not
    if std > 1e-3 * size:
        found["critic_explained_variance"] = 1 - float(np.var(full - value)) / std**2
    return found
