"""Checks for a custom algorithm: training, compiling, resuming, acting, exporting."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import footlight
from footlight.learning import saved_agent
from footlight.learning.agent import Agent
from footlight.learning.policy import load
from footlight.trees import tree_items
from tolerance import assert_close

OBSERVATIONS = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTIONS = gymnasium.spaces.Box(-2, 2, (1,), np.float32)


class World:
    """Two environments of random observations, whose episodes end at different steps."""

    def __init__(self) -> None:
        self.random, self.time = np.random.default_rng(0), 0
        self.observation = self._draw()

    def _draw(self) -> Any:
        return self.random.standard_normal((2, 3)).astype(np.float32)

    def step(self, agent: Agent) -> dict[str, float]:
        """One step of the agent in both."""
        self.time += 1
        action, after = agent.act(self.observation, explore=True), self._draw()
        ended = np.array([self.time % 5 == 0, self.time % 7 == 0])
        reward = -np.abs(action.astype(np.float64) - 1).sum(-1)
        metrics = agent.observe(
            self.observation, action, reward, after, ended & (self.time % 2 == 0), ended
        )
        self.observation = np.where(ended[:, None], self._draw(), after)
        return metrics


def make(algorithm: Any, compile: Any = "off", **fields: Any) -> Agent:
    return Agent(algorithm, OBSERVATIONS, ACTIONS, seed=1, num_envs=2, compile=compile, **fields)


def run(agent: Agent, steps: int, world: World | None = None) -> World:
    world = World() if world is None else world
    for _ in range(steps):
        world.step(agent)
    return world


def bits(agent: Agent) -> dict[str, bytes]:
    """Everything that a checkpoint of the agent holds."""
    groups = saved_agent.groups(agent)
    return {f"{g}/{n}": np.asarray(a).tobytes() for g in groups for n, a in groups[g].items()}


def require_learning(algorithm: Any, **fields: Any) -> Agent:
    """It trains, and the compiled updates equal the eager ones to rounding."""
    eager, compiled = make(algorithm, **fields), make(algorithm, "on", **fields)
    before = {name: leaf.clone() for name, leaf in tree_items(eager.state).items()}
    for agent in (eager, compiled):
        run(agent, 20)
    assert eager.num_updates == compiled.num_updates > 3
    assert compiled.compiled
    changed = {
        name for name, leaf in tree_items(eager.state).items() if not leaf.equal(before[name])
    }
    assert changed
    assert "progress" not in changed
    for name, leaf in tree_items(eager.state).items():
        found = tree_items(compiled.state)[name]
        assert_close(found, leaf, terms=64, depth=400, message=name, scale=1.0)
    return eager


def require_resuming(algorithm: Any, tmp_path: Path, **fields: Any) -> None:
    """Saved between a decision and what followed it, and continued from disk: the same bits."""
    straight = make(algorithm, **fields)
    world = run(straight, 13)
    straight.act(world.observation, explore=True)
    straight.save(tmp_path / "agent")
    resumed, other = (
        Agent.load(tmp_path / "agent", algorithm=algorithm),
        run(make(algorithm, **fields), 13),
    )
    assert bits(resumed) == bits(straight)
    run(straight, 12, world)
    run(resumed, 12, other)
    assert bits(resumed) == bits(straight)
    loaded = load(tmp_path / "agent", algorithm=algorithm)
    saved_agent.restore(straight, tmp_path / "agent")
    np.testing.assert_array_equal(
        loaded.act(world.observation), straight.policy.act(world.observation)
    )


def require_run(algorithm: Any, tmp_path: Path, **fields: Any) -> Path:
    """Check that a stopped and resumed run ends with the policy of an uninterrupted one."""
    options: dict[str, Any] = {
        "num_envs": 2,
        "compile": "off",
        "quiet": True,
        "eval_episodes": 1,
        "eval_every": 40,
        **fields,
    }
    whole = footlight.train(
        algorithm, "Pendulum-v1", steps=80, run_dir=tmp_path / "whole", **options
    )
    part = footlight.train(algorithm, "Pendulum-v1", steps=40, run_dir=tmp_path / "part", **options)
    footlight.resume(part.folder, algorithm=algorithm, steps=80, quiet=True)
    policies = [load(run.folder, algorithm=algorithm).arrays() for run in (whole, part)]
    assert {n: a.tobytes() for n, a in policies[0].items()} == {
        n: a.tobytes() for n, a in policies[1].items()
    }
    assert (whole.folder / "evaluations.jsonl").read_text().count("\n") >= 2
    return Path(whole.folder)
