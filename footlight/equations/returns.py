"""Targets of value learning, and advantages."""

from typing import Any

import torch
from torch import Tensor


def td_target(reward_B: Tensor, discount_B: Tensor, next_value_B: Tensor) -> Tensor:
    """y = r + discount * V(s'), shape [B].

    `discount` is gamma ** n for an n-step transition and 0 where the episode terminated
    (Batch.discount), so a time limit bootstraps and a terminal state does not. Sutton & Barto
    2018, eq. 6.2 (n = 1) and 7.1.
    """
    return reward_B + discount_B * next_value_B


def discounted_sums(term_TE: Tensor, factor_TE: Tensor) -> Tensor:
    """x_t = term_t + factor_t x_{t+1}, with x_T = 0, shape [T, E].

    By doubling (Hillis & Steele 1986): after k rounds each x_t has gathered 2^k terms, so T steps
    take log2 T operations on whole tensors, which can be compiled and are fast.
    """
    horizon, reach = len(term_TE), 1
    while reach < horizon:
        nothing = torch.zeros_like(term_TE[:reach])
        term_TE = term_TE + factor_TE * torch.cat([term_TE[reach:], nothing])
        factor_TE = factor_TE * torch.cat([factor_TE[reach:], nothing])
        reach *= 2
    return term_TE


def generalized_advantage(
    reward_TE: Tensor,
    discount_TE: Tensor,
    continues_TE: Tensor,
    value_TE: Tensor,
    next_value_TE: Tensor,
    decay: float,
) -> Tensor:
    """A_t = delta_t + decay * continues_t * A_{t+1} with delta_t = r_t + discount_t V(s_{t+1}) -
    V(s_t), shape [T, E].

    `decay` is gamma * lambda (Schulman et al. 2016, eq. 16); lambda 1 gives n-step returns up to
    the end of the rollout, lambda 0 the TD error. `discount` is gamma, and 0 where the episode
    terminated; `continues` is 0 at either kind of end. So a time limit cuts the sum and keeps the
    value of the true successor, and a terminal state cuts both.
    """
    delta_TE = td_target(reward_TE, discount_TE, next_value_TE) - value_TE
    return discounted_sums(delta_TE, decay * continues_TE)


def weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """sum(weight * x) / sum(weight), a scalar: the mean over the rows that are transitions."""
    return (weight * x).sum() / weight.sum()


def standardized(x: Tensor, weight: Tensor, epsilon: float = 1e-8) -> Tensor:
    """(x - mean) / (standard deviation + epsilon) with weighted moments; the deviation is that of a
    sample (n - 1)."""
    centered = x - weighted_mean(x, weight)
    count = weight.sum()
    variance = (weight * centered.square()).sum() / (count - 1).clamp(min=1)
    return centered / (variance.sqrt() + epsilon)


def clipped_surrogate(ratio_B: Tensor, advantage_B: Tensor, clip: Any) -> Tensor:
    """min(r A, clip(r, 1 - c, 1 + c) A), shape [B]. Schulman et al. 2017, eq. 7.

    `clip` is a number or a tensor of one. There is no gradient where r has left the range in the
    direction that A rewards.
    """
    clipped_B = advantage_B * ratio_B.clamp(1 - clip, 1 + clip)
    return torch.minimum(advantage_B * ratio_B, clipped_B)


def penalized_surrogate(ratio_B: Tensor, advantage_B: Tensor, clip: Tensor | float) -> Tensor:
    """r A - |A| (r - 1)^2 / (2 c), shape [B]. SPO, Xie et al. 2024, arXiv:2401.16025.

    Largest at r = 1 + c where A is positive, and at 1 - c where it is negative; beyond, the
    gradient leads back.
    """
    return ratio_B * advantage_B - advantage_B.abs() * (ratio_B - 1).square() / (2 * clip)


def explained_variance(value_B: Tensor, target_B: Tensor, weight_B: Tensor) -> Tensor:
    """1 - Var[target - value] / Var[target]: 1 is perfect, 0 no better than a constant."""
    error_B = target_B - value_B
    spread = weighted_mean((target_B - weighted_mean(target_B, weight_B)).square(), weight_B)
    rest = weighted_mean((error_B - weighted_mean(error_B, weight_B)).square(), weight_B)
    return 1 - rest / spread.clamp(min=1e-8)


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|): compresses large values of either sign (Hafner et al. 2023, eq. 1)."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """sign(x) (exp|x| - 1), the inverse of `symlog`."""
    return x.sign() * x.abs().expm1()
