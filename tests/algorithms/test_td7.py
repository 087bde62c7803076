"""TD7: generations of networks, the two policies, and assessments in real environments."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import footlight
from footlight.algorithms.td7 import TD7
from footlight.buffers.assessed import Occasion
from footlight.errors import UserError
from footlight.learning.agent import Agent
from footlight.storage import checkpoint
from footlight.trees import tree_items
from footlight.types import Minibatch

SEEN = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTED = gymnasium.spaces.Box(-2, 2, (2,), np.float32)
SMALL: dict[str, Any] = {
    "hidden_sizes": (8,), "embedding_size": 4, "batch_size": 8, "learning_starts": 10,
    "buffer_size": 500, "compile": "off", "copy_interval": 20,
}  # fmt: skip


def agent_of(**fields: Any) -> Agent:
    return Agent("td7", SEEN, ACTED, seed=1, **{**SMALL, **fields})


def feed(agent: Agent, *returns: float) -> None:
    """Episodes of ten steps, with these returns."""
    stream = np.random.default_rng(agent.num_steps)
    for total in returns:
        for step in range(10):
            observation, following = stream.uniform(-1, 1, (2, 3)).astype(np.float32)
            action = agent.act(observation, explore=True)
            agent.observe(observation, action, total / 10, following, False, step == 9)


def copied(agent: Agent) -> dict[str, torch.Tensor]:
    return {name: leaf.clone() for name, leaf in tree_items(agent.state).items()}


def test_copy_moves_each_generation_to_the_next() -> None:
    agent = agent_of(use_checkpoints=False, copy_interval=10_000)
    feed(agent, 1, 2, 3)
    algorithm: Any = agent.algorithm
    before, state = copied(agent), agent.state
    assert before["value_range"].tolist() == [0, 0]
    size = len(before["state_encoder"])
    assert not torch.equal(before["state_encoder"], before["actor"][:size])
    algorithm.copy(state, None, {})
    for name, source in {
        "target_actor": before["actor"], "target_critic": before["critic"],
        "target_action_encoder": before["fixed_action_encoder"],
        "fixed_action_encoder": before["action_encoder"], "value_range": before["extremes"],
    }.items():  # fmt: skip
        assert torch.equal(tree_items(state)[name], source), name
    assert torch.equal(state.actor[:size], before["state_encoder"])
    assert torch.equal(state.actor[size:], before["actor"][size:])
    for name in ("state_encoder", "action_encoder", "critic"):
        assert torch.equal(tree_items(state)[name], before[name]), name


def test_only_copies_change_the_fixed_encoders() -> None:
    agent = agent_of(use_checkpoints=False, copy_interval=10_000, weight_decay=0.1)
    before = copied(agent)
    feed(agent, 1, 2, 3)
    after, size = copied(agent), len(before["state_encoder"])
    assert agent.num_updates == 20
    assert torch.equal(after["actor"][:size], before["actor"][:size])
    assert not torch.equal(after["actor"][size:], before["actor"][size:])
    for name in ("fixed_action_encoder", "target_actor", "target_action_encoder", "target_critic"):
        assert torch.equal(after[name], before[name]), name


def test_before_the_first_copy_targets_are_rewards() -> None:
    agent = agent_of(use_checkpoints=False, copy_interval=10_000)
    feed(agent, 5, 5)
    assert agent.state.extremes.tolist() == pytest.approx([0.5, 0.5])


def test_which_update_is_due() -> None:
    algorithm: Any = agent_of(policy_delay=3).algorithm
    names = [algorithm.update_for(Minibatch(number)) for number in range(6)]
    assert names == ["critic", "critic", "critic_and_actor"] * 2
    assert [algorithm.update_for(each) for each in Occasion] == ["copy", "checkpoint"]
    assert algorithm.eager == {"copy", "checkpoint"}


def test_current_policy_explores_and_the_best_one_is_evaluated_and_saved(tmp_path: Path) -> None:
    agent = agent_of(exploration_noise=0.0)
    feed(agent, 0, 5)  # the second one makes the untrained policy the best
    best, seen = copied(agent)["checkpoint"], np.ones(3, np.float32)
    # The policy has since learned from the ten steps of its assessment
    assert not torch.equal(agent.state.actor, best)
    feed(agent, 1, 2)  # worse, twice
    assert torch.equal(agent.state.checkpoint, best)
    assert not np.array_equal(agent.act(seen, explore=True), agent.act(seen))
    agent.save(tmp_path / "agent")
    assert np.array_equal(footlight.load(tmp_path / "agent").act(seen), agent.act(seen))
    again = Agent.load(tmp_path / "agent")
    assert np.array_equal(again.act(seen, explore=True), agent.act(seen, explore=True))
    current = copied(agent)["actor"]
    feed(agent, 6)  # better
    assert torch.equal(agent.state.checkpoint, current)


def test_without_checkpoints_the_current_policy_is_evaluated() -> None:
    agent = agent_of(use_checkpoints=False, exploration_noise=0.0)
    feed(agent, 1, 2, 3)
    assert agent.state.checkpoint is None
    assert agent.policy.state.parameters is agent.state.actor
    seen = np.ones(3, np.float32)
    assert np.array_equal(agent.act(seen, explore=True), agent.act(seen))


def test_nothing_is_learned_before_learning_starts_and_during_an_assessment() -> None:
    agent = agent_of(learning_starts=15, early_episodes=2)
    updates = []
    for total in (0, 0, 3, 4, 5, 2):
        feed(agent, total)
        updates.append(agent.num_updates)
    # The assessment begins at step 20; a checkpoint, 20 updates and a copy at step 40; then 5 is
    # good so far, and 2 worse: 20 updates and a copy at step 60
    assert updates == [0, 0, 0, 22, 22, 43]


def test_diagnosis_is_that_of_the_evaluated_policy() -> None:
    agent = agent_of()
    feed(agent, 0, 5, 1, 2)
    algorithm: Any = agent.algorithm
    seen = torch.ones(2, 3)
    found = algorithm.diagnose(agent.state, seen)
    acted = agent.act(seen.numpy())
    assert found.mean.numpy() * 2 == pytest.approx(acted, abs=1e-5)
    assert found.value.shape == (2,)


def test_assessed_blocks() -> None:
    agent = agent_of()
    feed(agent, 0, 1, 2)
    assert agent.num_updates == 23  # two checkpoints, 20 updates, a copy
    assert np.isfinite(list(agent.metrics().values())).all()


class Short(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Pendulum with episodes of 20 to 40 steps."""

    def __init__(self) -> None:
        super().__init__(gymnasium.make("Pendulum-v1"))
        self.left = 0

    def reset(self, **options: Any) -> Any:
        found = super().reset(**options)
        self.left = int(self.unwrapped.np_random.integers(20, 41))  # type: ignore[attr-defined]
        return found

    def step(self, action: Any) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        self.left -= 1
        return observation, reward, terminated, self.left == 0, info


