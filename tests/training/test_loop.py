"""The public loop: its steps, its end, and what a hand-written loop makes of the same agent."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.errors import EnvironmentFault
from footlight.learning import saved_agent
from footlight.training.loop import PendingAction, Step

FIELDS: dict[str, Any] = {"hidden_sizes": (8,), "compile": "off"}


def agent_for(environments: Any, algorithm: str = "a2c", **fields: Any) -> footlight.Agent:
    spaces = environments.observation_space, environments.action_space
    count = environments.num_envs
    return footlight.Agent(algorithm, *spaces, num_envs=count, **FIELDS, **fields)


def step(previous: int, number: int, is_last: bool = False) -> Step:
    return Step(number, previous, is_last, None, [], {})  # type: ignore[arg-type]


def test_step_crosses_multiples_that_several_environments_skip() -> None:
    assert step(8, 12).crosses(10)
    assert step(8, 10).crosses(10)
    assert not step(10, 14).crosses(10)
    assert not step(8, 12).crosses(0)


@pytest.mark.parametrize(
    "given", [gymnasium.make("CartPole-v1"), gymnasium.make_vec("CartPole-v1"), "CartPole-v1"]
)
def test_environment_of_gymnasium_has_to_be_made_ready_first(given: Any) -> None:
    agent = agent_for(footlight.make_environments("CartPole-v1"), n_steps=5)
    with pytest.raises(footlight.UserError, match="make_environments"):
        next(footlight.steps(agent, given))


def test_loop_makes_exactly_total_steps_with_several_environments() -> None:
    environments = footlight.make_environments("CartPole-v1", num_envs=4, seed=1)
    agent = agent_for(environments, n_steps=5)
    seen = list(footlight.steps(agent, environments, 42))
    assert [each.number for each in seen] == [*range(4, 41, 4), 42]
    assert [each.previous for each in seen] == [0, *range(4, 41, 4)]
    assert [each.is_last for each in seen] == [False] * 10 + [True]
    assert seen[-1].transition.valid is not None
    assert seen[-1].transition.valid.tolist() == [True, True, False, False]
    assert agent.num_steps == 42
    assert agent.num_updates == 3  # the last one from a shorter rollout


def test_loop_without_total_steps_ends_when_asked_to_stop() -> None:
    environments = footlight.make_environments("CartPole-v1", seed=1)
    agent = agent_for(environments)
    answers = iter([False] * 7 + [True])
    assert len(list(footlight.steps(agent, environments, should_stop=lambda: next(answers)))) == 7


def test_loop_equals_act_step_observe_by_hand() -> None:
    agents = []
    for by_hand in (False, True):
        environments = footlight.make_environments("CartPole-v1", num_envs=2, seed=3)
        agent = agent_for(environments, n_steps=5)
        if by_hand:
            while agent.num_steps < 100:
                action = agent.act(environments.observation, explore=True)
                agent.observe(*environments.step(action))
            agent.finish()
        else:
            for _ in footlight.steps(agent, environments, 100):
                pass
        agents.append(agent)
    mine, theirs = (saved_agent.groups(agent)["agent"] for agent in agents)
    assert all(np.array_equal(mine[name], array) for name, array in theirs.items())


def test_loop_equals_train(tmp_path: Any) -> None:
    run = footlight.train(
        "a2c", "CartPole-v1", steps=100, preset=False, n_steps=5, eval_episodes=0, quiet=True,
        run_dir=tmp_path / "run", num_envs=2, vectorization="sync", **FIELDS,
    )  # fmt: skip
    environments = footlight.make_environments("CartPole-v1", num_envs=2)
    agent = agent_for(environments, n_steps=5, total_steps=100)
    episodes = [e for each in footlight.steps(agent, environments, 100) for e in each.episodes]
    trained = saved_agent.groups(footlight.Agent.load(run.folder))["agent"]
    own = saved_agent.groups(agent)["agent"]
    counted = {"metrics.totals", "metrics.counts"}  # `train` has read them for its log
    assert all(np.array_equal(own[name], trained[name]) for name in own.keys() - counted)
    assert sum(episode.length for episode in episodes) <= 100


class Fragile(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Fails at its fifth step."""

    count = 0

    def step(self, action: Any) -> Any:
        self.count += 1
        if self.count == 5:
            raise RuntimeError("cracked")
        return super().step(action)


def test_action_of_a_failed_step_is_pending_for_the_next_loop() -> None:
    environments = footlight.make_environments(lambda: Fragile(gymnasium.make("CartPole-v1")))
    agent, pending = agent_for(environments), PendingAction()
    with pytest.raises(EnvironmentFault, match="cracked"):
        list(footlight.steps(agent, environments, 20, pending=pending))
    assert agent.num_steps == 4
    assert pending.action is not None
    action = pending.action.copy()
    first = next(iter(footlight.steps(agent, environments, 20, pending=pending)))
    assert np.array_equal(first.transition.action, action)
    assert pending.action is None
