"""Every algorithm satisfies the protocol, with the optional parts that it needs and no others."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from variants import VARIANTS

from footlight.algorithms import ALGORITHMS, config_class, find, protocol
from footlight.environments.spaces import describe
from footlight.networks.flat import Network
from footlight.types import Spaces

SACS = {"sac", *VARIANTS}
OPTIONAL: dict[type, set[str]] = {
    protocol.Choosing: {
        "a2c", "impala", "ppo", "reinforce", "replay-actor-critic", "sac-discrete", "td3", "td7",
        *SACS,
    },
    protocol.Exploring: {"ddpg", "replay-actor-critic", "sac-discrete", "td3", "td7", *SACS},
    protocol.Remembering: {"ddpg", "td3", "td7", *SACS},
    protocol.Collecting: {"td7"},
    protocol.Tracing: {"stream-ac"},
    protocol.Diagnosable: set(ALGORITHMS),
}  # fmt: skip


def spaces_of(name: str) -> Spaces:
    box = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    is_continuous = "box" in find(name).ACTIONS
    return describe(box, box if is_continuous else gymnasium.spaces.Discrete(3))


def bound(name: str) -> Any:
    return find(name).create(config_class(name)(), spaces_of(name))


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_algorithm_has_what_the_protocol_asks_for(name: str) -> None:
    algorithm = bound(name)
    state = algorithm.init(1)
    assert isinstance(algorithm.networks.policy, Network)
    assert algorithm.policy(state).parameters.shape == algorithm.networks.policy.initial.shape
    assert algorithm.updates
    assert len(set(algorithm.METRICS)) == len(algorithm.METRICS)
    for attribute, value in vars(algorithm.networks).items():
        if isinstance(value, Network):
            assert isinstance(getattr(state, attribute), torch.Tensor)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_optional_parts(name: str) -> None:
    algorithm = bound(name)
    found = {part for part in OPTIONAL if isinstance(algorithm, part)}
    assert found == {part for part, names in OPTIONAL.items() if name in names}


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_draws_are_declared_with_their_shapes(name: str) -> None:
    algorithm = bound(name)
    if isinstance(algorithm, protocol.Randomized):
        for draw in algorithm.draws(algorithm.buffer(1).batch).values():
            numbers = draw.empty()
            draw.fill(numbers, np.random.default_rng(0))
            assert np.isfinite(numbers).all()
            assert numbers.shape == draw.empty().shape


def test_update_names_are_unique_to_their_purpose() -> None:
    names = {name: tuple(bound(name).updates) for name in ALGORITHMS}
    assert names["replay-actor-critic"] == ("critic", "actor")
    assert names["ppo"] == ("first_minibatch", "minibatch")
    assert names["td3"] == ("critic_and_actor", "critic")
    assert names["td7"] == ("critic_and_actor", "critic", "copy", "checkpoint")
    assert names["ddpg"] == ("critic_and_actor",)
