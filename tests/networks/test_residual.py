"""Residual bodies: blocks against their formulas, their number, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from footlight.errors import UserError
from footlight.networks.bodies import Architecture, QCritic, mlp
from footlight.networks.norms import BatchNorm, BatchRenorm, RMSNorm, norm_layer
from footlight.networks.residual import ResidualBlock, ResidualKind, residual_layers
from tolerance import assert_close, close

KINDS: list[ResidualKind] = ["residual", "residual-post-norm"]


def array(tensor: torch.Tensor) -> Any:
    return tensor.detach().double().numpy()


def normal(x: Any, layer: nn.Module) -> Any:
    """LayerNorm or RMSNorm of each row, in a loop."""
    rows = []
    for row in x:
        if isinstance(layer, nn.LayerNorm):
            mean = sum(row) / len(row)
            var = sum((value - mean) ** 2 for value in row) / len(row)
            scaled = (row - mean) / (var + 1e-5) ** 0.5 * array(layer.weight) + array(layer.bias)
        else:
            assert isinstance(layer, nn.RMSNorm)
            square = sum(value**2 for value in row) / len(row)
            scaled = row / (square + 1e-6) ** 0.5 * array(layer.weight)
        rows.append(scaled)
    return np.array(rows)


def linear(x: Any, layer: Any) -> Any:
    out = x @ array(layer.weight).T
    return out if layer.bias is None else out + array(layer.bias)


def slow_block(block: ResidualBlock, kind: ResidualKind, x: Any) -> Any:
    parts = list(block.branch)
    if kind == "residual":
        norm, expand, _, contract = parts
        return x + linear(np.maximum(linear(normal(x, norm), expand), 0), contract)
    expand, first, _, contract, second, _ = parts
    wide = np.maximum(normal(linear(x, expand), first), 0)
    return x + np.maximum(normal(linear(wide, contract), second), 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("has_bias", [True, False])
def test_block_equals_its_formula(kind: ResidualKind, norm: Any, has_bias: bool) -> None:
    torch.manual_seed(0)
    block = ResidualBlock(kind, 6, norm_layer(norm), nn.ReLU, has_bias)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    x = 2 * torch.randn(5, 6)
    wanted = slow_block(block, kind, array(x))
    assert_close(block(x), wanted, terms=24, depth=8, scale=float(np.abs(wanted).max() + 10))


def test_block_by_hand() -> None:
    block = ResidualBlock("residual", 1, None, nn.ReLU, has_bias=True)
    expand, _, contract = block.branch
    with torch.no_grad():
        expand.weight.copy_(torch.tensor([[1.0], [-1.0], [2.0], [0.0]]))
        expand.bias.copy_(torch.tensor([0.0, 0.0, -1.0, 0.5]))
        contract.weight.copy_(torch.tensor([[1.0, 3.0, -1.0, 2.0]]))
        contract.bias.fill_(0.25)
    # x = 2: wide (2, 0, 3, 0.5): 2 - 3 + 1 + 0.25 = 0.25, plus 2
    # x = -1: wide (0, 1, 0, 0.5): 3 + 1 + 0.25 = 4.25, minus 1
    assert block(torch.tensor([[2.0], [-1.0]])).tolist() == [[2.25], [3.25]]
    post = ResidualBlock("residual-post-norm", 1, None, nn.ReLU, has_bias=True)
    post.load_state_dict(block.state_dict())
    with torch.no_grad():
        post.branch[2].bias.fill_(-3.0)
    # The branch of 2 is -3 instead of 0.25, which ReLU makes 0; that of -1 is 1
    assert post(torch.tensor([[2.0], [-1.0]])).tolist() == [[2.0], [0.0]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_embedding_then_blocks_then_norm(kind: ResidualKind, count: int) -> None:
    layers = residual_layers(kind, 3, [8] * count, norm_layer("layer"), nn.ReLU, has_bias=True)
    embedding, *blocks, last = layers
    assert isinstance(embedding, nn.Linear)
    assert (embedding.in_features, embedding.out_features) == (3, 8)
    assert [type(block) for block in blocks] == [ResidualBlock] * count
    assert type(last) is (nn.LayerNorm if kind == "residual" else RMSNorm)
    widths = [[m.out_features for m in b.modules() if isinstance(m, nn.Linear)] for b in blocks]
    assert widths == [[32, 8]] * count
    x = torch.randn(4, 3)
    assert nn.Sequential(*layers)(x).shape == (4, 8)


def test_without_normalization() -> None:
    layers = residual_layers("residual", 3, [8, 8], None, nn.ReLU, has_bias=True)
    assert [type(layer) for layer in layers] == [nn.Linear, ResidualBlock, ResidualBlock]
    post = residual_layers("residual-post-norm", 3, [8], None, nn.ReLU, has_bias=True)
    assert type(post[-1]) is RMSNorm  # what the blocks add up would grow
    out = nn.Sequential(*post)(torch.randn(4, 3))
    assert out.square().mean(-1).tolist() == close([1.0] * 4, terms=8, depth=50)  # epsilon is 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("sizes", "shown"), [((8, 4), r"\[8, 4\]"), ((), r"\[\]")])
def test_sizes_that_differ_are_refused(
    kind: ResidualKind, sizes: tuple[int, ...], shown: str
) -> None:
    with pytest.raises(UserError, match=rf"^hidden_sizes is {shown} - residual blocks add"):
        mlp((3,), 1, Architecture(sizes, body=kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["batch", "batch-renorm"])
def test_blocks_with_statistics_of_batches(kind: ResidualKind, norm: Any) -> None:
    critic = QCritic((3,), 2, Architecture((8, 8), norm=norm, body=kind))
    norms = [part for part in critic.modules() if isinstance(part, BatchNorm)]
    assert {type(part) for part in norms} == {BatchNorm if norm == "batch" else BatchRenorm}
    assert len(norms) == (3 if kind == "residual" else 4)
    linears = [part for part in critic.modules() if isinstance(part, nn.Linear)]
    # A shift right before batch normalization changes nothing, and there it is in one kind alone
    assert [part.bias is None for part in linears] == [kind != "residual"] * 5 + [False]


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_passes_the_blocks(kind: ResidualKind) -> None:
    # With branches of zero, the body is its embedding (and the last normalization)
    layers = residual_layers(kind, 3, [4, 4], None, nn.ReLU, has_bias=False)
    x = torch.randn(5, 3)
    with torch.no_grad():
        for block in layers[1:3]:
            for parameter in block.parameters():
                parameter.zero_()
    embedded = layers[0](x)
    assert torch.equal(nn.Sequential(*layers[:3])(x), embedded)
