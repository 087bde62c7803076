"""V-trace: value targets and advantages from data of an older policy (Espeholt et al. 2018,
arXiv:1802.01561).

mu is the policy that acted (the behavior), pi the one that learns (the target), and pi / mu the
ratio of their probabilities of the action that was taken.
"""

import torch
from torch import Tensor

from footlight.equations.returns import discounted_sums, td_target


def vtrace(
    reward_TE: Tensor,
    discount_TE: Tensor,
    continues_TE: Tensor,
    value_TE: Tensor,
    next_value_TE: Tensor,
    rho_TE: Tensor,
    c_TE: Tensor,
) -> tuple[Tensor, Tensor]:
    """Value targets v_t and advantages r_t + discount_t v_{t+1} - V(s_t), both [T, E].

    v_t = V(s_t) + delta_t + discount_t c_t (v_{t+1} - V(s_{t+1})), with
    delta_t = rho_t (r_t + discount_t V(s_{t+1}) - V(s_t)): remark 1 of the paper, the recursive
    form of its eq. 1. rho = min(rho_bar, pi / mu) and c = lambda min(c_bar, pi / mu), from
    `truncated_ratio`. The policy gradient is rho_t grad log pi times the advantage (eq. 4).

    `discount` is gamma, and 0 where the episode terminated; `continues` is 0 at either kind of end
    and at the end of the data. There the correction of the successor's value stops: at a time limit
    v_{t+1} is the value of the true successor. A terminal state has none, by its discount.

    On policy, with rho 1 and c = lambda, v_t - V(s_t) is the generalized advantage; with lambda 1
    v_t is the n-step return (eq. 2).
    """
    delta_TE = rho_TE * (td_target(reward_TE, discount_TE, next_value_TE) - value_TE)
    correction_TE = discounted_sums(delta_TE, discount_TE * continues_TE * c_TE)  # v_t - V(s_t)
    following_TE = torch.cat([correction_TE[1:], torch.zeros_like(correction_TE[:1])])
    next_target_TE = next_value_TE + continues_TE * following_TE
    advantage_TE = td_target(reward_TE, discount_TE, next_target_TE) - value_TE
    return value_TE + correction_TE, advantage_TE


def truncated_ratio(log_ratio: Tensor, limit: float) -> Tensor:
    """min(limit, pi / mu) from log pi - log mu; finite where the ratio overflows."""
    return log_ratio.exp().clamp(max=limit)
