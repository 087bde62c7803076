"""What is learned from: rows of replay buffers and rollouts, seen as the networks see them."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from footlight.diagnostics.samples import Rows, data_quantities, holds_newest, sampled
from footlight.learning.agent import Agent

SEEN, CHOICE = gymnasium.spaces.Box(-9, 9, (2,), np.float32), gymnasium.spaces.Discrete(2)
ACT = gymnasium.spaces.Box(-1, 1, (1,), np.float32)


def agent_of(algorithm: str, **fields: Any) -> Agent:
    action = ACT if algorithm == "td3" else CHOICE
    if algorithm == "td3":
        fields = {"buffer_size": 40, "batch_size": 4, "learning_starts": 10**6, **fields}
    return Agent(algorithm, SEEN, action, compile="off", hidden_sizes=(8, 8), **fields)


def feed(agent: Agent, count: int, reward: float = 2.0) -> None:
    for step in range(count):
        state = np.array([step, 1.0], np.float32)
        action = agent.act(state, explore=True)
        agent.observe(state, action, reward, state + 1, step % 10 == 9, False)


def test_ages_of_replay_rows_are_environment_steps() -> None:
    agent = agent_of("td3")
    feed(agent, 60)
    rows = sampled(agent, np.random.default_rng(0))
    assert rows is not None
    assert rows.ages is not None
    # The first number of an observation is the step at which it was made
    assert np.array_equal(59 - rows.observation[:, 0], rows.ages)
    assert rows.ages.max() < 40


def test_sampling_leaves_the_batch_and_the_streams_alone() -> None:
    agent = agent_of("td3", learning_starts=5)
    feed(agent, 20)
    before = [field.copy() for field in agent.buffer.batch]
    state = agent.streams.minibatch.bit_generator.state
    sampled(agent, np.random.default_rng(0))
    assert all(map(np.array_equal, before, agent.buffer.batch))
    assert agent.streams.minibatch.bit_generator.state == state


def test_empty_buffers_have_no_rows() -> None:
    for algorithm in ("td3", "a2c"):
        assert sampled(agent_of(algorithm), np.random.default_rng(0)) is None


def test_padding_of_records_is_no_part_of_an_observation() -> None:
    one = gymnasium.spaces.Box(-1, 1, (1,), np.float32)  # of 4 bytes, before a number of 8
    space = gymnasium.spaces.Tuple([one, gymnasium.spaces.Discrete(3)])
    agent = Agent(
        "sac-discrete", space, CHOICE, compile="off", hidden_sizes=(8,), buffer_size=40,
        batch_size=4, learning_starts=10**6,
    )  # fmt: skip
    for _ in range(30):
        seen = np.ones(1, np.float32), np.int64(1)
        agent.observe(seen, agent.act(seen, explore=True), 0.0, seen, False, False)
    rows = sampled(agent, np.random.default_rng(0))
    assert rows is not None
    padded = rows.observation.copy()
    assert padded.dtype.itemsize > sum(padded.dtype[name].itemsize for name in padded.dtype.names)
    padded.view(np.uint8).reshape(len(padded), -1)[...] = np.arange(len(padded))[:, None]
    for name in padded.dtype.names:
        padded[name] = rows.observation[name]
    found = data_quantities(agent, rows._replace(observation=padded))
    assert found["distinct_observations"] == 1 / len(padded)


def test_rows_of_a_rollout_are_its_steps() -> None:
    agent = agent_of("a2c", n_steps=30)
    feed(agent, 20)
    rows = sampled(agent, np.random.default_rng(0))
    assert rows is not None
    assert rows.ages is None
    assert rows.observation[:, 0].tolist() == [*range(20)]


def test_few_rows_say_nothing() -> None:
    agent = agent_of("a2c", n_steps=8)
    feed(agent, 20)
    assert sampled(agent, np.random.default_rng(0)) is None


def test_rollout_holds_the_newest_step() -> None:
    agent = agent_of("a2c", n_steps=8)
    feed(agent, 11)
    rollout = agent.buffer.batch

    def is_held(observation: list[float], *running: bool) -> bool:
        return holds_newest(rollout, np.array([observation], np.float32), np.array(running))

    assert is_held([11, 2], True)
    assert not is_held([2, 2], True)  # overwritten


def quantities(agent: Agent, **changes: Any) -> dict[str, float]:
    rows = Rows(
        observation=np.array([[1, 5], [2, 5], [3, 5], [4, 5]], np.float32),
        reward=np.array([1, 1, 1, -3], np.float32),
        discount=np.array([0.9, 0, 0.9, 0.9]),
    )
    return data_quantities(agent, rows._replace(**changes))


def test_quantities_of_known_rows() -> None:
    found = quantities(agent_of("a2c"))
    assert found["reward_mean"] == 0
    assert found["reward_std"] == np.sqrt(3)
    assert found["reward_max"] == 3
    assert found["reward_mode_share"] == 0.75
    assert found["terminal_share"] == 0.25
    assert found["constant_observations"] == 0.5
    assert found["distinct_observations"] == 1
    assert found["observation_max"] == 5


def test_bytes_are_seen_as_the_networks_see_them() -> None:
    images = np.full((4, 1, 2, 2), 51, np.uint8)
    found = quantities(agent_of("a2c"), observation=images)
    assert found["observation_max"] == pytest.approx(0.2)
    assert found["constant_observations"] == 1
    assert found["distinct_observations"] == 0.25


def test_rewards_are_scaled_as_in_training() -> None:
    agent = agent_of("a2c", normalize_rewards=True)
    assert agent.normalizer is not None
    agent.normalizer.reward_scale[:] = 0.5
    assert quantities(agent)["reward_max"] == 1.5


def test_rewards_are_clipped_as_in_training() -> None:
    assert quantities(agent_of("a2c", clip_reward=1.0))["reward_max"] == 1


def test_terminal_transitions_of_other_rows_are_unknown() -> None:
    assert "terminal_share" not in quantities(agent_of("a2c"), discount=None)
