"""The NumPy forward pass: torch's numbers, on the same memory, and modest about what it can run."""

from typing import Any

import numpy as np
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
)
from footlight.networks.flat import Network
from footlight.networks.numpy_forward import numpy_forward
from footlight.networks.unit_weights import UnitWeights, restore_norms_
from footlight.types import Array
from tolerance import assert_close, largest_intermediate, longest_sum

ACTORS = [DeterministicActor, GaussianActor]


def forward_of(module: nn.Module) -> tuple[Network, Any]:
    network = Network([module])
    return network, numpy_forward(module, network.unflatten(network.initial))


def assert_same(mine: Any, theirs: Any, module: nn.Module, observation: Array) -> None:
    scale = largest_intermediate(module, torch.from_numpy(observation))
    pairs = zip(mine, theirs, strict=True) if isinstance(mine, tuple) else [(mine, theirs)]
    for a, b in pairs:
        assert a.dtype == np.float32
        assert_close(a, b.detach().numpy(), terms=longest_sum(module), depth=3, scale=scale)


@pytest.mark.parametrize("actor_class", ACTORS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky-relu", "elu"])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("hidden_sizes", [(), (16,), (32, 16)])
def test_equals_torch(
    actor_class: Any, activation: Activation, layer_norm: bool, hidden_sizes: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    actor = actor_class(
        (5,), 3, Architecture(hidden_sizes, activation, "layer" if layer_norm else "none")
    )
    network, forward = forward_of(actor)
    network.initial.add_(0.1 * torch.randn_like(network.initial))  # the norms' ones and zeros too
    for num_envs in (1, 7):
        observation = 3 * np.random.default_rng(num_envs).standard_normal((num_envs, 5), np.float32)
        before = observation.copy()
        filled = network.to_module(network.initial)
        assert_same(
            forward(observation), filled(torch.from_numpy(observation)), filled, observation
        )
        assert np.array_equal(
            observation, before
        )  # layers work in place, but not on what belongs to the caller


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky-relu"])
@pytest.mark.parametrize("norm", ["none", "plain", "affine"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("num_log_std", [0, 3])
@pytest.mark.parametrize("hidden_sizes", [(), (32, 16)])
def test_policy_of_an_actor_critic_equals_torch(
    activation: Activation, norm: str, shared: bool, num_log_std: int, hidden_sizes: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    architecture = Architecture(
        hidden_sizes,
        activation,
        "none" if norm == "none" else "layer",
        "sparse",
        norm_affine=norm == "affine",
    )
    actor_critic = ActorCritic(
        (5,), 3, architecture, shared=shared, num_log_std=num_log_std, initial_log_std=-0.5
    )
    network, forward = forward_of(actor_critic)
    network.initial.add_(0.1 * torch.randn_like(network.initial))
    for num_envs in (1, 7):
        observation = 3 * np.random.default_rng(num_envs).standard_normal((num_envs, 5), np.float32)
        before = observation.copy()
        output_EH = forward(observation)
        assert output_EH.shape == (num_envs, 3 + num_log_std)
        filled = network.to_module(network.initial)
        assert_same(output_EH, filled(torch.from_numpy(observation))[0], filled, observation)
        assert np.array_equal(observation, before)


def moved_away(network: Network) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Parameters and running statistics that no longer are ones and zeros."""
    parameters_P = network.initial + 0.1 * torch.randn_like(network.initial)
    statistics_Q = network.initial_statistics
    if statistics_Q is not None:
        statistics_Q = statistics_Q + 0.5 * torch.rand_like(statistics_Q)  # variances stay positive
    return parameters_P, statistics_Q


@pytest.mark.parametrize("actor_class", ACTORS)
@pytest.mark.parametrize("norm", ["none", "layer", "rms", "batch", "batch-renorm"])
@pytest.mark.parametrize("body", ["mlp", "residual", "residual-post-norm"])
@pytest.mark.parametrize("unit_weights", ["none", "all-and-norms"])
def test_norms_and_blocks_equal_torch_outside_training(
    actor_class: Any, norm: Any, body: Any, unit_weights: UnitWeights
) -> None:
    torch.manual_seed(0)
    architecture = Architecture(
        (16, 16), norm=norm, body=body, unit_weights=unit_weights, normalizes_input=True
    )
    network = Network([actor_class((5,), 3, architecture)], keeps_statistics=True)
    parameters_P, statistics_Q = moved_away(network)
    restore_norms_(network.module, network.unflatten(parameters_P), unit_weights)
    forward = numpy_forward(network.module, network.named_state(parameters_P, statistics_Q))
    assert forward is not None
    filled = network.to_module(parameters_P, statistics_Q)
    for num_envs in (1, 7):
        observation = 3 * np.random.default_rng(num_envs).standard_normal((num_envs, 5), np.float32)
        before = observation.copy()
        wanted = filled.eval()(torch.from_numpy(observation))
        scale = largest_intermediate(filled, torch.from_numpy(observation))
        pairs = zip(forward(observation), wanted, strict=True)
        for found, theirs in [(forward(observation), wanted)] if torch.is_tensor(wanted) else pairs:
            assert found.dtype == np.float32
            assert_close(found, theirs.numpy(), terms=longest_sum(filled), depth=8, scale=scale)
        assert np.array_equal(observation, before)


@pytest.mark.parametrize("norm", ["batch", "batch-renorm"])
def test_running_statistics_are_seen_as_they_change(norm: Any) -> None:
    torch.manual_seed(0)
    actor, observation = DeterministicActor((3,), 2, Architecture((8,), norm=norm)), np.ones((1, 3))
    network = Network([actor], keeps_statistics=True)
    parameters_P, statistics_Q = moved_away(network)
    assert statistics_Q is not None
    before = network.infer(parameters_P, observation, statistics_Q)
    statistics_Q.mul_(3)
    after = network.infer(parameters_P, observation, statistics_Q)
    assert not np.allclose(before, after)
    wanted = network.to_module(parameters_P, statistics_Q)(torch.from_numpy(observation))
    assert_close(after, wanted.numpy(), depth=8, scale=3)


def test_batch_norm_by_hand() -> None:
    actor = DeterministicActor((1,), 1, Architecture((1,), norm="batch"))
    network = Network([actor], keeps_statistics=True)
    named = {
        "body.0.weight": [[2.0]], "body.1.weight": [3.0], "body.1.bias": [0.5],
        "body.1.running_mean": [1.0], "body.1.running_var": [4.0 - 1e-3],
        "body.3.weight": [[0.25]], "body.3.bias": [0.125],
    }  # fmt: skip
    state = network.flatten_state({name: torch.tensor(value) for name, value in named.items()})
    forward = numpy_forward(network.module, network.named_state(*state))
    assert forward is not None
    # s = 1: (2 - 1) / 2 * 3 + 0.5 = 2, 0.25 * 2 + 0.125 = 0.625; s = 0: -1 becomes 0, 0.125
    assert_close(
        forward(np.array([[1.0], [0.0]], np.float32)), np.tanh([[0.625], [0.125]]), depth=8
    )


def test_log_std_is_seen_as_it_changes() -> None:
    network = Network([ActorCritic((2,), 2, Architecture(()), num_log_std=2)])
    vector_P, observation = network.initial.clone(), np.ones((3, 2), np.float32)
    assert not network.infer(vector_P, observation)[:, 2:].any()
    network.unflatten(vector_P)["log_std"].copy_(torch.tensor([-1.0, 0.5]))
    assert network.infer(vector_P, observation)[:, 2:].tolist() == [[-1, 0.5]] * 3


def test_normalized_observations_of_another_kind_are_taken_as_they_are() -> None:
    # A Normalizer gives float32 of what was stored as bytes: these are not divided by 255 again
    network = Network([ActorCritic((2,), 1, Architecture(()))])
    output = network.infer(network.initial, np.array([[0, 255]], np.uint8))
    again = network.infer(network.initial, np.array([[0, 1]], np.float32))
    assert_close(output, again)


@pytest.mark.parametrize("actor_class", ACTORS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "float64"])
def test_every_stored_dtype(actor_class: Any, dtype: str) -> None:
    torch.manual_seed(0)
    actor = actor_class((4, 2), 3, Architecture((16,)))
    _, forward = forward_of(actor)
    observation: Array = np.random.default_rng(0).integers(0, 256, (6, 4, 2)).astype(dtype)
    assert_same(forward(observation), actor(torch.from_numpy(observation)), actor, observation)


def test_by_hand() -> None:
    actor = DeterministicActor((1,), 1, Architecture((2,)))
    network, forward = forward_of(actor)
    network.initial.copy_(torch.tensor([1.0, -1.0, 0.5, 0.5, 2.0, 4.0, -1.0]))  # w1, b1, w2, b2
    # s = 0.25: hidden (0.75, 0.25), relu leaves both: 1.5 + 1 - 1 = 1.5, tanh 0.905148
    # s = 2: hidden (2.5, -1.5 -> 0): 5 - 1 = 4, tanh 0.999329
    assert_close(
        forward(np.array([[0.25], [2.0]], np.float32)), [[0.905148], [0.999329]], depth=4
    )  # six digits


def test_sees_changes_of_the_vector() -> None:
    network = Network([DeterministicActor((3,), 2, Architecture((8,)))])
    vector_P, observation = network.initial.clone(), np.ones((1, 3), np.float32)
    before = network.infer(vector_P, observation)
    vector_P.mul_(-0.5).add_(0.1)
    after = network.infer(vector_P, observation)
    assert not np.allclose(before, after)
    filled = network.to_module(vector_P)
    assert_same(after, filled(torch.from_numpy(observation)), filled, observation)
    assert np.array_equal(
        network.infer(network.initial, observation), before
    )  # another vector, another answer
    assert np.array_equal(network.infer(vector_P, observation), after)


class Louder(DeterministicActor):
    """A subclass may do anything in `forward`."""

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(observation)


@pytest.mark.parametrize(
    "module",
    [
        DeterministicActor((3,), 2, Architecture((8,), "gelu")),
        GaussianActor((3,), 2, Architecture((8,), "silu")),
        DeterministicActor((3,), 2, Architecture((8,), "silu", norm="layer")),
        Louder((3,), 2, Architecture((8,))),
        QCritic((3,), 2, Architecture((8,))),
        ActorCritic((3,), 2, Architecture((8,), "gelu")),
        ActorCritic((3,), 2, Architecture((8,), "silu"), shared=True),
        nn.Sequential(nn.Linear(3, 2), nn.Tanh()),
    ],
)
def test_leaves_other_modules_to_torch(module: nn.Module) -> None:
    assert forward_of(module)[1] is None


class Doubling(nn.Linear):
    """A layer that is no plain linear map, though it is an `nn.Linear`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(input)


@pytest.mark.parametrize("layer", [Doubling(3, 8), nn.Linear(3, 8, bias=False)])
def test_leaves_our_actor_with_other_layers_to_torch(layer: nn.Module) -> None:
    actor = DeterministicActor((3,), 2, Architecture((8,)))
    actor.body[0] = layer
    network, observation = Network([actor]), torch.ones(1, 3)
    assert_same(
        network.infer(network.initial, observation.numpy()),
        actor(observation),
        actor,
        observation.numpy(),
    )


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("hidden_sizes", [(), (32, 16)])
def test_choice_network_equals_torch(norm: Any, hidden_sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = ChoiceNetwork((5,), 3, Architecture(hidden_sizes, norm=norm))
    network, forward = forward_of(module)
    network.initial.add_(0.1 * torch.randn_like(network.initial))
    for num_envs in (1, 7):
        observation = 3 * np.random.default_rng(num_envs).standard_normal((num_envs, 5), np.float32)
        filled = network.to_module(network.initial)
        wanted = filled(torch.from_numpy(observation))
        assert_same(forward(observation), wanted, filled, observation)
