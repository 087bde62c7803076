"""Convolutions: choice of the torso, sizes, image layouts, channels-last parameters, bfloat16."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.networks.bodies import ActorCritic, Architecture, torso
from footlight.networks.cnn import AsImage, choose_torso
from footlight.networks.flat import Network
from tolerance import assert_close, longest_sum


@pytest.mark.parametrize(
    ("shape", "dtype", "chosen"),
    [
        ((4, 84, 84), "uint8", "nature"),
        ((96, 96, 3), "uint8", "nature"),
        ((4, 96, 96, 3), "uint8", "nature"),
        ((36, 36), "uint8", "nature"),
        ((35, 84), "uint8", "mlp"),  # too small for the three layers
        ((7, 7, 3), "uint8", "mlp"),
        ((128,), "uint8", "mlp"),
        ((4, 84, 84), "float32", "mlp"),
    ],
)
def test_auto_chooses_convolutions_for_images_of_bytes(
    shape: tuple[int, ...], dtype: str, chosen: str
) -> None:
    assert choose_torso("auto", shape, dtype) == chosen
    assert choose_torso("small", shape, dtype) == "small"


@pytest.mark.parametrize(("kind", "num_features"), [("nature", 64 * 7 * 7), ("small", 32 * 7 * 7)])
def test_features_of_an_atari_screen(kind: Any, num_features: int) -> None:
    layers, found = torso((4, 84, 84), Architecture((), torso=kind))
    assert found == num_features
    assert nn.Sequential(*layers)(torch.zeros(2, 4, 84, 84, dtype=torch.uint8)).shape == (
        2,
        num_features,
    )


def test_nature_by_its_numbers() -> None:
    layers, num_features = torso((4, 84, 84), Architecture((512,), torso="nature"))
    convolutions = [
        (c.out_channels, c.kernel_size[0], c.stride[0]) for c in layers if isinstance(c, nn.Conv2d)
    ]
    assert convolutions == [(32, 8, 4), (64, 4, 2), (64, 3, 1)]
    assert num_features == 512
    assert (
        sum(p.numel() for layer in layers for p in layer.parameters())
        == 8224 + 32832 + 36928 + 3136 * 512 + 512
    )


def test_all_layouts_give_the_same_image() -> None:
    color = torch.randint(0, 256, (2, 40, 50, 3), dtype=torch.uint8)
    expected = color.permute(0, 3, 1, 2) / 255
    assert_close(AsImage((40, 50, 3))(color), expected)
    assert_close(AsImage((3, 40, 50))(color.permute(0, 3, 1, 2)), expected)
    assert_close(AsImage((40, 50))(color[..., 0]), expected[:, :1])
    frames = torch.stack([color, 255 - color], 1)
    assert_close(AsImage((2, 40, 50, 3))(frames), torch.cat([expected, 1 - expected], 1))
    # Numbers other than bytes are not scaled
    assert_close(AsImage((3, 40, 50))(expected), expected)


@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        ((64, 40, 40), 64),  # more frames than the screen has rows
        ((40, 40, 64), 64),
        ((40, 40, 40), 40),
        ((84, 84, 4), 4),
        ((50, 40, 3), 3),
        ((3, 50, 40), 3),
    ],
)
def test_channels_are_told_from_height_and_width(shape: tuple[int, ...], channels: int) -> None:
    layers, _ = torso(shape, Architecture((), torso="small"))
    assert next(layer for layer in layers if isinstance(layer, nn.Conv2d)).in_channels == channels
    images = torch.rand(2, *shape)
    expected = images if shape[0] == channels else images.movedim(-1, 1)
    torch.testing.assert_close(AsImage(shape)(images), expected)


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        (
            "nature",
            (3, 20, 30),
            r"20 x 30 pixels with 3 channels .* which need 36 x 36 - use torso mlp, or larger",
        ),
        (
            "small",
            (3, 20, 30),
            r"20 x 30 pixels with 3 channels .* which need 29 x 29 - use torso mlp, or larger",
        ),
        ("nature", (9,), r"observations of shape \(9,\) are not images - use torso mlp"),
        (
            "nature",
            (30, 35, 1),
            r"30 x 35 pixels with 1 channel are too small .* - use torso small or mlp, or larger",
        ),
        (
            "nature",
            (7, 7, 3),
            r"7 x 7 pixels with 3 channels are too small .* - use torso mlp, or larger images",
        ),
    ],
)
def test_observations_without_images_are_refused(
    kind: Any, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        torso(shape, Architecture((), torso=kind))


def test_layer_norm_over_a_whole_layer() -> None:
    layers, _ = torso(
        (1, 40, 40), Architecture((4,), norm="layer", norm_affine=False, torso="small")
    )
    norms = [layer.normalized_shape for layer in layers if isinstance(layer, nn.LayerNorm)]
    assert norms == [(16, 18, 18), (32, 7, 7), (32, 2, 2), (4,)]


@pytest.mark.parametrize("shared", [True, False])
def test_parameters_travel_channels_last(shared: bool) -> None:
    module = ActorCritic(
        (2, 40, 40),
        3,
        Architecture((8,), torso="small", initialization="orthogonal"),
        shared=shared,
    )
    network = Network([module])
    observation = torch.randint(0, 256, (3, 2, 40, 40), dtype=torch.uint8)
    for mine, theirs in zip(
        network(network.initial, observation), module(observation), strict=True
    ):
        assert_close(mine, theirs, terms=longest_sum(module), depth=5)
    named = network.unflatten(network.initial)
    assert all(
        view.is_contiguous(memory_format=torch.channels_last)
        for view in named.values()
        if view.dim() == 4
    )
    assert torch.equal(network.flatten(named), network.initial)


def test_sparse_kernels() -> None:
    module = ActorCritic((2, 40, 40), 3, Architecture((8,), torso="small", initialization="sparse"))
    kernel = module.actor[1].weight
    assert kernel.shape == (16, 2, 5, 5)
    assert ((kernel.flatten(1) == 0).sum(1) == 45).all()  # nine tenths of 50


def test_bfloat16_is_close_and_gives_fp32() -> None:
    module = ActorCritic(
        (2, 40, 40), 3, Architecture((8,), torso="small", initialization="orthogonal"), shared=True
    )
    exact, rounded = Network([module]), Network([module], precision="bf16")
    observation = torch.randint(0, 256, (3, 2, 40, 40), dtype=torch.uint8)
    for mine, theirs in zip(
        rounded(rounded.initial, observation), exact(exact.initial, observation), strict=True
    ):
        assert mine.dtype == torch.float32
        assert not torch.equal(mine, theirs)
        # The output of each layer is rounded, while its sums are float32
        assert_close(mine, theirs, dtype=torch.bfloat16, depth=5)


SEEN, CHOICES = gymnasium.spaces.Box(0, 255, (2, 40, 40), np.uint8), gymnasium.spaces.Discrete(3)


@pytest.mark.parametrize(
    "algorithm",
    ["actor-critic", "a2c", "impala", "ppo", "reinforce", "replay-actor-critic", "stream-ac"],
)
def test_every_on_policy_algorithm_learns_from_images(algorithm: str) -> None:
    rollout = {"n_steps": 8, "minibatch_size": 4} if algorithm == "ppo" else {}
    replay = (
        {"buffer_size": 200, "batch_size": 4, "learning_starts": 4}
        if algorithm == "replay-actor-critic"
        else {}
    )
    agent = Agent(
        algorithm,
        SEEN,
        CHOICES,
        torso="small",
        hidden_sizes=(8,),
        compile="off",
        **rollout,
        **replay,
    )
    before, world = agent.state.actor_critic.clone(), np.random.default_rng(0)
    for step in range(40):
        seen, successor = world.integers(0, 256, (2, 2, 40, 40), dtype=np.uint8)
        agent.observe(
            seen, agent.act(seen, explore=True), float(step % 3), successor, step % 9 == 8, False
        )
    agent.finish()
    assert not torch.equal(agent.state.actor_critic, before)
    agent.learner.require_finite()
