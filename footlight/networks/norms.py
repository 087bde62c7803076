"""Normalization layers: batch normalization and renormalization, whose statistics are those of a
batch, and RMSNorm. LayerNorm is PyTorch's own."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["none", "layer", "rms", "batch", "batch-renorm"]


class RMSNorm(nn.RMSNorm):
    """Root mean square layer normalization (Zhang & Sennrich 2019): x / sqrt(mean(x^2) + epsilon),
    scaled."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalized features, [B, size]."""
        return super().forward(x.float())  # fp32, whatever the precision of the products


class BatchNorm(nn.Module):
    """Batch normalization (Ioffe & Szegedy 2015, algorithm 1): (x - mean) / sqrt(var + epsilon),
    scaled and shifted.

    In training mode, mean and variance are those of the batch, and the running ones move towards
    them by `momentum`; otherwise the running ones are used. Both variances are biased, as in Flax.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, size: int, momentum: float = 0.01, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))
        self.momentum, self.epsilon = momentum, epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Normalized features, [B, size]."""
        x = x.float()  # statistics are fp32, whatever the precision of the products
        if not self.training:
            scale = self.weight * (self.running_var + self.epsilon).rsqrt()
            return (x - self.running_mean) * scale + self.bias
        # var = E[x^2] - E[x]^2 takes one pass over the batch, and its gradient another one. x is
        # counted from the first row: far from 0, var would be lost in the rounding of x^2
        origin = x[0].detach()
        offset = x - origin
        mean = offset.mean(0)
        var = (offset.square().mean(0) - mean.square()).clamp(min=0)
        found = origin + mean.detach(), var.detach()
        weight, bias = self._affine(*found)
        self._move(*found)
        scale = weight * (var + self.epsilon).rsqrt()
        return offset * scale + (bias - mean * scale)

    def _affine(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift of normalized features."""
        return self.weight, self.bias

    def _move(self, mean: Tensor, var: Tensor) -> None:
        for running, found in ((self.running_mean, mean), (self.running_var, var)):
            running.copy_(running + self.momentum * (found - running))


class BatchRenorm(BatchNorm):
    """Batch renormalization (Ioffe 2017, algorithm 1): in training mode, too, the output is close
    to that of the running statistics.

    x is normalized by the batch, then multiplied by r = sigma_batch / sigma and shifted by d =
    (mean_batch - mean) / sigma, both clipped and without a gradient. In the first `warmup` batches
    r is 1 and d is 0, as in batch normalization.
    """

    num_batches: Tensor

    def __init__(
        self, size: int, momentum: float = 0.01, epsilon: float = 1e-3, max_r: float = 3.0,
        max_d: float = 5.0, warmup: int = 100_000,
    ) -> None:  # fmt: skip
        super().__init__(size, momentum, epsilon)
        self.register_buffer("num_batches", torch.zeros(()))
        self.max_r, self.max_d, self.warmup = max_r, max_d, warmup

    def _affine(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        deviation = (self.running_var + self.epsilon).sqrt()
        r = ((var + self.epsilon).sqrt() / deviation).clamp(1 / self.max_r, self.max_r)
        d = ((mean - self.running_mean) / deviation).clamp(-self.max_d, self.max_d)
        is_warm = self.num_batches >= self.warmup
        r, d = torch.where(is_warm, r, 1.0), torch.where(is_warm, d, 0.0)
        return r * self.weight, d * self.weight + self.bias

    def _move(self, mean: Tensor, var: Tensor) -> None:
        super()._move(mean, var)
        self.num_batches.copy_((self.num_batches + 1).clamp(max=float(self.warmup)))


def norm_layer(norm: Norm, is_affine: bool = True) -> Callable[[list[int]], nn.Module] | None:
    """The layer for features of a shape; None for no normalization.

    is_affine: whether LayerNorm and RMSNorm have a learned scale (and shift).
    """
    if norm == "none":
        return None
    if norm == "layer":
        return lambda shape: nn.LayerNorm(shape, elementwise_affine=is_affine)
    if norm == "rms":
        return lambda shape: RMSNorm(shape, eps=1e-6, elementwise_affine=is_affine)
    kind = BatchNorm if norm == "batch" else BatchRenorm
    return lambda shape: kind(*shape)


def uses_batches(norm: Norm) -> bool:
    """Whether a normalization has running statistics."""
    return norm in ("batch", "batch-renorm")
