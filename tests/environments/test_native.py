"""Native vector environments: Gymnasium's CartPole equals the single one; the EnvPool wrapper."""

import sys
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from footlight.environments import native
from footlight.environments.make import make
from footlight.environments.vector import VectorEnvironments
from footlight.errors import UserError
from footlight.types import Array, Transition
from tolerance import assert_close


def cartpoles(num_envs: int, seed: int = 7, name: str = "CartPole-v1") -> VectorEnvironments:
    environments = make(name, seed, num_envs, vectorization="native")
    assert isinstance(environments, VectorEnvironments)
    environments.reset()
    return environments


def balanced(observation: Array) -> Array:
    """Pushes towards where the pole falls: this holds it for ever."""
    return (
        observation[:, 2] + observation[:, 3] + 0.05 * (observation[:, 0] + observation[:, 1]) > 0
    ).astype(np.int64)


def play(
    environments: VectorEnvironments, num_steps: int, *, well: bool = False
) -> list[Transition]:
    generator, steps = np.random.default_rng(0), []
    for _ in range(num_steps):
        observation = environments.observation
        steps.append(
            environments.step(
                balanced(observation) if well else generator.integers(0, 2, environments.num_envs)
            )
        )
    return steps


def test_cartpole_uses_gymnasiums_vector_class() -> None:
    environments = cartpoles(5)
    assert type(environments.env).__name__ == "CartPoleVectorEnv"
    assert environments.mode == AutoresetMode.NEXT_STEP


def test_actions_are_not_checked_at_every_step() -> None:
    env: Any = cartpoles(5).env
    assert env.action_space == gymnasium.make_vec("CartPole-v1", 5).action_space
    assert env.action_space.contains(np.full(5, 2))
    assert env.single_action_space.contains(2) is False
    assert env.action_space.sample().shape == (5,)


def test_cartpole_equals_the_single_environment() -> None:
    single: Any = gymnasium.make("CartPole-v1").unwrapped
    single.reset()
    ends = 0
    for step in play(cartpoles(4), 150):
        for env in range(4):
            if step.valid is not None and not step.valid[env]:
                assert (step.terminated[env], step.truncated[env]) == (False, False)
                continue
            single.state, single.steps_beyond_terminated = (
                step.observation[env].astype(np.float64),
                None,
            )
            observed, reward, terminated, _, _ = single.step(int(step.action[env]))
            assert_close(
                step.next_observation[env], observed, terms=4, scale=1
            )  # of velocities; positions are sums with 0.02 of them
            assert (step.reward[env], step.terminated[env]) == (reward, terminated)
            ends += int(terminated)
    assert ends > 10


@pytest.mark.parametrize(("name", "limit"), [("CartPole-v1", 500), ("CartPole-v0", 200)])
def test_cartpole_is_truncated_at_the_time_limit_with_its_true_last_observation(
    name: str, limit: int
) -> None:
    environments = cartpoles(3, name=name)
    steps = play(environments, 2 * limit + 3, well=True)
    truncated = [index + 1 for index, step in enumerate(steps) if step.truncated.any()]
    assert truncated == [limit, 2 * limit + 1]  # one step in between only resets
    last, resetting, first = steps[limit - 1 : limit + 2]
    assert last.truncated.all()
    assert not last.terminated.any()
    assert (
        np.abs(last.next_observation - last.observation).max() < 0.5
    )  # one step on, not back at the start
    assert np.array_equal(resetting.observation, last.next_observation)
    assert resetting.valid is not None
    assert not resetting.valid.any()
    assert first.valid is None
    assert np.abs(first.observation).max() <= 0.05
    assert environments.tracker.index.tolist() == [2, 2, 2]


def test_transitions_are_not_changed_by_later_steps() -> None:
    environments = cartpoles(4)
    kept = [(step, [np.array(array) for array in step[:6]]) for step in play(environments, 40)]
    for step, copies in kept:
        assert all(
            np.array_equal(array, copy) for array, copy in zip(step[:6], copies, strict=True)
        )
    for (before, _), (after, _) in pairwise(kept):
        continues = ~(before.terminated | before.truncated)
        if after.valid is not None:
            continues &= after.valid
        assert np.array_equal(before.next_observation[continues], after.observation[continues])


def test_seed_determines_the_episodes() -> None:
    one, same, other = (play(cartpoles(3, seed), 30) for seed in (7, 7, 8))
    assert all(
        np.array_equal(a.next_observation, b.next_observation)
        for a, b in zip(one, same, strict=True)
    )
    assert not np.array_equal(one[0].observation, other[0].observation)


