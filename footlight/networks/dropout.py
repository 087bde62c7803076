"""Dropout whose random masks are part of the state."""

import torch
from torch import Tensor, nn

_WRAP = 2**24  # the largest count that a float32 holds exactly
_LOW = 0xFFFFFFFF


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
        place = torch.arange(x.numel(), device=x.device).view(x.shape)
        key = hashed(self.counter.to(torch.int64) + (self.seed.to(torch.int64) << 24))
        uniform = hashed(place ^ key).to(torch.float32) * 2.0**-32
        self.counter.copy_((self.counter + 1) % _WRAP)
        return torch.where(uniform < self.p, 0.0, x / (1 - self.p))


def hashed(x: Tensor) -> Tensor:
    """A hash of integers to 32 bits, as int64: Wellons' lowbias32, a bijection of 32 bits in which
    each bit of the input changes each bit of the output with a probability close to 1/2."""
    x = (x ^ (x >> 32)) & _LOW
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _LOW
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _LOW
    return x ^ (x >> 16)
