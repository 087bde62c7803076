"""Policies and agents elsewhere: copied, pickled, in other processes; what they refuse; the keys of their modules."""

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
from footlight.algorithms import ALGORITHMS, a2c, config_class
from footlight.errors import UserError
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


# Copies


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_copied_agent_learns_the_same_and_leaves_the_original_alone(algorithm: str) -> None:
    agent = trained(algorithm, CHOICE if algorithm == "replay-actor-critic" else ACTED)
    twins, before = copies(agent), agent.groups()
    before = copy.deepcopy(before)
    learn(agent, 20)
    wanted = agent.groups()
    for twin in twins:
        for group, arrays in twin.groups().items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, before[group][name], err_msg=name)
        learn(twin, 20)
        for group, arrays in twin.groups().items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, wanted[group][name], err_msg=name)


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
    """Neither a tensor, whose pickle may share its memory between processes, nor a module travels."""
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


# What is refused


def ways(agent: Agent) -> list[Any]:
    return [
        agent.policy.act,
        agent.act,
        lambda seen: agent.act(seen, explore=True),
        agent.policy.predict,
    ]


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ([0, np.nan, 0], "observation[1] is nan"),
        ([0, 0, -np.inf], "observation[2] is -inf"),
        ([[0, 0, 0], [0, np.inf, 0]], "observation[1, 1] is inf"),
        (np.full((50, 3), np.nan), "observation[0, 0] is nan"),
        ([1e300, 0, 0], "observation[0] is inf"),
        (["a", "b", "c"], "dtype <U1"),
        ([1j, 0, 0], "dtype complex128"),
        (None, "dtype object"),
        ([[0], [0, 1]], "not an array"),
        ([0, 0], "shape (2,)"),
        (0.0, "shape ()"),
    ],
)
def test_act_refuses_what_training_refuses(observation: Any, words: str) -> None:
    for act in ways(trained("sac")):
        with pytest.raises(UserError) as refused:
            act(observation)
        assert words in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ([0, 256, 0], "observation[1] is 256"),
        ([0, 0, -1], "observation[2] is -1"),
        (np.array([0.5, 0, 0]), "observation[0] is 0.5"),
        (np.array([[0, 0, 0], [0, 0, np.nan]]), "observation[1, 2] is nan"),
    ],
)
def test_act_refuses_what_an_integer_space_cannot_hold(observation: Any, words: str) -> None:
    agent = trained("a2c", CHOICE, BYTES, normalize_observations=False)
    for act in ways(agent):
        with pytest.raises(UserError) as refused:
            act(observation)
        assert words in str(refused.value)
        assert "uint8" in str(refused.value)
    assert agent.act(np.array([1.0, 255.0, 0.0])) == agent.act(
        np.array([1, 255, 0], np.uint8)
    )  # the same numbers


@pytest.mark.parametrize("algorithm", ["sac", "td3", "a2c", "stream-ac"])
def test_empty_batches_and_tensors_are_taken(algorithm: str) -> None:
    agent = trained(algorithm)
    for act in (agent.policy.act, agent.act):
        assert np.shape(act(np.zeros((0, 3))))[0] == 0
        tracked = torch.zeros(3, requires_grad=True)
        assert np.array_equal(act(tracked), act(ZERO))


def test_observe_refuses_it_too() -> None:
    agent = trained("sac")
    with pytest.raises(UserError, match=r"observation\[1\] is nan"):
        agent.observe(
            ZERO, np.zeros(2, np.float32), 0.0, np.array([0, np.nan, 0], np.float32), False, False
        )


def test_large_finite_observations_are_taken() -> None:
    largest = np.full((2, 3), 1e30)  # whose squares are too large for float32
    assert np.isfinite(
        trained("ppo", normalize_observations=False).policy.act(largest * [[1], [-1]])
    ).all()


# Whose keys


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


def _threads_after(threads: int | None, policy: bytes) -> list[int]:
    """torch's threads in a forked process after it has unpickled a policy twice, with a choice of its own before or between."""
    if threads is not None:
        torch.set_num_threads(threads)
    pickle.loads(policy)
    found = [torch.get_num_threads()]
    torch.set_num_threads(3)
    pickle.loads(policy)
    return [*found, torch.get_num_threads()]


@pytest.mark.parametrize(("threads", "found"), [(None, [1, 3]), (3, [3, 3])])
def test_a_forked_process_keeps_its_own_choice_of_threads(
    threads: int | None, found: list[int]
) -> None:
    policy = pickle.dumps(Agent("a2c", OBSERVED, ACTED, hidden_sizes=(4,), compile="off").policy)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply_async(_threads_after, (threads, policy)).get(60) == found
    finally:
        torch.set_num_threads(before)
