"""Policies as distributions: sampling from given noise and log-probabilities. Noise is always an
argument."""

import math
from typing import Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from footlight.types import Array

AnyArray = TypeVar("AnyArray", Tensor, Array)

LOG_STD_CLAMP = (-20.0, 2.0)  # Haarnoja et al. 2018, reference implementation
LOG_STD_TANH = (-5.0, 2.0)  # Yarats & Kostrikov 2020
LOG_STD_WIDE = (-10.0, 2.0)  # FlashSAC, arXiv:2604.04539
LogStdBound = Literal["clamped", "rescaled", "rescaled-wide"]


def bounded_log_std(raw: AnyArray, bound: LogStdBound) -> AnyArray:
    """log sigma within its bounds."""
    if bound == "clamped":
        return clamped_log_std(raw)
    return rescaled_log_std(raw, LOG_STD_TANH if bound == "rescaled" else LOG_STD_WIDE)


def clamped_log_std(raw: AnyArray) -> AnyArray:
    """log sigma = raw, cut off at [-20, 2]: no gradient outside."""
    return raw.clip(*LOG_STD_CLAMP)


def rescaled_log_std(raw: AnyArray, bounds: tuple[float, float] = LOG_STD_TANH) -> AnyArray:
    """log sigma = low + (high - low) / 2 * (tanh(raw) + 1): a gradient everywhere."""
    low, high = bounds
    return low + 0.5 * (high - low) * (_tanh(raw) + 1)


def _tanh(x: AnyArray) -> AnyArray:
    return x.tanh() if isinstance(x, Tensor) else np.tanh(x)


def squashed_gaussian(
    mean_BA: Tensor, log_std_BA: Tensor, noise_BA: Tensor
) -> tuple[Tensor, Tensor]:
    """a = tanh(u), u = mean + sigma * noise, with log pi(a) summed over dimensions: shapes [B, A]
    and [B].

    log pi(a) = sum_A [log N(u; mean, sigma) - log(1 - tanh(u)^2)], Haarnoja et al. 2018, eq. 21.
    The last term is written as 2 (log 2 - u - softplus(-2u)), which is the same and stays finite
    where tanh(u) rounds to 1.
    """
    raw_BA = mean_BA + log_std_BA.exp() * noise_BA
    log_normal_BA = -0.5 * noise_BA.square() - log_std_BA - 0.5 * math.log(2 * math.pi)
    return raw_BA.tanh(), (log_normal_BA - log_tanh_slope(raw_BA)).sum(-1)


def log_tanh_slope(u: Tensor) -> Tensor:
    """log(1 - tanh(u)^2), finite for every u."""
    return 2 * (math.log(2) - u - F.softplus(-2 * u))


def gaussian_log_prob(mean_BA: Tensor, log_std_BA: Tensor, value_BA: Tensor) -> Tensor:
    """log N(value; mean, sigma), summed over independent dimensions, shape [B]."""
    scaled_BA = (value_BA - mean_BA) * (-log_std_BA).exp()
    return (-0.5 * scaled_BA.square() - log_std_BA - 0.5 * math.log(2 * math.pi)).sum(-1)


def gaussian_entropy(log_std_BA: Tensor) -> Tensor:
    """H = sum_A (1/2 + 1/2 log 2 pi + log sigma) in nats, shape [B]."""
    return (0.5 + 0.5 * math.log(2 * math.pi) + log_std_BA).sum(-1)


def squashed_gaussian_entropy(mean_BA: Tensor, log_std_BA: Tensor) -> Tensor:
    """H of a = tanh(u) with u from N(mean, sigma): the Gaussian's entropy + sum_A E[log(1 -
    tanh(u)^2)] in nats, shape [B].

    The expectation has no closed form; it is the mean over 200 equally probable values of u, which
    is right to a hundredth.
    """
    quantiles = torch.special.ndtri((torch.arange(200, device=mean_BA.device) + 0.5) / 200)
    u_BAQ = mean_BA[..., None] + log_std_BA.exp()[..., None] * quantiles
    return gaussian_entropy(log_std_BA) + log_tanh_slope(u_BAQ).mean(-1).sum(-1)


def categorical_log_prob(logits_BH: Tensor, choice_BA: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """log pi of A independent choices, whose logits lie side by side, `sizes` of each: shape
    [B]."""
    log_probs = []
    for index, logits in enumerate(torch.split(logits_BH, list(sizes), -1)):
        # A comparison instead of an index, whose gradient is a scatter that a compiler cannot fuse
        chosen = choice_BA[..., index, None] == torch.arange(logits.shape[-1], device=logits.device)
        log_probs.append(torch.where(chosen, logits.log_softmax(-1), 0.0).sum(-1))
    return torch.stack(log_probs).sum(0)


def categorical_entropy(logits_BH: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """H = -sum pi log pi in nats, summed over the independent choices, shape [B]."""
    entropies = [
        -(p.softmax(-1) * p.log_softmax(-1)).sum(-1)
        for p in torch.split(logits_BH, list(sizes), -1)
    ]
    return torch.stack(entropies).sum(0)


def gather_q(q_BA: Tensor, action_B1: Tensor) -> Tensor:
    """Q(s, a) of the actions that were taken, [B]."""
    choices_A = torch.arange(q_BA.shape[-1], device=q_BA.device)
    return torch.where(action_B1 == choices_A, q_BA, 0.0).sum(-1)


def soft_value(log_prob_BA: Tensor, q_BA: Tensor, alpha: Tensor | float) -> Tensor:
    """V(s) = sum_a pi(a|s) (Q(s, a) - alpha log pi(a|s)), shape [B]. Christodoulou 2019, eq. 10.

    Value of a state when each nat of the policy's entropy is worth a reward of alpha.
    """
    return (log_prob_BA.exp() * (q_BA - alpha * log_prob_BA)).sum(-1)
