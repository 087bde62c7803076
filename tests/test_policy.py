"""Policies elsewhere: copied, pickled, in other processes; and the keys of their modules."""

import copy
import multiprocessing
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

import footlight
from footlight.algorithms import a2c, config_class
from footlight.learning.agent import Agent
from tolerance import assert_close

OBSERVED, ACTED = (
    gymnasium.spaces.Box(-1, 1, (3,), np.float32),
    gymnasium.spaces.Box(-2, 2, (2,), np.float32),
)
CHOICE, BYTES = gymnasium.spaces.Discrete(3), gymnasium.spaces.Box(0, 255, (3,), np.uint8)
ZERO = np.zeros(3, np.float32)


class Parts(nn.Module):
    """A user's own network for on-policy algorithms, in two parts."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        outputs = int(getattr(action_space, "n", 0)) or action_space.shape[0]
        self.actor = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, outputs))
        self.critic = nn.Linear(3, 1)


class Whole(Parts):
    """The same with a forward."""

    def forward(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.actor(observation), self.critic(observation)


@dataclass(frozen=True)
class Mine(a2c.A2C):  # type: ignore[misc]
    """A user's own algorithm."""


class OffPolicy(nn.Module):
    """A user's own actor for td3; the critics are footlight's."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 2), nn.Tanh())


def trained(
    algorithm: Any, acted: Any = ACTED, seen: Any = OBSERVED, steps: int = 20, **fields: Any
) -> Agent:
    """An agent after some steps, with updates where the algorithm makes them so soon."""
    known = config_class(algorithm).__dataclass_fields__
    small = {
        "buffer_size": 100,
        "batch_size": 4,
        "learning_starts": 4,
        "hidden_sizes": (8, 8),
        "normalize_observations": True,
    }
    small = {name: value for name, value in small.items() if name in known}
    agent = Agent(
        algorithm, seen, acted, seed=1, compile="off", total_steps=100, **{**small, **fields}
    )
    learn(agent, steps)
    return agent


def learn(agent: Agent, steps: int) -> None:
    world = np.random.default_rng(agent.num_steps)
    for step in range(steps):
        seen, after = world.uniform(-1, 1, (2, 3)).astype(agent.spaces.observation_dtype)
        agent.observe(
            seen, agent.act(seen, explore=True), float(world.normal()), after, step % 7 == 6, False
        )


def copies(thing: Any) -> list[Any]:
    return [copy.copy(thing), copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))]


@pytest.mark.parametrize(
    ("algorithm", "network"), [("td3", OffPolicy), ("a2c", Parts), ("ppo", Whole), ("sac", None)]
)
def test_copied_policy_acts_and_samples_the_same(algorithm: str, network: Any) -> None:
    agent = trained(algorithm, network=network)
    agent.policy.act(ZERO, deterministic=False)  # its stream of samples has moved on
    twins = copies(agent.policy)
    wanted = agent.policy.act(ZERO), [agent.policy.act(ZERO, deterministic=False) for _ in range(3)]
    for twin in twins:
        found = twin.act(ZERO), [twin.act(ZERO, deterministic=False) for _ in range(3)]
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])
    learn(agent, 20)
    assert not np.array_equal(
        agent.policy.act(ZERO), wanted[0]
    )  # while the copies stay as they are
    assert all(np.array_equal(twin.act(ZERO), wanted[0]) for twin in twins)


def test_pickle_holds_names_and_arrays() -> None:
    """Neither a module travels, nor a tensor, whose pickle may share its memory between
    processes."""
    for thing in (trained("a2c", network=Parts), trained("a2c", network=Parts).policy):
        content = pickle.dumps(thing)
        assert b"torch" not in content
        assert b"test_policy" in content  # the module of the user's class, by name
        assert b"footlight.algorithms.a2c" in content


def test_own_algorithm_travels_as_it_is() -> None:
    agent = trained(Mine)
    for twin in copies(agent.policy):
        np.testing.assert_array_equal(twin.act(ZERO), agent.policy.act(ZERO))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_policy_acts_in_processes_of_a_pool(start: str) -> None:
    policy = trained("td3", network=OffPolicy).policy
    observations = [ZERO, ZERO + 0.5, np.stack([ZERO] * 100)]
    with multiprocessing.get_context(start).Pool(1) as pool:
        found = pool.map_async(policy.act, observations).get(120)
    for one, observation in zip(found, observations, strict=True):
        np.testing.assert_array_equal(one, policy.act(observation))


def test_errors_and_runs_travel(tmp_path: Path) -> None:
    for error in (
        footlight.errors.UserError("x"),
        footlight.errors.EnvironmentFault("x"),
        footlight.errors.Diverged("x"),
    ):
        assert str(pickle.loads(pickle.dumps(error))) == "x"  # one that does not would hang a pool
    run = footlight.Run(tmp_path, network=Parts)
    assert pickle.loads(pickle.dumps(run)) == run


@pytest.mark.parametrize(
    "acted", [CHOICE, ACTED]
)  # for continuous actions footlight adds a log_std
@pytest.mark.parametrize("network", [Parts, Whole])
def test_module_of_an_own_network_has_its_keys(network: Any, acted: Any) -> None:
    agent = trained("a2c", acted, network=network, normalize_observations=False)
    module = agent.policy.module()
    assert type(module) is network
    twin = network(OBSERVED, acted)
    twin.load_state_dict(module.state_dict())
    seen = torch.tensor([[0.3, -0.2, 0.9]])
    output = twin.actor(seen)
    mode = output.argmax(1) if acted is CHOICE else output.clamp(-1, 1) * 2
    assert_close(agent.policy.act(seen.numpy()), mode, terms=8, depth=2)
    agent.state.actor_critic.zero_()
    assert module.actor[0].weight.abs().sum() > 0  # a copy


def test_module_of_an_own_actor_has_the_actors_keys() -> None:
    agent = trained("td3", network=OffPolicy)
    twin = OffPolicy(OBSERVED, ACTED)
    twin.actor.load_state_dict(agent.policy.module().state_dict())
    assert all(
        torch.equal(a, b)
        for a, b in zip(twin.actor.parameters(), agent.policy.module().parameters(), strict=True)
    )


def test_module_without_an_own_actor_is_footlights() -> None:
    class Critic(nn.Module):
        def __init__(self, observation_space: Any, action_space: Any) -> None:
            super().__init__()
            self.critic = nn.Linear(3, 1)

    output, value = trained("a2c", CHOICE, network=Critic).policy.module()(torch.zeros(2, 3))
    assert (output.shape, value.shape) == ((2, 3), (2,))


@pytest.mark.parametrize("algorithm", ["sac", "td3", "a2c", "stream-ac"])
def test_empty_batches_and_tensors_are_taken(algorithm: str) -> None:
    agent = trained(algorithm)
    for act in (agent.policy.act, agent.act):
        assert np.shape(act(np.zeros((0, 3))))[0] == 0
        tracked = torch.zeros(3, requires_grad=True)
        assert np.array_equal(act(tracked), act(ZERO))
