"""Multilayer perceptrons: layers, a forward pass by hand, and the networks' shapes and ranges."""

import pytest
import torch
from torch import nn

from footlight.networks.bodies import (
    Activation,
    ActorCritic,
    Architecture,
    ChoiceNetwork,
    DeterministicActor,
    GaussianActor,
    QCritic,
    as_features,
    mlp,
    torso,
)  # fmt: skip
from footlight.networks.norms import BatchNorm
from tolerance import DIGITS, assert_close, close

SMALL = Architecture((8, 4))


def test_layers_in_order() -> None:
    network = mlp((3,), 2, Architecture((8, 4), "tanh", norm="layer"))
    kinds = [nn.Linear, nn.LayerNorm, nn.Tanh, nn.Linear, nn.LayerNorm, nn.Tanh, nn.Linear]
    assert [type(layer) for layer in network] == kinds
    assert [tuple(p.shape) for p in network.parameters()] == [
        (8, 3),
        (8,),
        (8,),
        (8,),
        (4, 8),
        (4,),
        (4,),
        (4,),
        (2, 4),
        (2,),
    ]


def test_no_hidden_layer_is_a_linear_map() -> None:
    assert [type(layer) for layer in mlp((3,), 2, Architecture(()))] == [nn.Linear]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("relu", [-0.0, 2.0]),
        ("tanh", [-0.761594, 0.964028]),
        ("elu", [-0.632121, 2.0]),  # e^-1 - 1
        ("silu", [-0.268941, 1.761594]),  # x sigmoid(x)
        ("gelu", [-0.158655, 1.954500]),  # x Phi(x)
        ("leaky-relu", [-0.01, 2.0]),
    ],
)
def test_activation_by_hand(activation: Activation, expected: list[float]) -> None:
    activated = mlp((1,), 1, Architecture((2,), activation))[1](torch.tensor([-1.0, 2.0]))
    torch.testing.assert_close(activated, torch.tensor(expected), rtol=0, atol=DIGITS[6])


def test_forward_by_hand() -> None:
    network = mlp((2,), 1, Architecture((2,)))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -1.0], [2.0, 0.0]]))
        network[0].bias.copy_(torch.tensor([0.5, -1.0]))
        network[2].weight.copy_(torch.tensor([[3.0, -2.0]]))
        network[2].bias.copy_(torch.tensor([0.25]))
    # s = (1, 3): hidden (1 - 3 + 0.5, 2 - 1) = (-1.5, 1), after relu (0, 1):
    # 0 * 3 + 1 * -2 + 0.25 = -1.75
    # s = (2, 1): hidden (2 - 1 + 0.5, 4 - 1) = (1.5, 3): 4.5 - 6 + 0.25 = -1.25
    assert network(torch.tensor([[1.0, 3.0], [2.0, 1.0]])).tolist() == [[-1.75], [-1.25]]


def test_features_of_every_dtype() -> None:
    assert as_features(torch.tensor([[0, 51, 255]], dtype=torch.uint8)).tolist() == [
        [0.0, close(0.2), 1.0]
    ]
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
    critic, observation, action_BA = (
        QCritic((3, 2), 2, SMALL),
        torch.randn(16, 3, 2),
        torch.randn(16, 2),
    )
    value_B = critic(observation, action_BA)
    assert value_B.shape == (16,)
    assert torch.equal(
        value_B, critic.body(torch.cat([observation.flatten(1), action_BA], 1))[:, 0]
    )
    assert not torch.equal(value_B, critic(observation, -action_BA))


def test_layer_norm_without_scale_and_shift_has_no_parameters() -> None:
    network = mlp((3,), 2, Architecture((8,), norm="layer", norm_affine=False))
    assert [tuple(p.shape) for p in network.parameters()] == [(8, 3), (8,), (2, 8), (2,)]
    normal = network[1](torch.tensor([[0.0, 0, 0, 0, 8, 8, 8, 8]]))  # mean 4, standard deviation 4
    assert_close(normal, torch.tensor([[-1.0] * 4 + [1.0] * 4]), terms=8)


def test_torso_ends_with_an_activation() -> None:
    layers, num_features = torso((3,), Architecture((8, 4), "tanh"))
    assert [type(layer) for layer in layers] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh]
    assert num_features == 4
    assert torso((3,), Architecture(())) == ([], 3)


