"""The networks of TD7: their sizes, and what they are for observations of every kind."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from footlight.algorithms.embedded_networks import build_embedded_networks
from footlight.algorithms.td7 import Config
from footlight.environments.spaces import describe
from tolerance import assert_close

ACTIONS = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
NUMBERS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)


def test_sizes_of_the_paper() -> None:
    networks = build_embedded_networks(Config(), describe(NUMBERS, ACTIONS))
    wanted = {
        "state_encoder": [(256, 3), (256, 256), (256, 256)],
        "action_encoder": [(256, 256 + 2), (256, 256), (256, 256)],
        # The fixed encoder, the linear layer of the state, and the layers on both
        "actor": [
            (256, 3), (256, 256), (256, 256), (256, 3), (256, 256 + 256), (256, 256), (2, 256),
        ],
        "critic": [(256, 3 + 2), (256, 256 + 2 * 256), (256, 256), (1, 256)],
    }  # fmt: skip
    for name, shapes in wanted.items():
        found = getattr(networks, name).shapes
        lead = (2,) if name == "critic" else ()
        weights = [shape for path, shape in found.items() if path.endswith("weight")]
        assert weights == [lead + shape for shape in shapes], name
        assert len(found) == 2 * len(weights)
    assert networks.policy is networks.actor
    assert networks.num_actions == 2


def test_initialization_holds_for_all_layers() -> None:
    config = Config(hidden_sizes=(8,), embedding_size=4, initialization="orthogonal")
    networks = build_embedded_networks(config, describe(NUMBERS, ACTIONS))
    for name in ("state_encoder", "action_encoder", "actor", "critic"):
        network = getattr(networks, name)
        for path, view in network.unflatten(network.initial).items():
            if path.endswith("bias"):
                assert not view.any(), (name, path)
            else:  # columns or rows are orthogonal to each other
                weight = view[0] if name == "critic" else view
                weight = weight if weight.shape[0] <= weight.shape[1] else weight.mT
                product = weight @ weight.mT
                scale = float(product.diagonal().mean())
                wanted = scale * torch.eye(len(product))
                assert_close(product, wanted, terms=weight.shape[1], depth=20, scale=scale)


@pytest.mark.parametrize(
    "seen",
    [
        NUMBERS,
        gymnasium.spaces.Box(0, 255, (2, 40, 40), np.uint8),
        gymnasium.spaces.Discrete(5),
        gymnasium.spaces.Discrete(2_000),
        gymnasium.spaces.Dict(
            image=gymnasium.spaces.Box(0, 255, (2, 40, 40), np.uint8), place=NUMBERS
        ),
    ],
    ids=["numbers", "images", "choices", "embedded choices", "Dict"],
)
def test_actor_has_an_encoder_of_its_own_for_every_observation(seen: Any) -> None:
    spaces = describe(seen, ACTIONS)
    config = Config(hidden_sizes=(8,), embedding_size=4)
    networks = build_embedded_networks(config, spaces)
    actor_P = networks.actor.initial
    own = networks.state_encoder.unflatten(networks.encoder_of(actor_P))
    inside = networks.actor.unflatten(actor_P)
    assert all(torch.equal(view, inside[f"encoder.{name}"]) for name, view in own.items())
    observation = np.zeros((3, *spaces.observation_shape), spaces.observation_dtype)
    assert networks.actor.infer(actor_P, observation).shape == (3, 2)
