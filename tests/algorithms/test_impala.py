"""Updates of IMPALA, computed by hand, and what it stores of the policy that acted."""

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from constant import named, on_policy, rollout

from footlight.algorithms.impala import Config
from footlight.algorithms.protocol import PolicyState
from footlight.buffers.trajectories import TrajectoryBatch
from footlight.errors import UserError
from footlight.learning.agent import Agent
from tolerance import assert_close, close

NOISE = {"entropy": torch.zeros(2, 0)}
SEEN = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
IMAGES = gymnasium.spaces.Box(0, 255, (2, 40, 40), np.uint8)
BOX, CHOICE = gymnasium.spaces.Box(-2, 2, (2,), np.float32), gymnasium.spaces.Discrete(3)


def agent_of(**fields: Any) -> Agent:
    return on_policy("impala", **({"n_steps": 2, "value_coef": 0.5} | fields))


def batch_of(mu: float) -> TrajectoryBatch:
    """`constant.rollout`, taken by a policy that chooses 0 with the probability mu."""
    rest = math.log((1 - mu) / 2)
    behavior = torch.tensor([math.log(mu), rest, rest]).expand(2, 1, 3)
    return TrajectoryBatch(*rollout(2, 1)[:-1], rows=torch.arange(2), behavior=behavior)


@pytest.mark.parametrize(
    ("mu", "rho_clip", "c_clip", "rho", "c"),
    [
        (0.5, 1.0, 1.0, 1.0, 1.0),  # on policy
        (0.8, 1.0, 1.0, 0.625, 0.625),
        (0.2, 1.0, 1.0, 1.0, 1.0),  # the ratio is 2.5
        (0.2, 2.0, 0.5, 2.0, 0.5),
    ],
)
def test_update_by_hand(mu: float, rho_clip: float, c_clip: float, rho: float, c: float) -> None:
    agent = agent_of(rho_clip=rho_clip, c_clip=c_clip)
    outcome = agent.algorithm.update_sequences(agent.state, batch_of(mu), NOISE)
    metrics = {name: value.item() for name, value in outcome.metrics.items()}
    # pi is 0.5 and V is 2. delta: rho (1 + 0.5 * 2 - 2) = 0 and rho (1 - 2) = -rho
    target_1 = 2 - rho
    target_0 = 2 + 0.5 * c * -rho
    advantage_0, advantage_1 = 1 + 0.5 * target_1 - 2, -1
    assert metrics["rho_mean"] == close(rho, depth=4)
    policy_loss = -rho * (advantage_0 + advantage_1) / 2 * math.log(0.5)
    assert metrics["policy_loss"] == close(policy_loss, depth=8)
    assert metrics["value_loss"] == close(
        ((target_0 - 2) ** 2 + (target_1 - 2) ** 2) / 2, depth=8, scale=4
    )
    after = named(agent.networks.actor_critic, agent.state.actor_critic)
    error = (target_0 - 2 + target_1 - 2) / 2  # the gradient of the value loss is -2 of it
    assert after["value"] == close([2 + 0.1 * 0.5 * 2 * error], depth=8)
    # The gradient of the logits is -rho advantage (onehot - p); rho has none of its own
    slope = rho * (advantage_0 + advantage_1) / 2
    expected = torch.tensor([2.0, 1.0, 1.0]).log() + 0.1 * slope * torch.tensor([0.5, -0.25, -0.25])
    assert after["logits"] == close(expected.tolist(), depth=16)


def test_lambda_shortens_the_trace() -> None:
    agent = agent_of(trace_lambda=0.0)
    outcome = agent.algorithm.update_sequences(agent.state, batch_of(0.5), NOISE)
    # v_0 = V = 2, v_1 = 1: the errors are 0 and -1
    assert outcome.metrics["value_loss"].item() == close(0.5, depth=4, scale=2)


def world_of(agent: Agent, steps: int, forget_at: int = -1) -> list[np.ndarray]:
    """Random steps; the outputs of the policy at each, before it learned from it."""
    world, outputs = np.random.default_rng(0), []
    observation = world.uniform(-1, 1, (2, 3)).astype(np.float32)
    for step in range(steps):
        shown = (
            observation if agent.normalizer is None else agent.normalizer.observation(observation)
        )
        found = agent.networks.actor_critic.infer(agent.state.actor_critic, shown)
        outputs.append(np.array(found[0] if isinstance(found, tuple) else found))
        action = agent.act(observation, explore=True)
        following = world.uniform(-1, 1, (2, 3)).astype(np.float32)
        ends = np.array([step % 3 == 2, False]), np.array([False, step % 4 == 3])
        agent.observe(observation, action, world.normal(size=2), following, *ends)
        observation = following
    return outputs


