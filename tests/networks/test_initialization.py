"""Initial weights: standard deviations, the last layer, biases, and PyTorch's default unchanged."""

import math

import pytest
import torch
from torch import Tensor, nn

from footlight.networks.bodies import Architecture, mlp
from footlight.networks.initialization import Initialization, initialize
from tolerance import assert_close


def linears(
    kind: Initialization, hidden_sizes: tuple[int, ...] = (256, 128), **more: float
) -> list[nn.Linear]:
    torch.manual_seed(0)
    network = mlp((100,), 4, Architecture(hidden_sizes, initialization="pytorch"))
    initialize(network, kind, **more)
    return [layer for layer in network if isinstance(layer, nn.Linear)]


def same(first: list[nn.Linear], second: list[nn.Linear]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a.weight, b.weight) and torch.equal(a.bias, b.bias) for a, b in pairs)


def test_pytorch_is_what_torch_does() -> None:
    torch.manual_seed(0)
    own = [nn.Linear(100, 256), nn.Linear(256, 128), nn.Linear(128, 4)]
    assert same(linears("pytorch"), own)


def test_pytorch_is_uniform_within_one_over_root_fan_in() -> None:
    for layer in linears("pytorch")[:2]:
        bound = 1 / math.sqrt(layer.in_features)
        for values in (layer.weight, layer.bias):
            assert values.abs().max() <= bound
            assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.12)


def test_kaiming_spread() -> None:
    for layer in linears("kaiming")[:-1]:
        spread = math.sqrt(2 / layer.in_features)  # 0.1414 for 100 inputs, 0.0884 for 256
        assert layer.weight.std().item() == pytest.approx(spread, rel=0.02)
        assert abs(layer.weight.mean().item()) < 0.03 * spread
        assert not layer.bias.any()


def test_kaiming_last_layer_is_almost_zero() -> None:
    last = linears("kaiming", (64, 512))[-1]
    for values in (last.weight, last.bias):
        assert 0 < values.abs().max().item() <= 3e-3
    # Uniform in ±3e-3: the standard deviation is 3e-3 / sqrt(3) = 1.732e-3, and the extremes of
    # 2048 weights are close to the bounds
    assert last.weight.std().item() == pytest.approx(1.732e-3, rel=0.05)
    assert last.weight.abs().max().item() > 2.9e-3


def gram(weight: Tensor) -> Tensor:
    """Products of the rows, or of the columns where there are more rows."""
    return weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight


@pytest.mark.parametrize("last_gain", [1.0, 0.01])
def test_orthogonal_rows_and_gains(last_gain: float) -> None:
    layers = linears("orthogonal", last_gain=last_gain)
    for layer in layers:
        square = last_gain**2 if layer is layers[-1] else 2.0  # gain sqrt(2), squared
        product = gram(layer.weight.detach())
        assert_close(product, square * torch.eye(len(product)), terms=max(layer.weight.shape))
        assert not layer.bias.any()


def test_sparse_leaves_a_tenth_of_each_units_weights() -> None:
    for layer in linears("sparse"):
        bound = 1 / math.sqrt(layer.in_features)
        left = layer.weight.detach() != 0
        # 100 inputs: 90 are set to 0; 256: 231 (230.4 rounded up); 128: 116 (115.2)
        assert left.sum(1).unique().tolist() == [
            layer.in_features - {100: 90, 256: 231, 128: 116}[layer.in_features]
        ]
        assert layer.weight.abs().max() <= bound
        assert not layer.bias.any()
    first = linears("sparse")[0].weight.detach()
    left = first != 0
    # Uniform in ±0.1
    assert first[left].std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.05)
    assert len({tuple(row) for row in left.tolist()}) == 256  # each unit's own
    assert left.sum(0).min() > 0  # no input is left out: 25.6 units see each on average


@pytest.mark.parametrize(
    ("num_inputs", "num_zeros"), [(4, 4), (9, 9), (10, 9), (11, 10), (20, 18), (30, 27), (70, 63)]
)
def test_sparse_rounds_the_number_of_zeros_up(num_inputs: int, num_zeros: int) -> None:
    layer = nn.Linear(num_inputs, 50)
    initialize([layer], "sparse")
    assert (layer.weight == 0).sum(1).unique().tolist() == [num_zeros]


@pytest.mark.parametrize("kind", ["pytorch", "kaiming", "orthogonal", "sparse"])
def test_layer_norm_starts_as_it_is(kind: Initialization) -> None:
    network = mlp((3,), 2, Architecture((8,), norm="layer", initialization=kind))
    norm = network[1]
    assert isinstance(norm, nn.LayerNorm)
    assert norm.weight.tolist() == [1] * 8
    assert norm.bias.tolist() == [0] * 8


@pytest.mark.parametrize("kind", ["pytorch", "kaiming", "orthogonal", "sparse"])
def test_depends_on_the_seed_alone(kind: Initialization) -> None:
    assert same(linears(kind), linears(kind))
