"""Targets of value learning."""

from torch import Tensor


def td_target(reward_B: Tensor, discount_B: Tensor, next_value_B: Tensor) -> Tensor:
    """y = r + discount * V(s'), shape [B].

    `discount` is gamma ** n for an n-step transition and 0 where the episode terminated (Batch.discount), so a time
    limit bootstraps and an end of the world does not. Sutton & Barto 2018, eq. 6.2 (n = 1) and 7.1.
    """
    return reward_B + discount_B * next_value_B
