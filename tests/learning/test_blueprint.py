"""Rebuilding an algorithm: the same weights, shapes without numbers, and refused manifests."""

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from footlight.errors import UserError
from footlight.learning import saved_agent
from footlight.learning.agent import Agent
from footlight.learning.blueprint import networks_of, read_blueprint

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


class Own(torch.nn.Module):
    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = torch.nn.Linear(3, 2)


def agent_of(**fields: Any) -> Agent:
    return Agent("ddpg", OBSERVATIONS, ACTIONS, compile="off", hidden_sizes=(5,), **fields)


def manifest_of(agent: Agent, num_bytes: int) -> dict[str, Any]:
    stored = {"files": {"agent.safetensors": {"bytes": num_bytes}}}
    return {**saved_agent.manifest(agent), **stored, "groups": {"agent": "agent.safetensors"}}


def size_of(agent: Agent) -> int:
    return 4 * (len(agent.state.actor) + len(agent.state.critic))


def test_weights_depend_on_the_seed_alone() -> None:
    blueprint = agent_of(seed=3).blueprint
    torch.manual_seed(17)
    before = torch.get_rng_state()
    first, second = blueprint.build(), blueprint.build()
    other = replace(blueprint, seed=4).build()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.networks.actor.initial, second.networks.actor.initial)
    assert not torch.equal(first.networks.actor.initial, other.networks.actor.initial)


def test_shapes_need_no_memory() -> None:
    shapes = agent_of().blueprint.build_shapes()
    assert [name for name, _ in networks_of(shapes)] == ["actor", "critic"]
    for _, network in networks_of(shapes):
        assert network.initial.is_meta


def test_manifest_describes_the_same_algorithm() -> None:
    agent = agent_of(seed=5, gamma=0.5)
    found = read_blueprint(manifest_of(agent, size_of(agent)))
    assert found.config == agent.config
    assert (found.seed, found.network_name) == (5, None)
    assert torch.equal(found.build().networks.actor.initial, agent.networks.actor.initial)


def test_more_parameters_than_the_files_hold_are_refused() -> None:
    agent = agent_of()
    with pytest.raises(UserError, match=r"its config describes networks of [\d,]+ bytes"):
        read_blueprint(manifest_of(agent, size_of(agent) - 1))


def test_network_of_the_users_has_to_be_given_again() -> None:
    agent = agent_of(network=Own)
    manifest = manifest_of(agent, size_of(agent))
    with pytest.raises(UserError, match="trained with the network 'Own' - pass it again"):
        read_blueprint(manifest)
    assert read_blueprint(manifest, network=Own).network_name == "Own"
