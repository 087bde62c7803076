"""Rounds: the same numbers as a slow loop, whatever is lost, stopped or resumed."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from collecting import RUNS, SMALL, InProcess, agent_for, collection_of, digests

import footlight
from footlight.collection.chunks import Task, at_step, stacked
from footlight.collection.collection import Collection, policy_arrays
from footlight.collection.collector import Collector
from footlight.errors import EnvironmentFault, UserError
from footlight.learning.agent import Agent
from footlight.learning.transport import as_array
from footlight.trees import tree_items

AGENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ppo": ("CartPole-v1", {"n_steps": 8, "minibatch_size": 16, "normalize_observations": True}),
    "a2c": ("CartPole-v1", {"n_steps": 5}),
    "impala": ("CartPole-v1", {"n_steps": 8}),
    "td3": ("Pendulum-v1", {"learning_starts": 290, "batch_size": 16, "n_steps": 3}),
}


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `train` have collectors in this process."""
    monkeypatch.setattr("footlight.training.parts.ProcessChannel", InProcess)
    InProcess.losses, InProcess.answered, InProcess.tasks = set(), 0, []


def begun(name: str, losses: Iterable[int] = ()) -> tuple[Agent, Collection]:
    environment, fields = AGENTS[name]
    collection = collection_of(environment, 2)
    agent = agent_for(collection, name, **fields)
    InProcess.losses = {*losses}
    collection.begin(agent)
    return agent, collection


def state_of(agent: Agent) -> dict[str, Any]:
    return {name: as_array(leaf).copy() for name, leaf in tree_items(agent.state).items()}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert [*one] == [*other]
    assert all(np.array_equal(one[name], other[name]) for name in one)


def slow_loop(name: str, num_rounds: int) -> Agent:
    """Round by round: all tasks, all chunks, all updates; one round ahead where that is allowed."""
    agent, collection = begun(name)
    buffer: Any = agent.buffer
    plan = collection._plan
    assert plan is not None
    steps = AGENTS[name][1]["n_steps"] if name != "td3" else 32
    positions: list[Any] = [{}, {}]
    policies = [policy_arrays(agent) for _ in range(1 + buffer.max_lag)]
    for number in range(num_rounds):
        task = Task(number, steps, 4 * steps * number, policies[number], {})
        chunks = []
        for index in (0, 1):
            collector = Collector(plan, index)
            collector.restore(positions[index])
            chunks.append(collector.collect(task))
        positions = [chunk.position for chunk in chunks]
        rows = stacked([(chunk.transition, chunk.decision) for chunk in chunks], along=1)
        for step in range(steps):
            agent.learn_from(*at_step(*rows, step))
        policies.append(policy_arrays(agent))
    return agent


@pytest.mark.parametrize("name", [*AGENTS])
def test_same_numbers_as_a_slow_loop(name: str) -> None:
    expected = slow_loop(name, 3 if name == "td3" else 5)
    agent, collection = begun(name)
    for _ in footlight.steps(agent, collection, expected.num_steps):
        pass
    assert agent.num_updates == expected.num_updates > 0
    assert_same(state_of(agent), state_of(expected))


@pytest.mark.parametrize("name", ["ppo", "td3"])
def test_same_numbers_whatever_is_lost(name: str) -> None:
    agent, collection = begun(name)
    for _ in footlight.steps(agent, collection, 400):
        pass
    other, disturbed = begun(name, losses={1, 4, 5, 9})
    for _ in footlight.steps(other, disturbed, 400):
        pass
    assert InProcess.answered > 9
    assert_same(state_of(agent), state_of(other))


def test_on_policy_methods_act_with_what_they_learn() -> None:
    """A task is made after the update before it; others are made one round ahead."""
    for name, lag in {"a2c": 0, "impala": 1}.items():
        agent, collection = begun(name)
        after = [policy_arrays(agent)["parameters"]]
        for _ in footlight.steps(agent, collection, 200):
            if agent.num_updates == len(after):
                after.append(policy_arrays(agent)["parameters"])
        acted = [task.policy["parameters"] for index, task in InProcess.tasks if index == 0]
        assert len(acted) > 4
        for number, parameters in enumerate(acted):
            assert np.array_equal(parameters, after[max(0, number - lag)])


def test_at_most_two_chunks_are_on_their_way() -> None:
    agent, collection = begun("impala")
    for step in footlight.steps(agent, collection, 300):
        asked = [task.number for index, task in InProcess.tasks if index == 0]
        consumed = step.number // (4 * 8)
        assert len(asked) - consumed <= 2


