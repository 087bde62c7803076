"""Hidden units: dormant, saturated and of low rank by construction."""

import numpy as np
import torch
from torch import nn

from footlight.diagnostics.units import Activation, effective_rank, hidden_units, recorded
from tolerance import assert_close


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
    return layer


def test_units_without_output_are_dormant() -> None:
    module = nn.Sequential(linear([[1.0], [0.0], [0.0], [1.0]], [1.0, -1.0, -5.0, 1.0]), nn.ReLU())
    with recorded([module]) as found:
        module(torch.tensor([[0.5], [1.0]]))
    assert hidden_units(found)["dormant"] == 0.5


def test_dead_layer_is_dormant_as_a_whole() -> None:
    zeros = Activation(nn.ReLU(), torch.zeros(4, 3))
    assert hidden_units([zeros]) == {"dormant": 1.0, "rank": 0.0}


def test_bounded_units_saturate() -> None:
    module = nn.Sequential(linear([[1.0], [0.0], [0.0]], [0.0, 9.0, -9.0]), nn.Tanh())
    with recorded([module]) as found:
        module(torch.tensor([[-0.5], [0.2], [0.7]]))
    assert_close(hidden_units(found)["saturated"], 2 / 3, terms=4, dtype=np.float32)
    assert "saturated" not in hidden_units([Activation(nn.ReLU(), torch.ones(2, 2))])


def test_hooks_are_removed() -> None:
    module = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    with recorded([module]) as found:
        pass
    module(torch.ones(1, 1))
    assert found == []


def test_rank_of_known_matrices() -> None:
    assert_close(effective_rank(torch.eye(4)), 1.0, terms=16, dtype=np.float32)
    assert_close(effective_rank(torch.ones(5, 3)), 1 / 3, terms=16, dtype=np.float32)
    # Two equal singular values of three
    assert_close(
        effective_rank(torch.diag(torch.tensor([1.0, 1.0, 0.0]))), 2 / 3, terms=16, dtype=np.float32
    )


def test_rank_is_of_the_last_layer() -> None:
    first, last = Activation(nn.ReLU(), torch.ones(4, 4)), Activation(nn.ReLU(), torch.eye(4))
    assert_close(hidden_units([first, last])["rank"], 1.0, terms=16, dtype=np.float32)
