"""Copies of agents, devices and arrays."""

import copy

import gymnasium
import numpy as np
import torch

from footlight.learning.agent import Agent
from footlight.learning.transport import as_array, to_device
from footlight.trees import tree_items

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


def feed(agent: Agent, steps: int, seed: int) -> None:
    world = np.random.default_rng(seed)
    for _ in range(steps):
        seen, following = world.uniform(-1, 1, (2, 3)).astype(np.float32)
        agent.observe(seen, agent.act(seen, explore=True), seen.sum(), following, False, False)


def bits(agent: Agent) -> dict[str, bytes]:
    return {name: as_array(leaf).tobytes() for name, leaf in tree_items(agent.state).items()}


def test_copied_agent_continues_to_the_same_bits_on_its_own() -> None:
    agent = Agent(
        "sac", OBSERVATIONS, ACTIONS, compile="off", hidden_sizes=(4,), batch_size=4,
        buffer_size=30, learning_starts=4, normalize_observations=True,
    )  # fmt: skip
    feed(agent, 10, 0)
    copied = copy.deepcopy(agent)
    before = bits(copied)
    feed(agent, 10, 1)
    assert bits(copied) == before != bits(agent)
    feed(copied, 10, 1)
    assert bits(copied) == bits(agent)


def test_array_shares_the_memory_of_a_tensor_on_the_cpu() -> None:
    tensor = torch.zeros(3, requires_grad=True)
    as_array(tensor)[1] = 5
    assert tensor.tolist() == [0, 5, 0]
    array = np.ones(2)
    assert as_array(array) is array


def test_to_device_moves_tensors_and_leaves_others() -> None:
    here = torch.ones(2)
    tree = {"a": {"b": here}, "c": np.ones(1)}
    same, moved = to_device(tree, torch.device("cpu")), to_device(tree, torch.device("meta"))
    assert same["a"]["b"] is here
    assert moved["a"]["b"].is_meta
    assert moved["c"] is tree["c"]