def test_updates_per_step_are_kept_exactly() -> None:
    agent, collection = begun("td3")
    for step in footlight.steps(agent, collection, 401):
        assert agent.num_updates == max(0, step.number - 290)
    assert agent.num_steps == 401


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", [*RUNS])
def test_a_resumed_run_has_the_same_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped in the middle of rounds, with another one on its way where that may be."""
    arguments = {**SMALL, **RUNS[name], "collectors": 2}
    footlight.train(name, run_dir=tmp_path / "whole", **arguments)
    calls, step = iter(range(1000)), Collection.step
    with monkeypatch.context() as patch:
        patch.setattr(
            Collection, "step", lambda *given: None if next(calls) in (43, 60) else step(*given)
        )
        stopped = footlight.train(name, run_dir=tmp_path / "parts", **arguments)
        assert stopped.result is not None
        per_round = arguments["num_envs"] * (32 if name == "td3" else arguments["n_steps"])
        assert stopped.result["status"] == "stopped"
        assert stopped.result["steps"] % per_round > 0
        footlight.resume(tmp_path / "parts", quiet=True)
    footlight.resume(tmp_path / "parts", quiet=True)
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")


@pytest.mark.usefixtures("in_process")
def test_a_run_that_is_continued_has_the_numbers_of_a_longer_one(tmp_path: Path) -> None:
    arguments = {**SMALL, **RUNS["td3"], "collectors": 2, "eval_every": 0, "checkpoint_every": 0}
    footlight.train("td3", run_dir=tmp_path / "whole", **{**arguments, "steps": 350})
    footlight.train("td3", run_dir=tmp_path / "parts", **{**arguments, "steps": 250})
    footlight.resume(tmp_path / "parts", steps=350, quiet=True)
    both = [digests(tmp_path / name) for name in ("whole", "parts")]
    assert both[0]["files"] == both[1]["files"]
    assert both[0]["episodes"] == both[1]["episodes"]


def test_after_a_rollback_others_are_explored() -> None:
    agent, collection = begun("a2c")
    before = collection.arrays()
    for _ in footlight.steps(agent, collection, 100):
        pass
    collection.rollbacks = 1
    collection.restore(before)
    positions = collection.arrays()
    for _ in footlight.steps(agent, collection, 200):
        pass
    first, again = (task for index, task in InProcess.tasks if index == 0 and task.number == 0)
    assert first is not again
    assert positions.keys() == before.keys()
    plan = collection._plan
    assert plan is not None
    plans = [replace(plan, rollbacks=number) for number in (0, 1)]
    chunks = [Collector(each, 0).collect(first) for each in plans]
    assert not np.array_equal(chunks[0].decision.action, chunks[1].decision.action)


def test_after_a_rollback_into_the_run_others_are_explored() -> None:
    agent, collection = begun("a2c")
    for _ in footlight.steps(agent, collection, 100):
        pass
    before = collection.arrays()
    collection.rollbacks = 2
    collection.restore(before)
    after = collection.arrays()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"collector.0.stream", "collector.1.stream"}


@pytest.mark.usefixtures("in_process")
def test_nothing_is_stepped_twice_or_lost_at_the_end() -> None:
    agent, collection = begun("ppo")
    rows = sum(1 for _ in footlight.steps(agent, collection, 101))
    assert agent.num_steps == 101
    assert rows == 26


class Restless(gymnasium.Env[Any, Any]):
    """Its episodes depend on nothing that could be saved."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return self.step(0)[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        Restless.count += 1
        observation = np.full(1, Restless.count / 1e4, np.float32)
        return observation, 1.0, False, Restless.count % 97 == 0, {}


def test_what_cannot_be_restored_is_cut_where_it_was_lost() -> None:
    collection = collection_of(Restless, 2)
    agent = agent_for(collection, "a2c", n_steps=5)
    InProcess.losses = {6}  # collector 1's third chunk
    collection.begin(agent)
    forgotten, told = list[list[int]](), list[list[int]]()
    agent.forget_episodes = forgotten.append  # type: ignore[method-assign]
    collection.on_not_restored = told.append
    for _ in footlight.steps(agent, collection, 200):
        pass
    assert [2, 3] in forgotten
    assert told == [[2, 3]]


def test_three_losses_in_a_row_are_a_fault() -> None:
    agent, collection = begun("a2c")
    InProcess.losses = {*range(1, 100)}
    with pytest.raises(EnvironmentFault, match=r"lost on purpose; that happened 3 times in a row"):
        for _ in footlight.steps(agent, collection, 100):
            pass


def test_a_stop_is_not_kept_waiting() -> None:
    agent, collection = begun("a2c")
    answers = iter([False, True])
    assert not [*footlight.steps(agent, collection, 100, should_stop=lambda: next(answers))]


@pytest.mark.parametrize(
    ("algorithm", "environment", "changes", "words"),
    [
        ("ppo", "CartPole-v1", {"num_envs": 3}, "num_envs 3 cannot be divided .* try num_envs 4"),
        ("reinforce", "CartPole-v1", {}, "reinforce cannot learn from chunks"),
        ("td7", "Pendulum-v1", {}, "td7 cannot learn from chunks"),
        ("a2c", gymnasium.make("CartPole-v1"), {}, "is one object, and each collector needs"),
        ("a2c", gymnasium.make_vec("CartPole-v1", 2), {}, "is one object"),
        (
            "a2c",
            lambda: gymnasium.wrappers.NormalizeObservation(gymnasium.make("CartPole-v1")),
            {},
            "NormalizeObservation has running statistics",
        ),
        ("a2c", "CartPole-v1", {"collectors": 0}, "collectors is 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_collected(
    algorithm: str, environment: Any, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    arguments = {"num_envs": 2, "collectors": 2, "steps": 100, **changes}
    with pytest.raises(UserError, match=words):
        footlight.train(
            algorithm, environment, preset=False, quiet=True, run_dir=tmp_path / "run", **arguments
        )
    assert not (tmp_path / "run").exists()
