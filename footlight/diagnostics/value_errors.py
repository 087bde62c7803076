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


def followed(
    reward_TE: Array, terminated_TE: Array, truncated_TE: Array, gamma: float, bonus: float = 0.0
) -> Followed:
    """Sum up rewards backwards, episode by episode.

    bonus: for reaching a state that is not the end of a terminated episode.
    """
    num_steps, num_envs = reward_TE.shape
    return_ET, discount_ET = np.zeros((num_envs, num_steps)), np.zeros((num_envs, num_steps))
    last_ET = np.zeros((num_envs, num_steps), np.int64)
    for env in range(num_envs):
        # Python's own numbers: NumPy takes ten times as long for one at a time
        rewards = reward_TE[:, env].tolist()
        terminated, truncated = terminated_TE[:, env].tolist(), truncated_TE[:, env].tolist()
        following, discount, last = 0.0, 1.0, num_steps - 1
        rows = []
        for step in range(num_steps - 1, -1, -1):
            if terminated[step]:
                following, discount, last = rewards[step], 0.0, step
            else:
                if truncated[step]:
                    following, discount, last = 0.0, 1.0, step
                following = rewards[step] + gamma * (following + bonus)
                discount *= gamma
            rows.append((following, discount, last))
        return_ET[env], discount_ET[env], last_ET[env] = zip(*reversed(rows), strict=True)
    return Followed(return_ET.T, discount_ET.T, last_ET.T)


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
