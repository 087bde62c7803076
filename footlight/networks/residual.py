"""Residual bodies with an inverted bottleneck: each block widens its features by four."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from footlight.errors import UserError
from footlight.networks.norms import RMSNorm

ResidualKind = Literal["residual", "residual-post-norm"]
NormLayer = Callable[[list[int]], nn.Module]
EXPANSION = 4


class ResidualBlock(nn.Module):
    """x + f(x). f is a Sequential, so that acting can follow its layers one by one.

    residual: f = W2 act(W1 norm(x)), the block of SimBa (Lee et al. 2025, arXiv:2410.09754).
    residual-post-norm: f = act(norm(W2 act(norm(W1 x)))), that of FlashSAC (arXiv:2604.04539).
    """

    def __init__(
        self, kind: ResidualKind, size: int, norm: NormLayer | None,
        activation: Callable[[], nn.Module], has_bias: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        wide = EXPANSION * size
        expand, contract = (
            nn.Linear(size, wide, bias=has_bias),
            nn.Linear(wide, size, bias=has_bias),
        )
        if kind == "residual":
            layers = [*_layers(norm, size), expand, activation(), contract]
        else:
            layers = [
                expand, *_layers(norm, wide), activation(),
                contract, *_layers(norm, size), activation(),
            ]  # fmt: skip
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same shape, [B, size]."""
        return x.float() + self.branch(x)  # the sum is fp32, whatever the precision of the products


def residual_layers(
    kind: ResidualKind, num_inputs: int, sizes: Sequence[int], norm: NormLayer | None,
    activation: Callable[[], nn.Module], has_bias: bool,
) -> list[nn.Module]:  # fmt: skip
    """A linear embedding, one block for each of `sizes`, which are all equal, and a normalization
    of what the blocks have added up: RMSNorm in `residual-post-norm`.

    Raises `UserError` for sizes that differ.
    """
    if not sizes or len(set(sizes)) > 1:
        raise UserError(
            f"hidden_sizes is {list(sizes)} - residual blocks add their output to their input, so "
            "all have the same width - give one width per block, such as 256 256"
        )
    size = sizes[0]
    blocks = [ResidualBlock(kind, size, norm, activation, has_bias) for _ in sizes]
    last: list[nn.Module] = _layers(norm, size) if kind == "residual" else [RMSNorm(size, 1e-6)]
    return [nn.Linear(num_inputs, size, bias=has_bias), *blocks, *last]


def _layers(norm: NormLayer | None, size: int) -> list[nn.Module]:
    return [] if norm is None else [norm([size])]
