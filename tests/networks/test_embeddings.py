"""Encoders and the networks that see their embeddings: by hand, and in NumPy."""

from typing import Any

import numpy as np
import pytest
import torch

from footlight.networks.bodies import Activation, Architecture
from footlight.networks.embeddings import (
    ActionEncoder,
    EmbeddedActor,
    EmbeddedCritic,
    EmbeddingShapes,
    StateEncoder,
    average_l1_norm,
)
from footlight.networks.flat import Network
from footlight.networks.numpy_forward import numpy_forward
from footlight.trees import Leaf
from tolerance import assert_close, largest_intermediate, longest_sum


def shapes_of(
    activation: Activation = "elu", hidden_sizes: tuple[int, ...] = (6,), leaf: Leaf | None = None
) -> EmbeddingShapes:
    return EmbeddingShapes(
        num_observed=3, num_actions=2, size=4, leaves={} if leaf is None else {"": leaf},
        architecture=Architecture(hidden_sizes, activation),
        of_actor=Architecture(hidden_sizes, "relu"),
    )  # fmt: skip


def test_average_l1_norm_by_hand() -> None:
    x = torch.tensor([[1.0, -3.0, 2.0], [0.0, 0.0, 0.0], [1e-10, 0.0, -2e-10]])
    found = average_l1_norm(x)
    assert_close(found[0], torch.tensor([0.5, -1.5, 1.0]))
    assert found[1].tolist() == [0, 0, 0]
    assert_close(found[2], torch.tensor([1e-2, 0.0, -2e-2]))  # a mean of 1e-10 counts as 1e-8
    assert_close(average_l1_norm(7 * x[:1]), found[:1])


def test_average_l1_norm_against_a_loop() -> None:
    x = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    wanted = [[v / (sum(abs(w) for w in row) / 7) for v in row] for row in x]
    assert_close(average_l1_norm(torch.from_numpy(x)), np.array(wanted, np.float32), terms=7)


def test_critic_sees_all_four_inputs_and_actor_both() -> None:
    torch.manual_seed(0)
    shapes = shapes_of()
    inputs = [torch.randn(5, size, requires_grad=True) for size in (3, 2, 4, 4)]
    values = EmbeddedCritic(shapes)(*inputs)
    assert values.shape == (5,)
    gradients = torch.autograd.grad(values.sum(), inputs)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    actions = EmbeddedActor(shapes)(inputs[0], inputs[2])
    assert actions.shape == (5, 2)
    assert actions.abs().max() < 1
    gradients = torch.autograd.grad(actions.sum(), [inputs[0], inputs[2]])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert ActionEncoder(shapes)(inputs[2], inputs[1]).shape == (5, 4)


def test_state_embedding_has_a_mean_size_of_one() -> None:
    torch.manual_seed(0)
    embedding = StateEncoder(shapes_of())(torch.randn(6, 3))
    assert_close(embedding.abs().mean(-1), torch.ones(6), terms=4)


def test_actor_begins_with_its_encoder_which_it_asks_where_no_embedding_is_given() -> None:
    torch.manual_seed(0)
    shapes = shapes_of()
    actor, encoder = Network([EmbeddedActor(shapes)]), Network([StateEncoder(shapes)])
    observation, own_P = torch.randn(5, 3), actor.initial[: encoder.initial.numel()]
    embedding = encoder(own_P, observation)
    assert torch.equal(
        actor(actor.initial, observation), actor(actor.initial, observation, embedding)
    )
    mask = actor.mask("encoder")
    assert mask[: len(own_P)].all()
    assert not mask[len(own_P) :].any()


@pytest.mark.parametrize("activation", ["elu", "relu", "tanh"])
@pytest.mark.parametrize("hidden_sizes", [(), (6,), (8, 5)])
@pytest.mark.parametrize(
    "leaf", [None, Leaf(shape=(3,), dtype="float32"), Leaf(shape=(3,), dtype="uint8")]
)
def test_numpy_equals_torch(
    activation: Activation, hidden_sizes: tuple[int, ...], leaf: Leaf | None
) -> None:
    torch.manual_seed(0)
    actor = EmbeddedActor(shapes_of(activation, hidden_sizes, leaf))
    network = Network([actor])
    forward: Any = numpy_forward(actor, network.unflatten(network.initial))
    stream = np.random.default_rng(0)
    for num_envs in (1, 7):
        observation = stream.uniform(-3, 3, (num_envs, 3)).astype(np.float32)
        if leaf is not None and leaf.dtype == "uint8":
            observation = stream.integers(0, 256, (num_envs, 3)).astype(np.uint8)
        before = observation.copy()
        found = forward(observation)
        assert found.dtype == np.float32
        given = torch.from_numpy(observation)
        scale = largest_intermediate(actor, given)
        assert_close(found, actor(given), terms=longest_sum(actor), depth=6, scale=scale)
        assert np.array_equal(observation, before)
    network.initial.mul_(0.5)  # views follow the parameters
    assert not np.array_equal(forward(before), found)


def test_only_torch_runs_images_and_activations_that_numpy_does_not_know() -> None:
    image = Leaf(shape=(1, 36, 36), dtype="uint8")
    for shapes in (shapes_of("gelu"), shapes_of(leaf=image)):
        network = Network([EmbeddedActor(shapes)])
        assert numpy_forward(network.module, network.unflatten(network.initial)) is None