# Actor and critic in one


def test_actor_critic_is_two_networks() -> None:
    network, observation = ActorCritic((3, 2), 4, SMALL), torch.randn(16, 3, 2)
    output_BH, value_B = network(observation)
    assert (output_BH.shape, value_B.shape) == ((16, 4), (16,))
    assert torch.equal(output_BH, network.actor(observation.flatten(1)))
    assert torch.equal(value_B, network.critic(observation.flatten(1))[:, 0])
    assert {name.split(".")[0] for name, _ in network.named_parameters()} == {"actor", "critic"}


def test_actor_critic_on_a_shared_torso() -> None:
    network, observation = ActorCritic((3,), 4, SMALL, shared=True), torch.randn(16, 3)
    output_BH, value_B = network(observation)
    features = network.torso(observation)
    assert features.shape == (16, 4)
    assert torch.equal(output_BH, network.actor(features))
    assert torch.equal(value_B, network.critic(features)[:, 0])
    sizes = {
        part: sum(p.numel() for p in getattr(network, part).parameters())
        for part in ("torso", "actor", "critic")
    }
    assert sizes == {"torso": 3 * 8 + 8 + 8 * 4 + 4, "actor": 4 * 4 + 4, "critic": 4 + 1}


@pytest.mark.parametrize("shared", [False, True])
def test_log_std_is_learned_and_the_same_everywhere(shared: bool) -> None:
    network = ActorCritic((3,), 2, SMALL, shared=shared, num_log_std=2, initial_log_std=-0.5)
    output_BH, _ = network(torch.randn(5, 3))
    assert output_BH.shape == (5, 4)
    assert output_BH[:, 2:].tolist() == [[-0.5, -0.5]] * 5
    output_BH[:, 2].sum().backward()
    assert network.log_std is not None
    assert network.log_std.grad is not None
    assert network.log_std.grad.tolist() == [5, 0]


@pytest.mark.parametrize("shared", [False, True])
def test_several_values(shared: bool) -> None:
    network = ActorCritic((3,), 2, SMALL, shared=shared, num_values=4)
    assert network(torch.randn(5, 3))[1].shape == (5, 4)


@pytest.mark.parametrize("shared", [False, True])
def test_orthogonal_policy_starts_undecided_and_values_do_not(shared: bool) -> None:
    network = ActorCritic(
        (3,), 4, Architecture((64, 64), "tanh", initialization="orthogonal"), shared=shared
    )
    rows = network.actor[-1].weight @ network.actor[-1].weight.T
    assert_close(rows.detach(), 1e-4 * torch.eye(4), terms=8)  # gain 0.01, squared
    assert network.critic[-1].weight.norm().item() == close(1)  # gain 1
    hidden = network.torso if shared else network.critic
    assert hidden[0].weight.norm().item() == close((2 * 3) ** 0.5)  # gain sqrt(2) in three columns


def test_choice_network_has_one_output_per_choice() -> None:
    network = ChoiceNetwork((2, 3), 4, SMALL)
    observation = torch.randn(5, 2, 3)
    assert network(observation).shape == (5, 4)
    assert torch.equal(network(observation), network.body(observation.flatten(1)))


def test_choice_network_sees_images_through_convolutions() -> None:
    network = ChoiceNetwork((2, 36, 36), 4, Architecture((8,), torso="small"))
    images = torch.randint(0, 256, (3, 2, 36, 36), dtype=torch.uint8)
    assert network(images).shape == (3, 4)
    assert any(isinstance(layer, nn.Conv2d) for layer in network.modules())


def test_norm_comes_before_or_after_the_activation() -> None:
    before, after = (
        mlp((3,), 2, Architecture((8,), norm="batch", norm_after_activation=is_last))
        for is_last in (False, True)
    )
    assert [type(layer) for layer in before] == [nn.Linear, BatchNorm, nn.ReLU, nn.Linear]
    assert [type(layer) for layer in after] == [nn.Linear, nn.ReLU, BatchNorm, nn.Linear]
    assert before[0].bias is None  # which the norm's own shift would repeat
    assert after[0].bias is not None
