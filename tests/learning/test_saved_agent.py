"""Agents as data: saved, loaded, restored, copied."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from variants import DIFFERENT

from footlight.algorithms import config_class
from footlight.errors import UserError
from footlight.learning import saved_agent
from footlight.learning.agent import Agent
from footlight.learning.transport import as_array
from footlight.trees import tree_items

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS, CHOICE = gymnasium.spaces.Box(-2, 2, (2,), np.float32), gymnasium.spaces.Discrete(3)


def new_agent(algorithm: str = "sac", **fields: Any) -> Agent:
    known = config_class(algorithm).__dataclass_fields__
    small = {
        "buffer_size": 100, "batch_size": 4, "learning_starts": 4, "hidden_sizes": (8, 8),
        "normalize_observations": True, "updates_per_step": 1,
    }  # fmt: skip
    small = {name: value for name, value in small.items() if name in known}
    actions = CHOICE if algorithm in ("replay-actor-critic", "sac-discrete") else ACTIONS
    values = {"seed": 1, "compile": "off", "total_steps": 100, **small, **fields}
    return Agent(algorithm, OBSERVATIONS, actions, **values)


def learn(agent: Agent, steps: int = 20) -> Agent:
    world = np.random.default_rng(agent.num_steps)
    for step in range(steps):
        observation, successor = world.uniform(-1, 1, (2, 3)).astype(np.float32)
        action = agent.act(observation, explore=True)
        agent.observe(observation, action, float(world.normal()), successor, step % 7 == 6, False)
    return agent


def bits(agent: Agent) -> dict[str, bytes]:
    return {
        f"{group}.{name}": np.ascontiguousarray(array).tobytes()
        for group, arrays in saved_agent.groups(agent).items()
        for name, array in arrays.items()
    }


def copies(agent: Agent) -> list[Agent]:
    return [copy.copy(agent), copy.deepcopy(agent), pickle.loads(pickle.dumps(agent))]


@pytest.mark.parametrize("algorithm", DIFFERENT)
def test_copied_agent_learns_the_same_and_leaves_the_original_alone(algorithm: str) -> None:
    agent = learn(new_agent(algorithm))
    twins, before = copies(agent), bits(agent)
    expected = bits(learn(agent))
    for twin in twins:
        assert bits(twin) == before
        assert bits(learn(twin)) == expected


@pytest.mark.parametrize("algorithm", ["sac", "ppo"])
def test_loaded_agent_learns_the_same(algorithm: str, tmp_path: Path) -> None:
    agent = learn(new_agent(algorithm))
    agent.save(tmp_path / "agent")
    loaded = Agent.load(tmp_path / "agent", total_steps=100)
    assert bits(loaded) == bits(agent)
    assert bits(learn(loaded)) == bits(learn(agent))


def test_action_that_has_not_been_observed_yet_is_saved(tmp_path: Path) -> None:
    """What was drawn for it cannot be recovered from the action that was clipped."""
    agent, observation = new_agent("a2c"), np.zeros(3, np.float32)
    agent.act(observation, explore=True)
    agent.save(tmp_path / "agent")
    loaded = Agent.load(tmp_path / "agent")
    assert agent.pending is not None
    assert loaded.pending is not None
    assert np.array_equal(loaded.pending.given, agent.pending.given)
    assert np.array_equal(loaded.pending.decision.action, agent.pending.decision.action)
    saved_agent.restore(learn(agent, 1), tmp_path / "agent")
    assert agent.pending is not None


def test_restored_agent_is_as_it_was(tmp_path: Path) -> None:
    agent = learn(new_agent())
    agent.save(tmp_path / "agent")
    before = bits(agent)
    assert bits(learn(agent)) != before
    saved_agent.restore(agent, tmp_path / "agent")
    assert bits(agent) == before


def test_a_group_has_the_agents_own_arrays() -> None:
    agent = learn(new_agent())
    saved = saved_agent.groups(agent)["agent"]
    for name, leaf in tree_items(agent.state).items():
        assert np.shares_memory(saved[name], as_array(leaf)), name


def test_manifest_is_strict_json_and_says_what_the_agent_is() -> None:
    agent = new_agent(gamma=0.5, keep_gradients=True)
    saved = json.loads(json.dumps(saved_agent.manifest(agent), allow_nan=False))
    assert (saved["algorithm"], saved["seed"], saved["num_envs"]) == ("sac", 1, 1)
    assert saved["config"]["gamma"] == 0.5
    assert saved["keep_gradients"]
    assert not saved["compiled"]


def test_gradients_that_were_kept_are_kept_after_loading(tmp_path: Path) -> None:
    agent = learn(new_agent(keep_gradients=True))
    agent.save(tmp_path / "agent")
    loaded = Agent.load(tmp_path / "agent")
    assert loaded.execution.keep_gradients
    assert bits(loaded) == bits(agent)


def test_saving_never_replaces_anything_but_a_saved_agent(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists and is not a saved agent - nothing was written"):
        new_agent().save(tmp_path / "notes")
    assert [path.name for path in tmp_path.rglob("*")] == ["notes", "notes.txt"]


def test_loading_on_an_unknown_device_is_refused(tmp_path: Path) -> None:
    new_agent().save(tmp_path / "agent")
    with pytest.raises(UserError, match="device is 'gpu' - it must be cpu or cuda"):
        Agent.load(tmp_path / "agent", device="gpu")
