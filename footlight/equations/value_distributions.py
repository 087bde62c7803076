"""Critics that learn the distribution of returns, as quantiles or as the probabilities of bins.

Shape letters: B batch, N critics, M quantiles or bins of a critic, K quantiles of the target.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def quantile_huber_loss(quantile_NBM: Tensor, target_BK: Tensor) -> Tensor:
    """The loss of each critic and row, [N, B]: the mean over m and k of |tau_m - 1{y_k < z_m}|
    L(y_k - z_m), with tau_m = (2 m - 1) / 2 M and L Huber's loss with threshold 1.

    Dabney et al. 2018 (arXiv:1710.10044), eq. 10; Kuznetsov et al. 2020 (TQC, arXiv:2005.04269),
    eq. 14.
    """
    num_quantiles = quantile_NBM.shape[-1]
    tau_M1 = (torch.arange(num_quantiles, device=quantile_NBM.device) + 0.5)[:, None]
    tau_M1 = tau_M1 / num_quantiles
    error_NBMK = target_BK[:, None, :] - quantile_NBM[..., None]
    size_NBMK = error_NBMK.abs()
    huber_NBMK = torch.where(size_NBMK < 1, 0.5 * error_NBMK.square(), size_NBMK - 0.5)
    weight_NBMK = (tau_M1 - (error_NBMK < 0).float()).abs()
    return (weight_NBMK * huber_NBMK).mean((-2, -1))


def smallest_quantiles(quantile_NBM: Tensor, num_dropped: int) -> Tensor:
    """The quantiles of all N critics without the N `num_dropped` largest of each row, [B, N (M -
    num_dropped)], in no particular order.

    Kuznetsov et al. 2020, eq. 11: which ones are dropped is decided over all critics.
    """
    num_critics, _, num_quantiles = quantile_NBM.shape
    pooled_BK = quantile_NBM.movedim(0, 1).flatten(1)
    kept = num_critics * (num_quantiles - num_dropped)
    if num_dropped == 0:
        return pooled_BK
    return pooled_BK.topk(kept, largest=False, sorted=False).values


def bin_centers(num_bins: int, bound: float, device: torch.device) -> Tensor:
    """The values of M bins, evenly spaced over [-bound, bound]."""
    return torch.linspace(-bound, bound, num_bins, device=device)


def two_hot(value_BK: Tensor, probability_BK: Tensor, center_M: Tensor) -> Tensor:
    """The distribution over bins [B, M] of values with these probabilities. Each value, cut off at
    the outermost bins, gives its probability to its two neighbors, the more to the closer one.

    Bellemare et al. 2017 (arXiv:1707.06887), eq. 7. Written as a sum over all values for each bin,
    max(0, 1 - |value - center| / width): an index would need a scatter, which a compiler cannot
    fuse, and whose order of summation is not fixed on a GPU.
    """
    width = center_M[1] - center_M[0]
    value_BK = value_BK.clamp(center_M[0], center_M[-1])
    share_BMK = (1 - (value_BK[:, None, :] - center_M[:, None]).abs() / width).clamp(min=0)
    return (share_BMK * probability_BK[:, None, :]).sum(-1)


def cross_entropy(logit_NBM: Tensor, target_BM: Tensor) -> Tensor:
    """-sum_M target log p, [N, B]."""
    return -(target_BM * F.log_softmax(logit_NBM, -1)).sum(-1)


def expected_bin(logit_NBM: Tensor, center_M: Tensor) -> Tensor:
    """The mean of the distribution over bins, [N, B]."""
    return (logit_NBM.softmax(-1) * center_M).sum(-1)
