"""Multilayer perceptrons: their layers, a forward pass by hand, and the shapes and ranges of the three networks."""

import pytest
import torch
from torch import nn

from footlight.networks.mlp import Activation, Architecture, DeterministicActor, GaussianActor, QCritic, as_features, mlp

SMALL = Architecture((8, 4))


def test_layers_in_order() -> None:
    network = mlp(3, 2, Architecture((8, 4), "tanh", layer_norm=True))
    kinds = [nn.Linear, nn.LayerNorm, nn.Tanh, nn.Linear, nn.LayerNorm, nn.Tanh, nn.Linear]
    assert [type(layer) for layer in network] == kinds
    assert [tuple(p.shape) for p in network.parameters()] == [(8, 3), (8,), (8,), (8,), (4, 8), (4,), (4,), (4,), (2, 4), (2,)]


def test_no_hidden_layer_is_a_linear_map() -> None:
    assert [type(layer) for layer in mlp(3, 2, Architecture(()))] == [nn.Linear]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", [-0.0, 2.0]),
        ("tanh", [-0.761594, 0.964028]),
        ("elu", [-0.632121, 2.0]),  # e^-1 - 1
        ("silu", [-0.268941, 1.761594]),  # x sigmoid(x)
        ("gelu", [-0.158655, 1.954500]),  # x Phi(x)
    ],
)
def test_activation_by_hand(activation: Activation, expected: list[float]) -> None:
    torch.testing.assert_close(mlp(1, 1, Architecture((2,), activation))[1](torch.tensor([-1.0, 2.0])), torch.tensor(expected))


def test_forward_by_hand() -> None:
    network = mlp(2, 1, Architecture((2,)))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -1.0], [2.0, 0.0]]))
        network[0].bias.copy_(torch.tensor([0.5, -1.0]))
        network[2].weight.copy_(torch.tensor([[3.0, -2.0]]))
        network[2].bias.copy_(torch.tensor([0.25]))
    # s = (1, 3): hidden (1 - 3 + 0.5, 2 - 1) = (-1.5, 1), after relu (0, 1): 0 * 3 + 1 * -2 + 0.25 = -1.75
    # s = (2, 1): hidden (2 - 1 + 0.5, 4 - 1) = (1.5, 3): 4.5 - 6 + 0.25 = -1.25
    assert network(torch.tensor([[1.0, 3.0], [2.0, 1.0]])).tolist() == [[-1.75], [-1.25]]


def test_features_of_every_dtype() -> None:
    assert as_features(torch.tensor([[0, 51, 255]], dtype=torch.uint8)).tolist() == [[0.0, pytest.approx(0.2), 1.0]]
    for dtype in (torch.int16, torch.int64, torch.float64, torch.float32):
        features = as_features(torch.tensor([[-3, 7]], dtype=dtype))
        assert features.dtype == torch.float32
        assert features.tolist() == [[-3, 7]]


def test_features_are_flat() -> None:
    image = torch.arange(12.0).view(2, 3, 2)
    assert as_features(image).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_deterministic_actor_is_the_tanh_of_its_body() -> None:
    actor, observation = DeterministicActor((3, 2), 4, SMALL), 100 * torch.randn(16, 3, 2)
    action_BA = actor(observation)
    assert action_BA.shape == (16, 4)
    assert action_BA.abs().max() <= 1
    assert torch.equal(action_BA, actor.body(observation.flatten(1)).tanh())


def test_gaussian_actor_gives_two_halves() -> None:
    actor, observation = GaussianActor((3,), 4, SMALL), torch.randn(16, 3)
    mean_BA, raw_log_std_BA = actor(observation)
    both = actor.body(observation)
    assert torch.equal(mean_BA, both[:, :4])
    assert torch.equal(raw_log_std_BA, both[:, 4:])


def test_critic_sees_observation_and_action() -> None:
    critic, observation, action_BA = QCritic((3, 2), 2, SMALL), torch.randn(16, 3, 2), torch.randn(16, 2)
    value_B = critic(observation, action_BA)
    assert value_B.shape == (16,)
    assert torch.equal(value_B, critic.body(torch.cat([observation.flatten(1), action_BA], 1))[:, 0])
    assert not torch.equal(value_B, critic(observation, -action_BA))