@pytest.mark.parametrize("steps", [130, 200])
def test_resumed_run_of_several_environments_equals_straight(steps: int, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        **SMALL, "num_envs": 2, "vectorization": "sync", "seed": 5, "eval_episodes": 0,
        "quiet": True, "early_episodes": 2, "late_phase_starts": 60, "preset": False,
        "learning_starts": 50,
    }  # fmt: skip
    footlight.train("td7", Short, steps=320, run_dir=tmp_path / "straight", **settings)
    footlight.train("td7", Short, steps=steps, run_dir=tmp_path / "resumed", **settings)
    footlight.resume(tmp_path / "resumed", steps=320, environment=Short, quiet=True)
    found = []
    for name in ("straight", "resumed"):
        folder = checkpoint.find(tmp_path / name)
        arrays = {
            f"{group}/{key}": array
            for group in ("policy", "agent", "buffer")
            for key, array in checkpoint.read_arrays(folder, group).items()
        }
        manifest = checkpoint.read_manifest(folder)
        found.append((arrays, manifest["buffer"], manifest["num_updates"], manifest["streams"]))
    assert found[0][1:] == found[1][1:]
    assert found[0][2] > 60
    for key, array in found[0][0].items():
        np.testing.assert_array_equal(found[1][0][key], array, err_msg=key)


def test_network_of_the_users_own_is_refused() -> None:
    with pytest.raises(UserError, match=r"td7 takes no network of your own - .* take td3"):
        agent_of(network=lambda *given: torch.nn.Linear(1, 1))


def test_images_are_learned_from() -> None:
    images = gymnasium.spaces.Box(0, 255, (2, 36, 36), np.uint8)
    agent = Agent("td7", images, ACTED, **{**SMALL, "use_checkpoints": False})
    stream = np.random.default_rng(0)
    for _ in range(13):
        observation, following = stream.integers(0, 256, (2, 2, 36, 36), np.uint8)
        action = agent.act(observation, explore=True)
        agent.observe(observation, action, 1.0, following, False, False)
    assert agent.num_updates == 3
    assert isinstance(agent.algorithm, TD7)
