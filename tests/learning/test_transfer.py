"""What an agent takes over from a saved one, and what it refuses."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from own_examples import TorchA2C
from variants import VARIANTS, small

import footlight
from footlight.errors import UserError
from footlight.learning import saved_agent
from footlight.learning.transfer import initialize, learned
from footlight.storage import checkpoint
from footlight.trees import tree_items

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
BOX = gymnasium.spaces.Box(-2, 2, (1,), np.float32)
CHOICES = gymnasium.spaces.Discrete(2)
SMALL: dict[str, Any] = {"hidden_sizes": (4,), "compile": "off"}
REPLAY = {**SMALL, "batch_size": 4, "learning_starts": 4, "buffer_size": 40}


def agent_of(algorithm: str, seed: int = 0, actions: Any = BOX, **values: Any) -> footlight.Agent:
    given = (REPLAY if algorithm in ("sac", "td3", "ddpg", "td7") else SMALL) | values
    given |= small(algorithm) if algorithm in VARIANTS else {}
    return footlight.Agent(algorithm, OBSERVATIONS, actions, seed=seed, **given)


def trained(agent: footlight.Agent, steps: int = 24) -> footlight.Agent:
    stream = np.random.default_rng(0)
    for step in range(steps):
        observation, following = stream.uniform(-1, 1, (2, 3)).astype(np.float32)
        action = agent.act(observation, explore=True)
        agent.observe(observation, action, 1.0, following, step % 6 == 5, False)
    return agent


def saved(agent: footlight.Agent, folder: Path) -> Path:
    trained(agent).save(folder)
    return folder


LEARNED = {
    "sac": {"actor", "critic", "target_critic", "log_alpha"},
    "crossq": {"actor", "critic", "log_alpha", "actor_statistics", "critic_statistics"},
    "td3": {"actor", "critic", "target_actor", "target_critic"},
    "ddpg": {"actor", "critic", "target_actor", "target_critic"},
    "td7": {
        "state_encoder",
        "action_encoder",
        "actor",
        "fixed_action_encoder",
        "critic",
        "target_actor",
        "target_action_encoder",
        "target_critic",
        "checkpoint",
        "extremes",
        "value_range",
    },
    "a2c": {"actor_critic"},
    "impala": {"actor_critic"},
    "ppo": {"actor_critic"},
    "actor-critic": {"actor_critic"},
    "reinforce": {"actor_critic"},
    "stream-ac": {"actor_critic"},
    "replay-actor-critic": {"actor_critic", "target"},
    "sac-discrete": {"actor", "critic", "target_critic", "log_alpha"},
}


@pytest.mark.parametrize("algorithm", LEARNED)
def test_what_was_learned_is_taken_over_and_all_else_begins(algorithm: str, tmp_path: Path) -> None:
    has_one_choice = algorithm in ("replay-actor-critic", "sac-discrete")
    actions = CHOICES if has_one_choice else BOX
    values = {"learning_starts": 4, "n_steps": 8} if has_one_choice else {}
    if algorithm == "sac-discrete":
        values["batch_size"] = 4
    if algorithm in ("ppo", "a2c", "impala"):
        values = {"n_steps": 8} | ({"minibatch_size": 4} if algorithm == "ppo" else {})
    old = agent_of(algorithm, 1, actions, **values)
    fresh, new = (agent_of(algorithm, 2, actions, **values) for _ in range(2))
    folder = saved(old, tmp_path / "agent")
    origin = initialize(new, folder)
    assert (origin.step, origin.environment, origin.num_transitions) == (24, None, None)
    names = set(learned(new.algorithm, new.state))
    assert names == LEARNED[algorithm] | ({"target"} & {*tree_items(new.state)})
    before, now, begun = (tree_items(agent.state) for agent in (old, new, fresh))
    for name in before:
        assert torch.equal(now[name], (before if name in names else begun)[name]), name
    assert old.num_updates > 0
    assert (new.num_steps, new.num_updates) == (0, 0)
    observation = np.ones(3, np.float32)
    if algorithm != "stream-ac":  # which normalizes observations, as the next test shows
        assert np.array_equal(new.policy.act(observation), old.policy.act(observation))


@pytest.mark.parametrize("algorithm", ["sac", "ppo", "stream-ac"])
def test_statistics_of_the_normalizer_are_taken_over(algorithm: str, tmp_path: Path) -> None:
    values = {"normalize_observations": True, "normalize_rewards": True}
    old, new = (agent_of(algorithm, seed, **values) for seed in (1, 2))
    origin = initialize(new, saved(old, tmp_path / "agent"))
    assert origin.has_statistics
    assert origin.notices == ()
    assert old.normalizer is not None
    assert new.normalizer is not None
    for name, array in old.normalizer.arrays().items():
        in_progress = name == "normalizer.discounted_return"
        expected = np.zeros(1) if in_progress else array
        assert np.array_equal(new.normalizer.arrays()[name], expected), name
    observation = np.ones(3, np.float32)
    assert np.array_equal(new.policy.act(observation), old.policy.act(observation))


@pytest.mark.parametrize("before", [True, False])
def test_normalization_on_one_side_only_is_said(before: bool, tmp_path: Path) -> None:
    old, new = (
        agent_of("sac", normalize_observations=normalizes) for normalizes in (before, not before)
    )
    origin = initialize(new, saved(old, tmp_path / "agent"))
    assert not origin.has_statistics
    assert f"set normalize_observations {str(before).lower()}" in origin.notices[0]
    rewards = agent_of("sac", normalize_rewards=True, normalize_observations=before)
    assert not initialize(rewards, tmp_path / "agent").notices


def test_target_that_there_was_not_begins_as_its_network(tmp_path: Path) -> None:
    old, new = agent_of("sac", 1), agent_of("sac", 2, target_actor=True)
    initialize(new, saved(old, tmp_path / "agent"))
    assert torch.equal(new.state.target_actor, old.state.actor)
    back = agent_of("sac", 3)
    initialize(back, saved(new, tmp_path / "other"))  # one that is not needed is left out
    assert torch.equal(back.state.actor, new.state.actor)
    old, new = (
        agent_of("replay-actor-critic", seed, CHOICES, tau=tau, learning_starts=4, n_steps=8)
        for seed, tau in ((1, 1.0), (2, 0.5))
    )
    initialize(new, saved(old, tmp_path / "replay"))
    assert torch.equal(new.state.actor_critic, old.state.actor_critic)


def test_constant_temperature_is_that_of_the_config(tmp_path: Path) -> None:
    new = agent_of("sac", 2, learn_alpha=False, initial_alpha=0.25)
    initialize(new, saved(agent_of("sac", 1), tmp_path / "agent"))
    assert new.state.log_alpha.item() == pytest.approx(np.log(0.25))


def test_buffer_is_taken_over_where_it_is_asked_for(tmp_path: Path) -> None:
    old, new = agent_of("sac", 1), agent_of("sac", 2, buffer_size=10)
    origin = initialize(new, saved(old, tmp_path / "agent"), with_buffer=True)
    assert origin.num_transitions == 10
    arrays = [agent.buffer.arrays() for agent in (old, new)]
    assert np.array_equal(arrays[0]["rows.action"][-10:], arrays[1]["rows.action"])
    assert new.num_steps == 0
    trained(new, 6)
    assert new.num_updates == 2  # learning_starts counts the steps of this agent


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gamma": 0.5}, "for gamma 0.99, and here it is 0.5 - set gamma"),
        ({"n_steps": 3}, "for n_steps 1, and here it is 3"),
        ({"clip_reward": 1.0}, "for clip_reward None, and here it is 1.0"),
        ({"actions": gymnasium.spaces.Box(-3, 2, (1,), np.float32)}, "other bounds"),
    ],
)
def test_buffer_of_other_transitions_is_refused(
    values: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = saved(agent_of("sac", 1), tmp_path / "agent")
    initialize(agent_of("sac", **values), folder)
    with pytest.raises(UserError, match=words):
        initialize(agent_of("sac", **values), folder, with_buffer=True)


def test_rollout_length_is_no_property_of_the_transitions(tmp_path: Path) -> None:
    old, new = (
        agent_of("replay-actor-critic", 1, CHOICES, learning_starts=4, n_steps=n) for n in (8, 4)
    )
    folder = saved(old, tmp_path / "agent")
    assert initialize(new, folder, with_buffer=True).num_transitions == 24


def test_algorithm_without_replay_has_no_buffer_to_initialize(tmp_path: Path) -> None:
    folder = saved(agent_of("a2c", n_steps=8), tmp_path / "agent")
    with pytest.raises(UserError, match="a2c has no replay buffer to initialize"):
        initialize(agent_of("a2c"), folder, with_buffer=True)


def test_another_algorithm_is_refused_by_name(tmp_path: Path) -> None:
    folder = saved(agent_of("ddpg"), tmp_path / "agent")
    with pytest.raises(UserError, match=r"of ddpg - .* something else to td3 - train ddpg"):
        initialize(agent_of("td3", num_critics=1), folder)


def test_variants_of_one_class_take_over_from_each_other(tmp_path: Path) -> None:
    teacher = agent_of("tqc")
    saved(teacher, tmp_path / "agent")
    fields = {
        name: getattr(teacher.config, name)
        for name in ("critic", "num_critics", "hidden_sizes", "actor_hidden_sizes", "num_quantiles")
    }
    pupil = agent_of("sac", seed=1, **fields)
    initialize(pupil, tmp_path / "agent")
    assert torch.equal(pupil.state.critic, teacher.state.critic)
    with pytest.raises(UserError, match="does not fit this run - its networks differ"):
        initialize(agent_of("sac"), tmp_path / "agent")


def test_damaged_agent_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    folder, new, fresh = (
        saved(agent_of("sac", 1), tmp_path / "agent"),
        *(agent_of("sac", 2) for _ in range(2)),
    )
    file = next(folder.glob("agent*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match="is damaged"):
        initialize(new, folder)
    before, now = tree_items(fresh.state), tree_items(new.state)
    assert all(torch.equal(before[name], now[name]) for name in before)


def test_agent_that_is_saved_again_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = agent_of("sac", 1)
    folder, read = saved(old, tmp_path / "agent"), checkpoint.read_arrays

    def read_then_save(*given: Any) -> Any:
        found = read(*given)
        monkeypatch.setattr(checkpoint, "read_arrays", read)
        trained(old, 1).save(folder)
        return found

    monkeypatch.setattr(checkpoint, "read_arrays", read_then_save)
    with pytest.raises(UserError, match="changed while it was read"):
        initialize(agent_of("sac", 2), folder)


class Own(torch.nn.Module):
    width = 5

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        super().__init__()
        self.actor = torch.nn.Linear(3, 1)
        self.hidden = torch.nn.Linear(3, self.width)  # learns nothing: no part of either
        self.critic = Value(self.width)


class Value(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Linear(width, 1))

    def forward(self, observation: Any, action: Any) -> Any:
        return self.layers(torch.cat([observation, action], -1)).squeeze(-1)


class Wider(Own):
    width = 6


def test_own_network_is_taken_over_and_another_one_refused(tmp_path: Path) -> None:
    old = footlight.Agent("td3", OBSERVATIONS, BOX, seed=1, network=Own, **REPLAY)
    folder = saved(old, tmp_path / "agent")
    new = footlight.Agent("td3", OBSERVATIONS, BOX, seed=2, network=Own, **REPLAY)
    initialize(new, folder)
    assert torch.equal(new.state.critic, old.state.critic)
    wider = footlight.Agent("td3", OBSERVATIONS, BOX, network=Wider, **REPLAY)
    with pytest.raises(UserError, match=r"does not fit .* critic is \[\d+\] there and"):
        initialize(wider, folder)
    with pytest.raises(UserError, match="with the network 'Own'"):
        initialize(agent_of("td3"), folder)
    assert saved_agent.manifest(old)["network"] == "Own"


class Torch(TorchA2C):  # type: ignore[misc]
    """With a tensor of its own, one of the run, and a count."""

    transient = ("hidden",)

    def __init__(self, config: Any, spaces: Any) -> None:
        super().__init__(config, spaces)
        self.temperature, self.hidden, self.count = torch.zeros(1), torch.zeros(2), 0
        self.parts = {"normal": torch.nn.BatchNorm1d(3)}

    def update(self, batch: Any) -> Any:
        self.temperature += 1
        self.hidden += 1
        self.count += 1
        self.parts["normal"](batch.observation.flatten(0, 1))
        return super().update(batch)


def test_modules_and_tensors_of_ordinary_pytorch_are_taken_over(tmp_path: Path) -> None:
    old = footlight.Agent(Torch, OBSERVATIONS, CHOICES, seed=1, n_steps=4)
    path = saved(old, tmp_path / "old")
    new = footlight.Agent(Torch, OBSERVATIONS, CHOICES, seed=2, n_steps=8)
    assert initialize(new, path).step == 24
    before, now = (agent.algorithm.user for agent in (old, new))  # type: ignore[attr-defined]
    for name in ("policy", "critic"):
        pairs = zip(
            getattr(before, name).parameters(), getattr(now, name).parameters(), strict=True
        )
        assert all(torch.equal(*pair) for pair in pairs)
    assert now.parts["normal"].running_mean.equal(before.parts["normal"].running_mean)
    assert now.temperature.equal(before.temperature)
    assert (now.hidden.tolist(), now.count) == ([0.0, 0.0], 0)
    assert not now.optimizer.state
    assert now.scheduler.last_epoch == 0


def test_other_modules_of_ordinary_pytorch_are_named(tmp_path: Path) -> None:
    path = saved(footlight.Agent(Torch, OBSERVATIONS, CHOICES), tmp_path / "old")

    def other(**layers: torch.nn.Module) -> footlight.Agent:
        def init(self: Any, config: Any, spaces: Any) -> None:
            Torch.__init__(self, config, spaces)
            for name, layer in layers.items():
                setattr(self, name, layer)

        members = {"__init__": init, "__module__": __name__}
        return footlight.Agent(type("Torch", (Torch,), members), OBSERVATIONS, CHOICES)

    for agent, wrong in (
        (other(policy=torch.nn.Linear(3, 2)), r"policy\.state\.weight is missing there"),
        (
            other(critic=torch.nn.Linear(3, 1)),
            r"critic\.state\.0\.weight is \[64, 3\] there and mis",
        ),
    ):
        weights = agent.act(OBSERVATIONS.high)
        with pytest.raises(UserError, match=wrong):
            initialize(agent, path)
        assert agent.act(OBSERVATIONS.high) == weights
