"""Running statistics against NumPy, the scale of rewards against a slow loop, frozen policies."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from footlight.algorithms import ALGORITHMS, config_class, find
from footlight.environments.spaces import describe
from footlight.errors import Diverged
from footlight.learning.agent import Agent
from footlight.learning.normalization import Bounds, Normalizer, RunningMoments, divergence_cause
from footlight.learning.policy import load
from footlight.trees import Leaf
from footlight.types import Array, Batch, BoxAction, RolloutBatch, Spaces, Transition
from tolerance import assert_close, close

GAMMA = 0.9


def walk(num_steps: int, num_envs: int, resets: bool = False) -> list[Transition]:
    """Random episodes, out of phase, with numbers of very different scale.

    resets: whether the step after an end is a reset and no transition.
    """
    generator = np.random.default_rng(0)
    steps, ended = [], np.zeros(num_envs, bool)
    for _ in range(num_steps):
        seen, later = (
            generator.standard_normal((num_envs, 2)) * [1, 50] + [3, -1000] for _ in range(2)
        )
        valid = ~ended if resets else None
        terminated, truncated = (generator.random((2, num_envs)) < 0.1) & (
            True if valid is None else valid
        )
        reward = 5 + 20 * generator.standard_normal(num_envs)
        steps.append(
            Transition(
                seen.astype(np.float32),
                seen,
                reward,
                later.astype(np.float32),
                terminated,
                truncated,
                valid,
            )
        )
        ended = terminated | truncated
    return steps


def of_steps(steps: list[Transition], name: str) -> Array:
    """The rows that are transitions, of all steps."""
    rows = []
    for step in steps:
        array = getattr(step, name)
        rows.append(array if step.valid is None else array[step.valid])
    return np.concatenate(rows)


# Moments


@pytest.mark.parametrize("groups", [[1] * 40, [7, 1, 0, 32], [40]])
@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
def test_moments_of_everything_seen(groups: list[int], shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal((40, *shape)) * 3 + 10
    moments, start = RunningMoments(shape), 0
    for size in groups:
        moments.add(values[start : start + size])
        start += size
    assert moments.count.tolist() == [40]
    assert_close(moments.mean, values.mean(0), terms=len(values))
    assert_close(moments.variance, values.var(0), terms=len(values))


def test_moments_by_hand() -> None:
    moments = RunningMoments(())
    assert moments.variance == 1
    moments.add(np.array([2.0]))
    assert moments.mean == 2
    assert moments.variance == 1  # one value has no spread
    moments.add(np.array([4.0, 9.0]))
    assert moments.mean == 5
    assert moments.variance == close(26 / 3, np.float64)  # 9 + 1 + 16


def test_moments_keep_their_digits_far_from_zero() -> None:
    # Multiples of 1/16
    values = (1e6 + np.random.default_rng(0).random((2000, 1))).astype(np.float32)
    moments = RunningMoments((1,))
    for group in np.split(values, 500):
        moments.add(group)
    assert_close(moments.mean, values.mean(0, dtype=np.float64), terms=2000)
    # Deviations from 1e6 of up to 1/2
    assert_close(moments.variance, values.var(0, dtype=np.float64), terms=2000, scale=1e6 / 2)


def test_moments_of_bytes() -> None:
    values = np.random.default_rng(0).integers(0, 256, (50, 4)).astype(np.uint8)
    moments = RunningMoments((4,))
    for group in np.split(values, 10):
        moments.add(group)
    assert_close(moments.variance, values.var(0, dtype=np.float64), terms=50)  # no byte ran over


# Observations


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("resets", [False, True])
def test_observations_get_mean_zero_and_deviation_one(
    tiny_spaces: Spaces, num_envs: int, resets: bool
) -> None:
    normalizer, steps = (
        Normalizer(tiny_spaces, num_envs, GAMMA, True, False),
        walk(200, num_envs, resets),
    )
    for step in steps:
        masked = step
        if step.valid is not None:  # what a masked row holds is of no interest
            masked = step._replace(
                observation=np.where(step.valid[:, None], step.observation, np.float32(1e6))
            )
        normalizer.learn(masked)
    seen = of_steps(steps, "observation").astype(np.float64)
    assert normalizer.moments[""].count[0] == len(seen)
    assert (len(seen) < 200 * num_envs) == resets
    assert_close(normalizer.mean, seen.mean(0))
    assert_close(normalizer.scale, 1 / seen.std(0))
    expected = ((seen - seen.mean(0)) / seen.std(0)).clip(-10, 10)
    normal = normalizer.observation(seen.astype(np.float32))
    # The largest intermediate result is that before the mean is subtracted
    assert_close(normal, expected, scale=float(np.abs(seen / seen.std(0)).max()))
    assert normal.dtype == np.float32
    assert normalizer.reward_scale.tolist() == [1]


def test_observations_are_cut_off_at_ten(tiny_spaces: Spaces) -> None:
    normalizer = Normalizer(tiny_spaces, 1, GAMMA, True, False)
    for step in walk(50, 1):
        normalizer.learn(step)
    far = np.array([[1e5, -1e5]], np.float32)
    assert normalizer.observation(far).tolist() == [[10, -10]]
    assert far.tolist() == [[1e5, -1e5]]


def test_what_is_not_asked_for_is_left_alone(tiny_spaces: Spaces) -> None:
    normalizer, steps = Normalizer(tiny_spaces, 1, GAMMA, False, True), walk(20, 1)
    for step in steps:
        normalizer.learn(step)
    assert normalizer.observation(steps[0].observation) is steps[0].observation
    assert normalizer.policy_arrays() == {}
    assert normalizer.moments[""].count[0] == 0


def test_a_component_that_never_changes_is_zero(tiny_spaces: Spaces) -> None:
    normalizer, never = Normalizer(tiny_spaces, 1, GAMMA, True, False), np.zeros(1, bool)
    seen = np.array([[0.1, 3.0]], np.float32)
    for _ in range(10):
        normalizer.learn(Transition(seen, seen, np.zeros(1), seen, never, never))
    assert np.abs(normalizer.observation(seen)).max() < 1e-3


# Rewards


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("resets", [False, True])
def test_reward_scale_equals_a_slow_loop(tiny_spaces: Spaces, num_envs: int, resets: bool) -> None:
    normalizer, steps = (
        Normalizer(tiny_spaces, num_envs, GAMMA, False, True),
        walk(150, num_envs, resets),
    )
    returns, running = [], [0.0] * num_envs
    for step in steps:
        masked = step
        if step.valid is not None:
            masked = step._replace(reward=np.where(step.valid, step.reward, 1e6))
        normalizer.learn(masked)
        for env in range(num_envs):
            if step.valid is None or step.valid[env]:
                running[env] = GAMMA * running[env] + float(step.reward[env])
                returns.append(running[env])
                if step.terminated[env]:  # a return that a time limit cuts off would have gone on
                    running[env] = 0.0
        if len(returns) > 1:
            assert normalizer.reward_scale[0] == close(1 / np.std(returns))
    assert_close(normalizer.discounted_return, running)


@pytest.mark.parametrize(
    ("restarts_at_end", "variance", "left"), [(False, 10.24, 0), (True, 8.96, 4)]
)
def test_reward_scale_by_hand(
    tiny_spaces: Spaces, restarts_at_end: bool, variance: float, left: float
) -> None:
    """Rewards 0 0 8 | 0 4 | with gamma 0.5.

    If the discounted return restarts after the last step of an episode, it is 0 0 8 | 0 4: mean
    2.4, mean square 16. If it restarts at that step, u = gamma (1 - T) u + r, the last reward
    belongs to the next episode: 0 0 8 | 4 4, with mean 3.2 and mean square 19.2.
    """
    normalizer = Normalizer(tiny_spaces, 1, 0.5, False, True, restarts_at_end=restarts_at_end)
    for reward, ends in ((0, False), (0, False), (8, True), (0, False), (4, True)):
        seen = np.zeros((1, 2), np.float32)
        normalizer.learn(
            Transition(
                seen,
                seen,
                np.array([reward], np.float32),
                seen,
                np.array([ends]),
                np.array([False]),
            )
        )
    assert normalizer.return_moments.variance == pytest.approx(variance)
    assert normalizer.reward_scale[0] == pytest.approx(variance**-0.5)
    assert normalizer.discounted_return.tolist() == [left]


def test_stream_ac_alone_restarts_the_return_at_the_end() -> None:
    assert {
        name for name in ALGORITHMS if getattr(config_class(name), "return_restarts_at_end", False)
    } == {"stream-ac"}


def first_reward_after_zeros(reward: float, **named: Any) -> tuple[Normalizer, Transition]:
    """The normalizer after 10,000 rewards of 0 and a first reward, and the stored step."""
    spaces = describe(gymnasium.spaces.Box(-1, 1, (2,), np.float32), gymnasium.spaces.Discrete(2))
    normalizer, never = Normalizer(spaces, 1, GAMMA, False, True, **named), np.zeros(1, bool)
    seen = np.zeros((1, 2), np.float32)
    normalizer.return_moments.count[:] = 10_000
    return normalizer, normalizer.learn(
        Transition(seen, seen, np.array([reward], np.float32), seen, never, never)
    )


def as_learned(normalizer: Normalizer, stored: Transition) -> float:
    """The reward that an update sees of a stored step."""
    empty = torch.zeros(0)
    batch = Batch(empty, empty, torch.from_numpy(stored.reward), empty, empty)
    return float(normalizer.batch(batch, tuple(normalizer.tensors())).reward)


@pytest.mark.parametrize(("bound", "learned"), [(None, 100.0), (10.0, 10.0), (2.5, 2.5)])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("sums_rewards", [False, True])
def test_first_reward_after_many_zeros_is_clipped(
    sums_rewards: bool, sign: int, bound: float | None, learned: float
) -> None:
    # 10,000 returns of 0 and one of 1: the variance is 1/10,001 (1 - 1/10,001), so a reward of 1
    # becomes 100.01
    normalizer, stored = first_reward_after_zeros(
        sign, bounds=Bounds(bound), sums_rewards=sums_rewards
    )
    assert as_learned(normalizer, stored) == pytest.approx(sign * learned, rel=1e-3)
    is_raw = bound is None or not sums_rewards
    assert stored.reward.tolist() == pytest.approx(
        [sign if is_raw else sign * learned / 100.005], rel=1e-3
    )


def test_sums_of_rewards_are_not_clipped(tiny_spaces: Spaces) -> None:
    normalizer = Normalizer(tiny_spaces, 1, GAMMA, False, True, Bounds(10.0), sums_rewards=True)
    normalizer.reward_scale[:] = 0.5
    batch = Batch(*[torch.zeros(0)] * 2, torch.tensor([60.0]), *[torch.zeros(0)] * 2)
    assert normalizer.batch(batch, tuple(normalizer.tensors())).reward.tolist() == [30]


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_normalized_rewards_are_clipped_by_default(name: str) -> None:
    seen = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    method = find(name)
    acted = (
        gymnasium.spaces.Box(-1, 1, (1,), np.float32)
        if "box" in method.ACTIONS
        else gymnasium.spaces.Discrete(2)
    )
    agent = Agent(name, seen, acted, hidden_sizes=(4,), normalize_rewards=True, compile="off")
    assert agent.normalizer is not None
    unbounded = ("stream-ac", "flashsac", "xqc")  # the latter two have bins with bounds
    assert agent.normalizer.reward_bound == (None if name in unbounded else 10)
    assert agent.normalizer.sums_rewards == (name == "reinforce")


def test_rewards_are_divided_and_not_centered(tiny_spaces: Spaces) -> None:
    normalizer = Normalizer(tiny_spaces, 1, GAMMA, False, True)
    normalizer.reward_scale[:] = 0.5
    empty = torch.zeros(0)
    batch = Batch(torch.ones(3, 2), empty, torch.tensor([4.0, -3.0, 1e3]), torch.ones(3, 2), empty)
    changed = normalizer.batch(batch, tuple(normalizer.tensors()))
    assert changed.reward.tolist() == [2, -1.5, 500]
    assert changed.observation is batch.observation


# In an update


def test_a_batch_is_seen_as_the_policy_sees_it(tiny_spaces: Spaces) -> None:
    normalizer, steps = Normalizer(tiny_spaces, 2, GAMMA, True, True), walk(30, 2)
    for step in steps:
        normalizer.learn(step)
    seen, later = (
        np.stack([getattr(s, name) for s in steps]) for name in ("observation", "next_observation")
    )
    other = {name: torch.rand(30, 2) for name in RolloutBatch._fields}
    reward = torch.from_numpy(np.stack([s.reward for s in steps]).astype(np.float32))
    given = {
        **other,
        "observation": torch.from_numpy(seen),
        "next_observation": torch.from_numpy(later),
        "reward": reward,
    }
    batch = RolloutBatch(**given)
    changed = normalizer.batch(batch, tuple(normalizer.tensors()))
    for name, raw in (("observation", seen), ("next_observation", later)):
        expected = normalizer.observation(raw.reshape(-1, 2)).reshape(raw.shape)
        assert_close(getattr(changed, name).numpy(), expected)
    assert_close(changed.reward, (reward * float(normalizer.reward_scale[0])))
    for name in ("action", "discount", "continues", "weight", "rows"):
        assert getattr(changed, name) is other[name]
    assert torch.equal(batch.reward, reward)  # what is stored stays raw


def test_tensors_follow_what_is_learned(tiny_spaces: Spaces) -> None:
    normalizer = Normalizer(tiny_spaces, 1, GAMMA, True, True)
    mean, scale, reward_scale = normalizer.tensors()
    for step in walk(30, 1):
        normalizer.learn(step)
    for tensor, array in (
        (mean, normalizer.mean),
        (scale, normalizer.scale),
        (reward_scale, normalizer.reward_scale),
    ):
        assert tensor.dtype == torch.float32
        assert np.array_equal(tensor.numpy(), array)
    assert (mean != 0).all()


def test_bytes_become_numbers_around_zero(tiny_spaces: Spaces) -> None:
    normalizer = Normalizer(replace(tiny_spaces, observation_dtype="uint8"), 1, GAMMA, True, False)
    seen, never = (
        np.random.default_rng(0).integers(0, 256, (100, 1, 2)).astype(np.uint8),
        np.zeros(1, bool),
    )
    for one in seen:
        normalizer.learn(Transition(one, one, np.zeros(1), one, never, never))
    flat = seen[:, 0]
    expected = (flat - flat.mean(0)) / flat.std(0)
    scale = float((255 / flat.std(0)).max())  # before the mean is subtracted
    assert_close(normalizer.observation(flat), expected, scale=scale)
    empty = torch.zeros(0)
    batch = Batch(torch.from_numpy(flat), empty, empty, torch.from_numpy(flat), empty)
    changed = normalizer.batch(batch, tuple(normalizer.tensors()))
    assert_close(changed.observation.numpy(), expected, scale=scale)


# Checkpoints and policies


def test_goes_on_from_its_arrays(tiny_spaces: Spaces) -> None:
    steps = walk(60, 2, resets=True)
    straight, resumed = (Normalizer(tiny_spaces, 2, GAMMA, True, True) for _ in range(2))
    for step in steps[:35]:
        straight.learn(step)
    saved = {name: array.copy() for name, array in straight.arrays().items()}
    for name, array in resumed.arrays().items():  # as a checkpoint is read: in place
        array[...] = saved[name]
    for step in steps[35:]:
        straight.learn(step)
        resumed.learn(step)
    for name, array in straight.arrays().items():
        assert np.array_equal(array, resumed.arrays()[name]), name
        assert not np.array_equal(array, saved[name]), name


def trained(algorithm: str, steps: int = 40) -> Agent:
    """An agent trained on observations around 100, with very different standard deviations."""
    seen, acted = (
        gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32),
        gymnasium.spaces.Box(-1, 1, (1,), np.float32),
    )
    on: dict[str, Any] = {"normalize_observations": True, "normalize_rewards": True}
    agent, generator = (
        Agent(algorithm, seen, acted, compile="off", hidden_sizes=(8,), **on),
        np.random.default_rng(0),
    )
    before = generator.standard_normal(2) * [1, 30] + 100
    for _ in range(steps):
        after = generator.standard_normal(2) * [1, 30] + 100
        agent.observe(
            before, agent.act(before, explore=True), float(generator.random()), after, False, False
        )
        before = after
    return agent


def test_acting_changes_no_statistics() -> None:
    agent = trained("a2c")
    assert agent.normalizer is not None
    saved = {name: array.copy() for name, array in agent.normalizer.arrays().items()}
    for explore in (False, True):
        agent.act(np.array([500.0, -500.0]), explore=explore)
    for name, array in agent.normalizer.arrays().items():
        assert np.array_equal(array, saved[name])


def test_a_saved_policy_has_the_statistics_of_its_moment(tmp_path: Path) -> None:
    agent = trained("a2c")
    agent.save(tmp_path / "agent")
    policy = load(tmp_path / "agent")
    observations: Any = np.random.default_rng(1).standard_normal((20, 2)) * [1, 30] + 100
    assert np.array_equal(policy.act(observations), agent.policy.act(observations))
    normal = (
        agent.normalizer.observation(observations.astype(np.float32)) if agent.normalizer else None
    )
    assert normal is not None
    drawn = agent.algorithm.act(agent.policy.state, None, normal, None)[0].action
    assert_close(policy.act(observations), np.clip(drawn, -1, 1), terms=64, depth=3)
    plain = observations.astype(np.float32)
    raw = agent.algorithm.act(agent.policy.state, None, plain, None)[0].action
    assert not np.allclose(raw, drawn)  # it does make a difference
    again = load(tmp_path / "agent").act(observations)
    for _ in range(5):
        policy.act(observations * 3)
    assert np.array_equal(policy.act(observations), again)


def test_a_new_episode_begins_without_a_return() -> None:
    agent = trained("a2c", steps=3)
    assert agent.normalizer is not None
    assert agent.normalizer.discounted_return[0] > 0
    agent.forget_episodes([0])
    assert agent.normalizer.discounted_return[0] == 0


@pytest.mark.parametrize(
    ("observation", "reward", "normalizes", "message"),
    [
        (
            1.0,
            1.0,
            (False, False),
            "has diverged - lower the learning rate, or look at the scale of the rewards",
        ),
        (
            1e12,
            1.0,
            (False, False),
            "diverged on observations as large as 1e+12 - use normalize_observations true",
        ),
        (
            1.0,
            -1e4,
            (False, False),
            r"diverged on rewards as large as 1e\+04 - use normalize_rewards true",
        ),
        (
            1e6,
            1e6,
            (False, False),
            "use normalize_observations true and use normalize_rewards true",
        ),
        (1e12, 1.0, (True, False), "has diverged - lower the learning rate"),
        (1.0, 1e12, (False, True), "has diverged - lower the learning rate"),
    ],
)
def test_a_divergence_names_the_scale_that_explains_it(
    tiny_spaces: Spaces,
    observation: float,
    reward: float,
    normalizes: tuple[bool, bool],
    message: str,
) -> None:
    seen, earned = np.full((4, 2), observation, np.float32), np.full(4, reward, np.float32)
    normalizer = Normalizer(tiny_spaces, 1, GAMMA, *normalizes)
    found = divergence_cause(
        Batch(seen, seen, earned, seen, earned),
        normalizer,
    )
    assert re.search(message.replace("1e+12", r"1e\+12"), found)


def test_an_agent_that_diverges_on_large_observations_says_so() -> None:
    space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    agent = Agent(
        "sac",
        space,
        gymnasium.spaces.Box(-1, 1, (1,), np.float32),
        hidden_sizes=(4,),
        batch_size=2,
        learning_starts=2,
    )
    seen = np.full(2, 3e38, np.float32)

    def learn() -> None:
        for _ in range(20):
            agent.observe(seen, np.zeros(1, np.float32), 1.0, -seen, False, False)

    with pytest.raises(
        Diverged,
        match=r"diverged on observations as large as 3e\+38 - use normalize_observations true",
    ):
        learn()


def test_integer_leaves_of_a_dict_are_normalized_and_choices_are_not() -> None:
    leaves = {
        "count": Leaf(shape=(2,), dtype="int32"),
        "choice": Leaf(shape=(), dtype="int64", choices=(range(3),)),
        "bits": Leaf(shape=(2,), dtype="int8"),
    }
    action = BoxAction(low=np.full(1, -1, np.float32), high=np.ones(1, np.float32))
    spaces = Spaces.of_leaves(leaves, action)
    normalizer = Normalizer(spaces, 1, 0.9, observations=True, rewards=False)
    assert normalizer.moments.keys() == {"count"}
    normalizer.means["count"][:], normalizer.scales["count"][:] = 100, 0.5
    records = np.zeros(1, spaces.observation_dtype)
    records["count"], records["choice"], records["bits"] = (101, 97), 2, (0, 1)
    found = normalizer.observation(records)
    assert found["count"].tolist() == [[0.5, -1.5]]
    assert (found["choice"].tolist(), found["bits"].tolist()) == ([2], [[0, 1]])


def test_a_single_choice_is_not_normalized() -> None:
    leaf = Leaf(shape=(), dtype="int64", choices=(range(3),))
    action = BoxAction(low=np.full(1, -1, np.float32), high=np.ones(1, np.float32))
    normalizer = Normalizer(Spaces.of_leaves({"": leaf}, action), 1, 0.9, True, False)
    seen = np.array([2, 0])
    assert normalizer.observation(seen) is seen


def test_returns_do_not_exceed_their_bound(tiny_spaces: Spaces) -> None:
    """Returns 10, 19, 27.1 of a reward of 10: mean 18.7, variance 48.78, deviation 6.98."""
    scales = {}
    for bound in (None, 2.0, 100.0):
        normalizer = Normalizer(tiny_spaces, 1, 0.9, False, True, Bounds(discounted_return=bound))
        seen, no = np.zeros((1, 2), np.float32), np.array([False])
        for _ in range(3):
            normalizer.learn(Transition(seen, seen, np.array([10.0]), seen, no, no))
        scales[bound] = float(normalizer.reward_scale[0])
        assert ("normalizer.largest_return" in normalizer.arrays()) == (bound is not None)
    assert scales[None] == pytest.approx(1 / 6.984, rel=1e-3)
    assert scales[2.0] == close(2 / 27.1, terms=4)
    assert scales[100.0] == scales[None]