@pytest.mark.parametrize("installed", [False, True])
def test_missing_native_version_lists_the_alternatives(
    monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    pool = SimpleNamespace(list_all_envs=lambda: ["CartPole-v1"]) if installed else None
    monkeypatch.setitem(sys.modules, "envpool", pool)  # type: ignore[arg-type]
    why = (
        "EnvPool does not know it"
        if installed
        else r"EnvPool .*(footlight\[envpool\]|cannot be imported)"
    )
    with pytest.raises(
        UserError,
        match=rf"Pendulum-v1 has no native version - gymnasium has none, and {why}.* use sync or "
        rf"async",
    ):
        make("Pendulum-v1", 0, 2, vectorization="native")


def test_native_version_of_a_function_is_refused() -> None:
    with pytest.raises(
        UserError, match="has no native version, as it is not an id - use sync or async"
    ):
        make(lambda: gymnasium.make("CartPole-v1"), 0, 2, vectorization="native")


def test_native_version_of_an_unknown_id() -> None:
    with pytest.raises(
        UserError, match="unknown environment 'CartPol-v1' - did you mean 'CartPole-v1'"
    ):
        make("CartPol-v1", 0, 2, vectorization="native")


def test_native_version_that_cannot_be_made_reports_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def entry(**given: Any) -> Any:
        raise ImportError("No module named 'jax'")

    monkeypatch.setitem(gymnasium.registry, "CartPole-v1", gymnasium.spec("CartPole-v1"))
    monkeypatch.setattr(gymnasium.registry["CartPole-v1"], "vector_entry_point", entry)
    with pytest.raises(
        UserError,
        match="CartPole-v1 has a native version that cannot be made - No module named 'jax'",
    ):
        make("CartPole-v1", 0, 2, vectorization="native")


# EnvPool: a module that does what EnvPool's documentation says, and, where it is installed, itself


class FakePool:
    """Counts steps from each environment's seed; the step after an end only resets.

    A seed given to `reset` is refused.
    """

    def __init__(self, seed: list[int], max_episode_steps: int) -> None:
        self.seed, self.limit = np.array(seed), max_episode_steps
        self.steps, self.ended, self.closed = (
            np.zeros(len(seed), int),
            np.zeros(len(seed), bool),
            False,
        )

    def observe(self) -> Array:
        return np.stack([self.seed % 100, self.steps, self.steps], 1).astype(np.float32)

    def reset(self) -> Any:
        self.steps[:], self.ended[:] = 0, False
        return self.observe(), {}

    def step(self, action: Array) -> Any:
        assert action.dtype == np.float32
        self.steps = np.where(self.ended, 0, self.steps + 1)
        reward = np.where(self.ended, 0, 1).astype(np.float32)
        self.ended = self.steps == self.limit
        return (
            self.observe(),
            reward,
            np.zeros(len(self.seed), bool),
            self.ended.copy(),
            {"elapsed_step": self.steps},
        )

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake_envpool(monkeypatch: pytest.MonkeyPatch) -> Any:
    module: Any = ModuleType("envpool")
    module.pools, module.high = [], 2.0

    def make_spec(name: str, **settings: Any) -> Any:
        box = gymnasium.spaces.Box
        space = box(-module.high, module.high, (1,), np.float32)
        return SimpleNamespace(
            gymnasium_observation_space=box(-8, 8, (3,), np.float32), gymnasium_action_space=space
        )

    def make_gymnasium(
        name: str, *, seed: list[int], num_envs: int, num_threads: int, max_episode_steps: int
    ) -> FakePool:
        assert (name, len(seed)) == ("Pendulum-v1", num_envs)
        assert 1 <= num_threads <= num_envs
        assert all(0 <= number < 2**31 for number in seed)
        module.pools.append(FakePool(seed, max_episode_steps))
        return module.pools[-1]

    module.list_all_envs, module.make_spec, module.make_gymnasium = (
        lambda: ["Pendulum-v1"],
        make_spec,
        make_gymnasium,
    )
    monkeypatch.setitem(sys.modules, "envpool", module)
    return module


def test_envpool_is_used_if_gymnasium_has_no_native_version(fake_envpool: Any) -> None:
    environments = make("Pendulum-v1", 7, 2, vectorization="native")
    assert isinstance(environments, VectorEnvironments)
    assert isinstance(environments.env, native.EnvPool)
    environments.reset()
    steps = [environments.step(np.zeros((2, 1), np.float32)) for _ in range(202)]
    assert steps[199].truncated.all()  # gymnasium's time limit
    assert steps[199].next_observation[:, 1].tolist() == [200, 200]
    assert steps[200].valid is not None
    assert not steps[200].valid.any()
    assert steps[201].observation[:, 1].tolist() == [0, 0]
    environments.close()
    assert [pool.closed for pool in fake_envpool.pools] == [True]


def test_envpool_is_seeded_when_it_is_made(fake_envpool: Any) -> None:
    environments = make("Pendulum-v1", 7, 2, vectorization="native")
    for _ in range(2):
        environments.reset()
    first, again = fake_envpool.pools
    assert first.closed
    assert first.seed.tolist() == again.seed.tolist()
    environments.restore(environments.arrays())
    assert not set(fake_envpool.pools[-1].seed) & set(first.seed)


def test_envpool_with_other_spaces_is_refused(fake_envpool: Any) -> None:
    fake_envpool.high = 1.0
    with pytest.raises(UserError, match="EnvPool's Pendulum-v1 has other spaces than gymnasium's"):
        make("Pendulum-v1", 7, 2, vectorization="native")


def test_gymnasium_is_preferred_to_envpool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)  # type: ignore[arg-type]
    assert type(cartpoles(2).env).__name__ == "CartPoleVectorEnv"


def test_installed_envpool() -> None:
    pytest.importorskip("envpool")
    environments, same = (make("Pendulum-v1", 7, 2, vectorization="native") for _ in range(2))
    for one in (environments, same):
        one.reset()
    single: Any = gymnasium.make("Pendulum-v1").unwrapped
    single.reset()
    for index in range(202):
        action = np.full((2, 1), np.sin(index), np.float32)
        step, again = environments.step(action), same.step(action)
        assert np.array_equal(step.next_observation, again.next_observation)
        assert step.truncated.all() == (index == 199)
        if index == 200:
            assert step.valid is not None
            assert not step.valid.any()
            continue
        cos, sin, speed = step.observation[0].astype(np.float64)
        single.state = np.array([np.arctan2(sin, cos), speed])
        observed, reward, *_ = single.step(action[0])
        # Its C++ has an angle in float32 of up to eight turns, which counts with its square
        assert_close(step.next_observation[0], observed, scale=50)
        assert_close(step.reward[0], reward, scale=50)
    for one in (environments, same):
        one.close()
