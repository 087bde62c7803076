"""Dropout whose random masks are part of the state."""

import torch
from torch import Tensor, nn

_WRAP = 2**24  # the largest count that a float32 holds exactly
_ODD, _ALSO_ODD = 0x9E3779B1 - 2**32, 0x85EBCA6B - 2**32  # neighboring counts differ in many bits


class Dropout(nn.Module):
    """Zero each feature with probability `p` in training mode, and scale the others by 1 / (1 - p)
    (Srivastava et al. 2014).

    The masks are a hash of the feature's place and of a counter, a buffer that each call in
    training mode raises by one. So the randomness lies in the state of the network: a resumed run
    draws the same masks, compiled and eager updates agree, and no numbers have to be drawn outside,
    of which an ensemble would need more than a million per update.
    """

    counter: Tensor
    seed: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.register_buffer("counter", torch.zeros(()))
        self.register_buffer("seed", torch.randint(_WRAP, ()).float())

    def forward(self, x: Tensor) -> Tensor:
        """The features, [B, size]."""
        if not self.training:
            return x
        place = torch.arange(x.numel(), dtype=torch.int32, device=x.device).view(x.shape)
        key = self.counter.to(torch.int32) * _ODD ^ self.seed.to(torch.int32) * _ALSO_ODD
        self.counter.copy_((self.counter + 1) % _WRAP)
        is_dropped = hashed(place ^ key) < round(self.p * 2**32) - 2**31
        return torch.where(is_dropped, 0.0, x * (1 / (1 - self.p)))


def hashed(x: Tensor) -> Tensor:
    """A hash of int32 to int32, a bijection whose highest bits depend on all bits of the input:
    what lies between the first and the last shift of Wellons' lowbias32, since what is compared
    with a threshold needs no more. Compiled code computes it several times per mask.

    Products wrap around, as those of int32 do. A shift of a negative number would repeat its sign,
    so the bits that come from it are masked.
    """
    x = x * 0x7FEB352D
    x = x ^ ((x >> 15) & 0x1FFFF)
    return x * (0x846CA68B - 2**32)
