"""A collector: chunks are functions of task and position; environments and streams are its own."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from collecting import agent_for, collection_of

from footlight.collection.chunks import Chunk, Task
from footlight.collection.collection import policy_arrays
from footlight.collection.collector import Collector, Plan
from footlight.environments.source import EnvironmentSource, Wanted
from footlight.errors import EnvironmentFault
from footlight.streams import derived_seed


def plan_for(
    environment: Any, algorithm: str, num_envs: int = 2, survives: bool = False, **fields: Any
) -> tuple[Plan, dict[str, Any]]:
    """A plan of two collectors, and what acts in it."""
    agent = agent_for(collection_of(environment, num_envs, seed=3), algorithm, **fields)
    source = EnvironmentSource.of(environment).configured()
    plan = Plan(source, Wanted(3, num_envs), agent.blueprint, 2, survives, False)
    return plan, policy_arrays(agent)


def assert_equal(one: Chunk, other: Chunk) -> None:
    for mine, theirs in zip(one.transition[:6], other.transition[:6], strict=True):
        assert np.array_equal(mine, theirs)
    assert np.array_equal(one.decision.action, other.decision.action)
    assert one.episodes == other.episodes
    assert [*one.position] == [*other.position]
    assert all(np.array_equal(one.position[name], other.position[name]) for name in one.position)


@pytest.mark.parametrize(
    ("environment", "algorithm", "fields"),
    [
        ("CartPole-v1", "ppo", {"n_steps": 8, "minibatch_size": 8}),
        ("Pendulum-v1", "sac", {"learning_starts": 60}),
        ("Pendulum-v1", "td3", {"exploration": "ornstein-uhlenbeck", "learning_starts": 0}),
    ],
)
def test_another_collector_continues_from_a_position(
    environment: str, algorithm: str, fields: dict[str, Any]
) -> None:
    plan, policy = plan_for(environment, algorithm, **fields)
    tasks = [Task(number, 20, 80 * number, policy, {}) for number in range(3)]
    first = Collector(plan, 1)
    chunks = [first.collect(task) for task in tasks]
    for number in (1, 2):
        second = Collector(plan, 1)
        assert second.restore(chunks[number - 1].position) == []
        assert_equal(second.collect(tasks[number]), chunks[number])


def test_environments_have_the_seeds_that_they_have_in_any_run() -> None:
    plan, policy = plan_for("CartPole-v1", "a2c", n_steps=5)
    trackers = [Collector(plan, index).environments.tracker for index in (0, 1)]
    seeds = [tracker.episode_seed(env) for tracker in trackers for env in (0, 1)]
    assert seeds == [derived_seed(3, "episode", env, 0) for env in range(4)]
    chunks = [Collector(plan, index).collect(Task(0, 30, 0, policy, {})) for index in (0, 1)]
    rewards = [chunk.transition.observation[0].tolist() for chunk in chunks]
    assert rewards[0] != rewards[1]
    numbers = {episode.env for step in chunks[1].episodes for episode in step}
    assert numbers
    assert numbers <= {2, 3}
    assert not np.array_equal(chunks[0].decision.action, chunks[1].decision.action)


def test_exploration_knows_how_far_the_run_is() -> None:
    """Random actions up to `learning_starts` steps of the whole run, which has 4 environments."""
    plan, policy = plan_for("Pendulum-v1", "td3", learning_starts=100, exploration_noise=0.0)
    before = Collector(plan, 0).collect(Task(0, 10, 60, policy, {})).decision.action
    after = Collector(plan, 0).collect(Task(0, 10, 100, policy, {})).decision.action
    across = Collector(plan, 0).collect(Task(0, 10, 80, policy, {})).decision.action
    assert np.abs(after).max() < 0.5 < np.abs(before).max()  # initial actors answer about zero
    assert np.abs(across[5:]).max() < 0.5


def test_values_that_have_changed_since_the_run_began() -> None:
    plan, policy = plan_for("Pendulum-v1", "td3", learning_starts=0, exploration_noise=0.0)
    still = Collector(plan, 0).collect(Task(0, 10, 0, policy, {})).decision.action
    noisy = Collector(plan, 0).collect(Task(0, 10, 0, policy, {"exploration_noise": 1.0}))
    assert np.abs(noisy.decision.action).max() > np.abs(still).max() + 0.3


def test_the_policy_and_its_statistics_are_those_of_the_task() -> None:
    plan, policy = plan_for(
        "CartPole-v1", "ppo", n_steps=8, minibatch_size=8, normalize_observations=True
    )
    rng = np.random.default_rng(0)  # a policy that depends on what it sees
    policy["parameters"] = rng.normal(size=policy["parameters"].shape).astype(np.float32)
    plain = Collector(plan, 0).collect(Task(0, 20, 0, policy, {}))
    others = {**policy, "normalizer.scale": 50 * policy["normalizer.scale"]}
    scaled = Collector(plan, 0).collect(Task(0, 20, 0, others, {}))
    assert not np.array_equal(plain.decision.action, scaled.decision.action)
    large = {**policy, "parameters": -policy["parameters"]}
    other = Collector(plan, 0).collect(Task(0, 20, 0, large, {}))
    assert not np.array_equal(plain.decision.action, other.decision.action)


class Failing(gymnasium.Env[Any, Any]):
    """Raises an error at the fourth step of the second episode of one environment."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self) -> None:
        self.steps, self.seed = 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.steps, self.seed = 0, seed or 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == 4 and self.seed == derived_seed(3, "episode", 3, 1):
            raise RuntimeError("the arm is stuck")
        return np.zeros(1, np.float32), 1.0, self.steps == 6, False, {}


def test_a_fault_has_the_number_of_its_environment_in_the_run() -> None:
    plan, policy = plan_for(Failing, "a2c", n_steps=5)
    with pytest.raises(EnvironmentFault, match=r"environment 3 failed at step 4.*stuck") as fault:
        Collector(plan, 1).collect(Task(0, 20, 0, policy, {}))
    assert fault.value.episode.env == 3
    assert fault.value.episode.actions.shape == (4,)


def test_a_fault_that_is_survived_is_told() -> None:
    plan, policy = plan_for(Failing, "a2c", survives=True, n_steps=5)
    chunk = Collector(plan, 1).collect(Task(0, 20, 0, policy, {}))
    assert [fault.episode.env for fault in chunk.faults] == [3]
    assert chunk.failed[9] == [3]
    assert sum(len(each) for each in chunk.failed) == 1
