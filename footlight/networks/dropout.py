"""Dropout whose random masks are part of the state."""

import torch
from torch import Tensor, nn

_WRAP = 2**24  # the largest count that a float32 holds exactly


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
        key = hashed(self.counter.to(torch.int32) ^ hashed(self.seed.to(torch.int32)))
        self.counter.copy_((self.counter + 1) % _WRAP)
        is_dropped = hashed(place ^ key) < round(self.p * 2**32) - 2**31
        return torch.where(is_dropped, 0.0, x * (1 / (1 - self.p)))


def hashed(x: Tensor) -> Tensor:
    """A hash of int32 to int32: Wellons' lowbias32, a bijection in which each bit of the input
    changes each bit of the output with a probability close to 1/2.

    Products wrap around, as those of int32 do. A shift of a negative number would repeat its sign,
    so the bits that come from it are masked.
    """
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * (0x846CA68B - 2**32)
    return x ^ ((x >> 16) & 0xFFFF)
