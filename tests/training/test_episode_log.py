"""The episode log of a hand-written loop."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import footlight
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.errors import UserError
from footlight.training.episode_log import EpisodeLog

STATE, CHOICE = gymnasium.spaces.Box(-1, 1, (1,), np.float32), gymnasium.spaces.Discrete(2)


def new_agent(num_envs: int = 1) -> footlight.Agent:
    return footlight.Agent("a2c", STATE, CHOICE, num_envs=num_envs, compile="off", n_steps=2)


def rows(folder: Path, log: str = "episodes") -> list[dict[str, Any]]:
    text = (folder / f"{log}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def make_step(agent: footlight.Agent, valid: Any = None) -> None:
    shape = (agent.num_envs, 1) if agent.num_envs > 1 else (1,)
    seen, none = np.zeros(shape, np.float32), np.zeros(agent.num_envs)
    agent.observe(seen, agent.act(seen, explore=True), none, seen, none, none, valid)


def test_rows_have_step_return_and_length(tmp_path: Path) -> None:
    agent = new_agent()
    log = EpisodeLog(tmp_path, agent)
    for step in range(1, 6):
        make_step(agent)
        episodes = log.add(float(step), step == 2, step == 5)
        assert len(episodes) == (step in (2, 5))
    assert rows(tmp_path) == [
        {"step": 2, "env": 0, "return": 3.0, "length": 2, "terminated": True},
        {"step": 5, "env": 0, "return": 12.0, "length": 3, "truncated": True},
    ]


def test_invalid_steps_of_vector_environments_are_not_counted(tmp_path: Path) -> None:
    agent = new_agent(num_envs=2)
    log = EpisodeLog(tmp_path, agent)
    ended = np.zeros(2, bool)
    for number in range(4):
        make_step(agent, ~ended)
        terminated = np.array([number == 1, number == 3])
        log.add(np.array([1.0, 2.0]), terminated, np.zeros(2, bool), valid=~ended)
        ended = terminated
    assert rows(tmp_path) == [
        {"step": 4, "env": 0, "return": 2.0, "length": 2, "terminated": True},
        {"step": 7, "env": 1, "return": 8.0, "length": 4, "terminated": True},
    ]


def test_same_rows_as_a_run(tmp_path: Path) -> None:
    """With the same agent, seeds and steps as the built-in loop."""
    options: dict[str, Any] = {"seed": 3, "compile": "off", "threads": 1}
    run = footlight.train(
        "a2c", "CartPole-v1", steps=300, num_envs=2, vectorization="sync", eval_episodes=0,
        quiet=True, preset=False, run_dir=tmp_path / "run", **options,
    )  # fmt: skip
    environments = EnvironmentSource.of("CartPole-v1").configured().make(Wanted(3, 2))
    environments.reset()
    spaces = environments.observation_space, environments.action_space
    agent = footlight.Agent("a2c", *spaces, num_envs=2, total_steps=300, **options)
    log = EpisodeLog(tmp_path / "agent", agent)
    for step in footlight.steps(agent, environments, total_steps=300):
        made = step.transition
        log.add(made.reward, made.terminated, made.truncated, made.valid)
    assert rows(tmp_path / "agent") == run.episodes() != []


def test_loaded_agent_continues_its_log_from_its_step(tmp_path: Path) -> None:
    agent = new_agent()
    log = EpisodeLog(tmp_path / "agent", agent)
    make_step(agent)
    log.add(1.0, True, False)
    agent.save(tmp_path / "agent")
    make_step(agent)
    log.add(2.0, True, False)
    with (tmp_path / "agent" / "episodes.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "ret')  # a kill
    loaded = footlight.Agent.load(tmp_path / "agent")
    log = EpisodeLog(tmp_path / "agent", loaded)
    make_step(loaded)
    log.add(5.0, True, False)
    assert [(row["step"], row["return"]) for row in rows(tmp_path / "agent")] == [(1, 1.0), (2, 5)]


def test_log_of_another_agent_is_not_overwritten(tmp_path: Path) -> None:
    agent = new_agent()
    make_step(agent)
    EpisodeLog(tmp_path, agent).add(1.0, True, False)
    with pytest.raises(UserError, match="a log is never overwritten"):
        EpisodeLog(tmp_path, new_agent())


def test_evaluations_are_logged_and_plotted(tmp_path: Path) -> None:
    env = gymnasium.make("CartPole-v1")
    agent = footlight.Agent("a2c", env.observation_space, env.action_space, compile="off")
    log = EpisodeLog(tmp_path / "agent", agent)
    evaluation = agent.evaluate(env, episodes=2)
    log.add_evaluation(evaluation)
    agent.save(tmp_path / "agent", environment=env)
    run = footlight.Run(tmp_path / "agent")
    assert run.evaluations() == [{"step": 0, **json.loads(json.dumps(evaluation.to_json()))}]
    run.plot(tmp_path / "curve.png")


def test_number_of_environments_has_to_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="num_envs=2"):
        EpisodeLog(tmp_path, new_agent(num_envs=2)).add(1.0, True, False)


def test_return_that_is_not_finite_is_none(tmp_path: Path) -> None:
    EpisodeLog(tmp_path, new_agent()).add(float("nan"), True, False)
    assert rows(tmp_path)[0]["return"] is None
