"""`agent.evaluate` and `config=`: an agent of a hand-written loop."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.errors import UserError
from footlight.learning import saved_agent

SMALL: dict[str, Any] = {"compile": "off", "hidden_sizes": (8,), "total_steps": 200}


def new_agent(algorithm: str = "ppo", **fields: Any) -> footlight.Agent:
    env = gymnasium.make("CartPole-v1" if algorithm in ("ppo", "a2c") else "Pendulum-v1")
    return footlight.Agent(algorithm, env.observation_space, env.action_space, **SMALL | fields)


def learn(agent: footlight.Agent, environment: str, *, evaluates: bool) -> dict[str, bytes]:
    """The bits of an agent after a loop, with or without evaluations in the middle of episodes."""
    env = gymnasium.make(environment)
    observation, _ = env.reset(seed=0)
    for step in range(60):
        if evaluates and step % 13 == 7:
            agent.evaluate(environment, episodes=1, deterministic=step % 2 == 0)
        action = agent.act(observation, explore=True)
        if evaluates and step % 17 == 7:  # between `act` and `observe`
            agent.evaluate(environment, episodes=1)
        following, reward, terminated, truncated, _ = env.step(action)
        agent.observe(observation, action, reward, following, terminated, truncated)
        observation = env.reset()[0] if terminated or truncated else following
    arrays = saved_agent.groups(agent)
    bits = {
        f"{g}.{n}": np.asarray(a).tobytes() for g, own in arrays.items() for n, a in own.items()
    }
    return bits | {"streams": repr(agent.streams.positions()).encode()}


@pytest.mark.parametrize(
    ("algorithm", "fields"),
    [
        (
            "ppo",
            {
                "n_steps": 16,
                "minibatch_size": 8,
                "normalize_observations": True,
                "normalize_rewards": True,
            },
        ),
        ("td3", {"learning_starts": 10, "batch_size": 4, "exploration": "ornstein-uhlenbeck"}),
    ],
)
def test_evaluations_do_not_change_what_a_loop_learns(
    algorithm: str, fields: dict[str, Any]
) -> None:
    environment = "CartPole-v1" if algorithm == "ppo" else "Pendulum-v1"
    without = learn(new_agent(algorithm, **fields), environment, evaluates=False)
    assert learn(new_agent(algorithm, **fields), environment, evaluates=True) == without


def test_sampled_actions_of_the_agents_own_policy_are_not_shifted() -> None:
    agent, twin = new_agent(), new_agent()
    agent.evaluate("CartPole-v1", 1, deterministic=False)
    observation = np.zeros(4, np.float32)
    drawn = [[each.policy.act(observation, False) for _ in range(20)] for each in (agent, twin)]
    assert drawn[0] == drawn[1]


def test_same_seed_gives_the_same_evaluation_in_all_kinds_of_environments() -> None:
    agent = new_agent()
    first = agent.evaluate("CartPole-v1", 4, seed=5)
    assert isinstance(first, footlight.Evaluation)
    assert len(first.returns) == 4
    assert first.deterministic
    assert agent.evaluate(lambda: gymnasium.make("CartPole-v1"), 4, seed=5) == first
    assert agent.evaluate(gymnasium.make("CartPole-v1"), 4, seed=5) == first
    assert agent.evaluate("CartPole-v1", 4) == agent.evaluate("CartPole-v1", 4, agent.seed)
    sampled = agent.evaluate("CartPole-v1", 4, seed=5, deterministic=False)
    assert not sampled.deterministic
    envs = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    assert len(agent.evaluate(envs, 5, seed=5).returns) == 5


def test_object_stays_open_and_its_statistics_stay_as_they_are() -> None:
    env = gymnasium.wrappers.NormalizeReward(gymnasium.make("CartPole-v1"))
    env.reset(seed=0)
    env.step(0)
    before = float(env.return_rms.mean), float(env.return_rms.count)
    new_agent().evaluate(env, 2)
    assert (float(env.return_rms.mean), float(env.return_rms.count)) == before
    env.reset()
    env.step(0)
    assert float(env.return_rms.count) > before[1]


def test_other_spaces_and_no_episodes_are_refused() -> None:
    with pytest.raises(UserError, match="has other spaces than those of the agent"):
        new_agent().evaluate("Pendulum-v1")
    with pytest.raises(UserError, match="episodes"):
        new_agent().evaluate("CartPole-v1", episodes=0)


def test_episode_that_never_ends_is_cut_off() -> None:
    class Endless(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed: Any = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return np.zeros(4, np.float32), {}

        def step(self, action: Any) -> Any:
            return np.zeros(4, np.float32), 1.0, False, False, {}

    spaces = Endless.observation_space, Endless.action_space
    evaluation = footlight.Agent("ppo", *spaces, **SMALL).evaluate(Endless, 1)
    assert (evaluation.lengths, evaluation.unfinished) == ((1_000,), 1)


def test_config_object_is_overridden_by_keywords() -> None:
    config = footlight.A2CConfig(gamma=0.9, n_steps=3)
    agent = new_agent("a2c", config=config, gamma=0.8)
    assert (agent.config.gamma, agent.config.n_steps) == (0.8, 3)
    assert agent.config.hidden_sizes == (8,)
    assert config.gamma == 0.9


def test_config_of_another_algorithm_is_refused() -> None:
    with pytest.raises(UserError, match=r"a footlight.SACConfig, for sac .* footlight.A2CConfig"):
        new_agent("a2c", config=footlight.SACConfig())
    with pytest.raises(UserError, match=r"give footlight.A2CConfig\(...\)$"):
        new_agent("a2c", config="fields.toml")


def test_agent_saved_in_a_running_loop_continues_exactly(tmp_path: Path) -> None:
    agent = new_agent("td3", learning_starts=5, batch_size=4)
    learn(agent, "Pendulum-v1", evaluates=False)
    agent.save(tmp_path / "agent", environment="Pendulum-v1")
    loaded = footlight.Agent.load(tmp_path / "agent", total_steps=200)
    going = learn(agent, "Pendulum-v1", evaluates=False)
    assert learn(loaded, "Pendulum-v1", evaluates=True) == going
