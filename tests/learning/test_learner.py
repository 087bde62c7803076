"""What the learner does around updates: means of metrics, names, progress, priorities' rows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from footlight.algorithms.protocol import Outcome
from footlight.algorithms.td3 import TD3
from footlight.errors import UserError
from footlight.learning.agent import Agent
from tolerance import close

OBSERVATIONS = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-1, 1, (2,), np.float32)


def agent_of(algorithm: Any = "td3", **fields: Any) -> Agent:
    return Agent(
        algorithm, OBSERVATIONS, ACTIONS, compile="off", hidden_sizes=(4,), batch_size=4,
        buffer_size=50, learning_starts=4, **fields,
    )  # fmt: skip


def feed(agent: Agent, steps: int) -> None:
    world = np.random.default_rng(0)
    for _ in range(steps):
        seen, following = world.uniform(-1, 1, (2, 3)).astype(np.float32)
        agent.observe(seen, world.uniform(-1, 1, 2), seen.sum(), following, False, False)


def test_metrics_are_means_over_the_updates_that_returned_them() -> None:
    agent, latest = agent_of(policy_delay=2), []
    update = agent.learner.update

    def noted(*given: Any) -> None:
        update(*given)
        latest.append(agent.learner.latest())

    agent.learner.update = noted  # type: ignore[method-assign]
    feed(agent, 10)
    assert len(latest) == agent.num_updates == 6
    means = agent.metrics()
    assert means["critic_loss"] == close(np.mean([row["critic_loss"] for row in latest]), terms=6)
    # The actor learns in every other update, from the first; in between its last metric stays
    actor = [row["actor_loss"] for row in latest]
    assert actor[1::2] == actor[::2]
    assert means["actor_loss"] == close(np.mean(actor[::2]), terms=6)


def test_metrics_are_read_once_and_absent_without_updates() -> None:
    agent = agent_of()
    assert agent.metrics() == {}
    feed(agent, 6)
    assert set(agent.metrics()) == set(agent.algorithm.METRICS)
    assert agent.metrics() == {}


def test_metric_without_a_name_is_an_error() -> None:
    class Chatty(TD3):  # type: ignore[misc]
        @property
        def updates(self) -> Mapping[str, Any]:
            def update(*given: Any) -> Outcome:
                return Outcome({"mood": torch.zeros(())})

            return {"critic": update, "critic_and_actor": update}

    with pytest.raises(UserError, match="returned a metric 'mood' that METRICS does not name"):
        feed(agent_of(Chatty), 6)


def test_progress_is_the_share_of_the_run_that_was_over() -> None:
    agent = agent_of(learning_rate_schedule="linear", total_steps=40)
    feed(agent, 10)  # the last update learns from the step that began after nine
    assert agent.state.progress.item() == close(9 / 40)


def test_rows_per_update_are_those_of_the_batch() -> None:
    assert agent_of().learner.rows_per_update == 4
    ppo = Agent("ppo", OBSERVATIONS, ACTIONS, n_steps=8, minibatch_size=2, total_steps=9)
    assert ppo.learner.rows_per_update == 2


def test_priorities_reach_the_buffer_after_the_update_that_returned_them() -> None:
    given: list[np.ndarray] = []

    class Prioritizing(TD3):  # type: ignore[misc]
        def update_critic(self, state: Any, batch: Any, noise: Any) -> Outcome:
            outcome = TD3.update_critic(self, state, batch, noise)
            return replace(outcome, priorities=batch.reward.abs())

        def buffer(self, num_envs: int) -> Any:
            held = TD3.buffer(self, num_envs)
            held.reprioritize = given.append  # type: ignore[union-attr]
            return held

    agent = agent_of(Prioritizing)
    feed(agent, 9)
    # An update of critic and actor returns those of its critic
    assert agent.num_updates == len(given) == 5
    assert all(len(values) == 4 for values in given)