@pytest.mark.parametrize("space", [BOX, CHOICE, gymnasium.spaces.MultiDiscrete([2, 3])])
def test_behavior_is_what_the_action_was_drawn_from(space: gymnasium.Space[Any]) -> None:
    agent = Agent(
        "impala", SEEN, space, seed=1, num_envs=2, n_steps=4, num_epochs=2, num_minibatches=2,
        hidden_sizes=(8,), compile="off", learning_rate=0.1, normalize_observations=True,
    )  # fmt: skip
    outputs = world_of(agent, 12)
    assert agent.num_updates == 3 * 4
    assert np.array_equal(agent.buffer.batch.behavior, np.stack(outputs[8:]))
    assert not np.array_equal(outputs[0], outputs[8])


def test_first_minibatch_is_on_policy_and_later_ones_are_not() -> None:
    agent = Agent(
        "impala", SEEN, CHOICE, seed=1, num_envs=2, n_steps=4, num_epochs=3, compile="off",
        learning_rate=0.1, rho_clip=1e9,
    )  # fmt: skip
    means: list[float] = []
    update = agent.learner.update

    def noted(due: Any, stream: np.random.Generator) -> None:
        update(due, stream)
        named = zip(agent.algorithm.METRICS, agent.learner.reported.latest.tolist(), strict=True)
        means.append(dict(named)["rho_mean"])

    agent.learner.update = noted  # type: ignore[method-assign]
    world_of(agent, 8)
    assert len(means) == 6
    assert [means[0], means[3]] == close([1.0, 1.0], terms=8, depth=16)
    assert all(abs(mean - 1) > 1e-3 for index, mean in enumerate(means) if index % 3)


def test_learns_from_the_steps_of_an_older_policy() -> None:
    def fed(older: bool) -> Agent:
        agent = Agent(
            "impala", SEEN, CHOICE, seed=1, num_envs=2, n_steps=2, compile="off", rho_clip=1e9,
            learning_rate=0.1,
        )  # fmt: skip
        old = agent.state.actor_critic.clone()
        world_of(agent, 4)
        policy = PolicyState(old if older else agent.state.actor_critic)
        world, never = np.random.default_rng(1), np.zeros(2, bool)
        for _ in range(2):
            seen = world.uniform(-1, 1, (2, 3)).astype(np.float32)
            decision, _ = agent.algorithm.act(policy, None, seen, agent.streams.exploration)
            action = agent.policy.to_environment(decision.action)
            agent.observe(seen, action, np.ones(2), seen, never, never, decision=decision)
        return agent

    agents = fed(True), fed(False)
    ratios = [agent.metrics()["rho_mean"] for agent in agents]
    assert len(agents[0].buffer.batch.behavior) == 2
    assert ratios[0] != pytest.approx(ratios[1], abs=1e-3)


@pytest.mark.parametrize(("truncated_at", "name"), [(-1, "linked_sequences"), (1, "sequences")])
def test_values_of_the_next_row_stand_for_those_of_successors(truncated_at: int, name: str) -> None:
    def fed(linked: bool) -> Agent:
        agent = Agent(
            "impala", IMAGES, CHOICE, seed=1, num_envs=2, n_steps=4, num_minibatches=2,
            torso="small", hidden_sizes=(8,), compile="off",
        )  # fmt: skip
        names: list[str] = []
        update = agent.learner._name

        def noted(due: Any) -> str:
            names.append(update(due))
            return names[-1] if linked else "sequences"

        agent.learner._name = noted  # type: ignore[method-assign]
        world = np.random.default_rng(0)
        seen = world.integers(0, 256, (2, 2, 40, 40), dtype=np.uint8)
        for step in range(4):
            successor = world.integers(0, 256, seen.shape, dtype=np.uint8)
            ends = np.zeros(2, bool), np.array([False, step == truncated_at])
            agent.observe(seen, agent.act(seen, explore=True), np.ones(2), successor, *ends)
            seen = successor
        assert set(names) == {name}
        return agent

    found, plain = fed(True), fed(False)
    assert found.num_updates == 2
    # Three layers, forward and backward, twice
    assert_close(found.state.actor_critic, plain.state.actor_critic, terms=64, depth=12)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(UserError, match=r"c_clip 1.0 is larger than rho_clip 0.5 .* raise rho"):
        Config(rho_clip=0.5)
    with pytest.raises(UserError, match="minibatches of one step with normalize_advantage"):
        agent_of(n_steps=1, normalize_advantage=True)
    with pytest.raises(UserError, match="num_minibatches 2 does not divide num_envs 1"):
        agent_of(num_minibatches=2)


def test_actions_that_were_replaced_are_refused() -> None:
    agent = agent_of()
    seen = np.zeros(1, np.float32)
    action = agent.act(seen, explore=True)
    with pytest.raises(UserError, match="impala also learns from behavior of its own actions"):
        agent.observe(seen, (action + 1) % 3, 0.0, seen, False, False)
    with pytest.raises(UserError, match=r"not one that act\(\) returned"):
        agent.observe(seen, action, 0.0, seen, False, False)
